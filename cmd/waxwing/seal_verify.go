package main

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/seal/safetynumber"
)

// sealVerify is the command that says whether the directory tells the truth.
type sealVerify struct {
	directoryFlags
	sealDatabase
	rootFile   string
	selfSigned bool
	number     string

	root *seal.RootKey
	id   *seal.Identity
}

func newSealVerifyCommand() *cobra.Command {
	v := &sealVerify{}
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "verify NAME...",
		Short: "Verify what the directory says of identities",
		Long: `Asks the directory for an identity as who begins a session does, and verifies that its
certificate is by the root that is pinned, is of that name and valid now, and that the
identity has signed the prekeys. What is refused makes the exit code 1. Each call uses up
one of the identity's one-time keys.

With --identity it prints the safety number of that identity and the other. People at
both ends compare it over a channel that shows who speaks: if it is the same, nobody
sits between, whatever the directory and the root's owner do. --number compares it with
what the other end has said. With --dsn and --storage-key the service's database keeps
that this was done, which endpoints with seal.VerifiedOnly want.

Where identities have no root (seal.TOFU) --self-signed takes their own signature; then
the safety number is all that tells who they are.`,
		Example: `  waxwing seal verify billing --root root.pub --identity payments.id --directory https://broker:8080 --user payments --password-file password
  waxwing seal verify billing shipping --root root.pub --output json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := v.check(cmd, names); err != nil {
				return err
			}
			client, err := v.directoryFlags.open(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			all := []*verified{}
			var failed failures
			for _, name := range names {
				one, err := v.verify(cmd, client, name)
				if err != nil {
					failed = append(failed, err)
					continue
				}
				all = append(all, one)
			}
			if out.json() {
				return errors.Join(printJSON(cmd.OutOrStdout(), all), failed.err())
			}
			for i, one := range all {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				one.print(cmd.OutOrStdout())
			}
			return failed.err()
		},
	}
	v.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

func (v *sealVerify) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&v.rootFile, "root", "", "the public key of the root that is pinned: a file, -, or env:NAME")
	fs.BoolVar(&v.selfSigned, "self-signed", false, "take certificates by the identities themselves")
	fs.StringVar(&v.number, "number", "", "the safety number that the other end has")
	v.sealDatabase.addTo(cmd)
	v.directoryFlags.addTo(cmd)
	fs.Lookup("dsn").Usage = "keep in this database that --number was right"
	must(fs.SetAnnotation("dsn", envAnnotation, nil)) // it is not to be written to because of a variable
}

// check reads what has to be known before the directory is asked.
func (v *sealVerify) check(cmd *cobra.Command, names []string) (err error) {
	switch {
	case (v.rootFile == "") == !v.selfSigned:
		return errors.New("either --root must name the public key that is pinned, or --self-signed be given")
	case v.number != "" && (v.identity == "" || len(names) != 1):
		return errors.New("--number is between --identity and one other")
	case v.dsn != "" && v.number == "":
		return errors.New("--dsn keeps that --number was right: both are needed")
	}
	if err := oneStdin(append(v.oldKeys, v.identity, v.storageKey, v.rootFile, v.passwordFile)...); err != nil {
		return err
	}
	if v.rootFile != "" {
		k, err := readKey(cmd, "--root", v.rootFile, seal.ParseRootKey)
		if err != nil {
			return err
		}
		v.root = &k
	}
	if v.identity != "" && v.dsn == "" {
		v.id, err = readKey(cmd, "--identity", v.identity, seal.DecodeIdentity)
	}
	return err
}

// verified is an identity that has been verified.
type verified struct {
	certificateJSON
	RegistrationID uint32 `json:"registrationId"`
	SafetyNumber   string `json:"safetyNumber,omitempty"`
	With           string `json:"with,omitempty"`
}

// verify takes a bundle and looks at it.
func (v *sealVerify) verify(cmd *cobra.Command, client *directory.Client, name string) (*verified, error) {
	b, err := client.Take(cmd.Context(), name)
	if err != nil {
		return nil, v.explain(name, err)
	}
	one, err := v.verifyBundle(cmd, client, &b, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return one, nil
}

// verifyBundle looks at a bundle.
func (v *sealVerify) verifyBundle(cmd *cobra.Command, client *directory.Client, b *directory.Bundle, name string) (*verified, error) {
	c, err := v.believe(b, name)
	if err != nil {
		return nil, err
	}
	one := &verified{certificateJSON: newCertificateJSON(c), RegistrationID: b.RegistrationID}
	if v.dsn == "" {
		return one, v.compare(one, c, v.id)
	}
	trust := seal.TOFU()
	if v.root != nil {
		trust = seal.Pinned(*v.root)
	}
	return one, v.sealDatabase.with(cmd, func(ctx context.Context, e endpoint) error {
		err := v.compare(one, c, e.id)
		if err == nil {
			err = sealError(e.Prepare(ctx, name))
		}
		if err == nil {
			err = sealError(e.Verify(ctx, name, v.number))
		}
		return err
	}, trust, seal.Through(client))
}

// believe says whether a bundle is of an identity.
func (v *sealVerify) believe(b *directory.Bundle, name string) (c *seal.Certificate, err error) {
	if v.root != nil {
		c, err = v.root.Verify(b.Certificate, time.Now())
	} else if c, err = seal.ParseCertificate(b.Certificate); err == nil {
		err = checkSelfSigned(c, time.Now())
	}
	switch {
	case err != nil:
		return nil, sealError(err)
	case c.Name != name:
		return nil, fmt.Errorf("the directory has the certificate of %s in its place", c.Name)
	case !ratchet.Verify(c.Key, b.Signed.Key, b.Signed.Signature):
		return nil, errors.New("the identity has not signed the signed prekey")
	case b.KEM == nil:
		return nil, errors.New("there is no KEM key")
	case !ratchet.Verify(c.Key, b.KEM.Key, b.KEM.Signature):
		return nil, errors.New("the identity has not signed the KEM key")
	}
	return c, nil
}

// checkSelfSigned refuses what is by a root, and what is not valid now. The signature
// was verified when the certificate was parsed.
func checkSelfSigned(c *seal.Certificate, now time.Time) error {
	switch {
	case !isSelfSigned(c):
		return fmt.Errorf("the certificate is %s, not by itself: see --root", signerText(c))
	case now.Before(c.NotBefore), now.After(c.NotAfter):
		return fmt.Errorf("the certificate is valid from %s to %s", c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// compare finds the safety number with an identity, and compares it with --number.
func (v *sealVerify) compare(one *verified, c *seal.Certificate, id *seal.Identity) error {
	if id == nil || id.Name() == c.Name {
		return nil
	}
	number := safetynumber.Compute(safetynumber.Party{ID: []byte(id.Name()), Key: id.Key()}, safetynumber.Party{ID: []byte(c.Name), Key: c.Key})
	one.SafetyNumber, one.With = safetynumber.Group(number), id.Name()
	said := strings.Join(strings.Fields(v.number), "")
	if said != "" && subtle.ConstantTimeCompare([]byte(said), []byte(number)) != 1 {
		return fmt.Errorf("the safety number with %s is %s, not that of --number", id.Name(), one.SafetyNumber)
	}
	return nil
}

// print writes a line per field.
func (v *verified) print(w io.Writer) {
	v.certificateJSON.print(w)
	if v.With != "" {
		writeField(w, "safety number", fmt.Sprintf("%s (with %s)", v.SafetyNumber, v.With))
	}
}
