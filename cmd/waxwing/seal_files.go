package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/safetynumber"
)

// sourceBytesMax bounds what is read of a file with a key.
const sourceBytesMax = 64 << 10

// readSource reads a secret, or something like it: of a file, of stdin ("-") or of a
// variable ("env:NAME"). Errors name the flag and the source, never what is there.
func readSource(cmd *cobra.Command, flag, source string) ([]byte, error) {
	if source == "" {
		return nil, fmt.Errorf("%s is missing: a file, - for stdin, or env:NAME for a variable", flag)
	}
	if name, ok := strings.CutPrefix(source, "env:"); ok {
		text := os.Getenv(name)
		if text == "" {
			return nil, fmt.Errorf("%s: the variable %s is not set", flag, name)
		}
		return []byte(text), nil
	}
	in := cmd.InOrStdin()
	if source != "-" {
		f, err := os.Open(source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, sourceBytesMax+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	case len(text) > sourceBytesMax:
		return nil, fmt.Errorf("%s: %s has more than %d bytes", flag, source, sourceBytesMax)
	case len(bytes.TrimSpace(text)) == 0:
		return nil, fmt.Errorf("%s: %s is empty", flag, source)
	}
	return text, nil
}

// oneStdin refuses sources of which more than one is stdin.
func oneStdin(sources ...string) error {
	n := 0
	for _, s := range sources {
		if s == "-" {
			n++
		}
	}
	if n > 1 {
		return errors.New("only one thing can be read from stdin")
	}
	return nil
}

// readKey reads a source and decodes it. A secret that others may read is warned of.
func readKey[K any](cmd *cobra.Command, flag, source string, decode func([]byte) (K, error)) (K, error) {
	var none K
	text, err := readSource(cmd, flag, source)
	if err != nil {
		return none, err
	}
	k, err := decode(text)
	if err == nil {
		warnOfReaders(cmd, source, text)
		return k, nil
	}
	if is := kindOfKey(text); is != "" && !strings.Contains(kindName(none), is) {
		err = fmt.Errorf("it is %s, not %s", is, kindName(none))
	}
	return none, fmt.Errorf("%s: %s: %w", flag, source, sealError(err))
}

// warnOfReaders writes a warning if a source is a file with a secret that others than its
// owner may read.
func warnOfReaders(cmd *cobra.Command, source string, text []byte) {
	if source == "-" || strings.HasPrefix(source, "env:") || runtime.GOOS == "windows" { // where the mode says nothing
		return
	}
	if k, err := decodeKey(text); err != nil || k.root == nil && k.identity == nil && k.storage == nil {
		return
	}
	info, err := os.Stat(source)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o077 == 0 {
		return
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "waxwing: warning: %s is secret, but not only its owner has access (mode %04o): chmod 600 it\n", source, info.Mode().Perm())
}

// required says which flags are not given, if there is more than one: all at once. Of one
// alone its reader tells what it should be.
func required(cmd *cobra.Command, flags ...string) error {
	var missing []string
	for _, name := range flags {
		f := cmd.Flags().Lookup(name)
		if value := f.Value.String(); value != "" && value != "[]" {
			continue
		}
		text := "--" + name
		if variables := f.Annotations[envAnnotation]; len(variables) > 0 {
			text += " (or " + variables[0] + ")"
		}
		missing = append(missing, text)
	}
	if len(missing) < 2 {
		return nil
	}
	return errors.New("these flags are missing: " + strings.Join(missing, ", "))
}

// kindOfKey says what a line is, for who expected something else.
func kindOfKey(text []byte) string {
	k, err := decodeKey(text)
	switch {
	case err != nil:
		return ""
	case k.root != nil:
		return kindName(k.root)
	case k.rootKey != nil:
		return kindName(*k.rootKey)
	case k.identity != nil:
		return kindName(k.identity)
	case k.storage != nil:
		return kindName(*k.storage)
	}
	return kindName(k.certificate)
}

// kindName is how a kind of key is called.
func kindName(k any) string {
	switch k.(type) {
	case *seal.Root:
		return "a root's private key"
	case seal.RootKey:
		return "a root's public key"
	case *seal.Identity:
		return "an identity"
	case seal.StorageKey:
		return "a storage key"
	case *safetynumber.Party:
		return "an identity or a certificate"
	}
	return "a certificate"
}

// aKey is one of the things that are a line of a file. The others are nil.
type aKey struct {
	root        *seal.Root
	rootKey     *seal.RootKey
	identity    *seal.Identity
	storage     *seal.StorageKey
	certificate *seal.Certificate
}

// decodeKey reads whatever there is.
func decodeKey(text []byte) (k aKey, err error) {
	if k.root, err = seal.DecodeRoot(text); err == nil {
		return k, nil
	}
	if public, err := seal.ParseRootKey(text); err == nil {
		return aKey{rootKey: &public}, nil
	}
	if k.identity, err = seal.DecodeIdentity(text); err == nil {
		return aKey{identity: k.identity}, nil
	}
	if storage, err := seal.DecodeStorageKey(text); err == nil {
		return aKey{storage: &storage}, nil
	}
	if k.certificate, err = seal.DecodeCertificate(text); err == nil {
		return aKey{certificate: k.certificate}, nil
	}
	return aKey{}, errors.New("it is no key, identity or certificate")
}

// keyLabel is what the lines begin with.
const keyLabel = "WAXWING-SEAL-"

// createSecret writes a file that only its owner may read. One that exists is an error.
func createSecret(path string, text []byte) (err error) {
	if path == "" {
		return errors.New("--out must name the file that is to be made")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("--out: %s exists already, and is left as it is", path)
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := writeSecret(f, text); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncFolder(path)
}

// replaceSecret replaces a file as a whole, by one that only its owner may read.
func replaceSecret(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with 0600
	if err != nil {
		return err
	}
	if err = writeSecret(f, text); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFolder(path)
}

// writeSecret writes a file durably, and closes it.
func writeSecret(f *os.File, text []byte) error {
	_, err := f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes durable that a file is in its folder.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system syncs folders
	return d.Close()
}
