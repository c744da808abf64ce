package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal/directory"
)

// passwordVariable holds the directory's password, if --password-file is not given.
const passwordVariable = "WAXWING_DIRECTORY_PASSWORD"

// directoryFlags say which directory, and who asks it.
type directoryFlags struct {
	url, user, passwordFile, ca string
	timeout                     time.Duration
}

// addTo adds the flags to cmd.
func (d *directoryFlags) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&d.url, "directory", "", "the broker's address for HTTPS (waxwing serve --http), such as https://broker:8080; http for this machine only")
	fs.StringVar(&d.user, "user", "", "log in there as this user of the broker")
	fs.StringVar(&d.passwordFile, "password-file", "", "the user's password: a file, -, or env:NAME (default: env:"+passwordVariable+")")
	fs.StringVar(&d.ca, "ca", "", "trust the certification authorities in this file of PEM, instead of the system's")
	fs.DurationVar(&d.timeout, "timeout", 10*time.Second, "give up on a directory that does not answer for so long")
	bindEnv(fs, "directory", "timeout")
	bindSealEnv(cmd, "user", "WAXWING_DIRECTORY_USER")
	bindSealEnv(cmd, "password-file", "WAXWING_DIRECTORY_PASSWORD_FILE", passwordVariable)
	bindSealEnv(cmd, "ca", "WAXWING_DIRECTORY_CA")
	must(cmd.MarkFlagFilename("password-file"))
	must(cmd.MarkFlagFilename("ca"))
}

// open is a client for it.
func (d *directoryFlags) open(cmd *cobra.Command) (*directory.Client, error) {
	if err := required(cmd, "directory", "user"); err != nil {
		return nil, err
	}
	switch {
	case d.url == "":
		return nil, errors.New("--directory, or WAXWING_DIRECTORY, must name the broker, such as https://broker:8080")
	case d.user == "":
		return nil, errors.New("--user, or WAXWING_DIRECTORY_USER, must name the user that logs in at the directory")
	case d.timeout <= 0:
		return nil, errors.New("--timeout must be above 0")
	}
	source := d.passwordFile
	if source == "" {
		source = "env:" + passwordVariable
	}
	password, err := readSource(cmd, "--password-file", source)
	if err != nil {
		return nil, err
	}
	cfg := directory.Config{URL: d.url, User: d.user, Password: strings.TrimRight(string(password), "\r\n"), Timeout: d.timeout}
	if d.ca != "" {
		text, err := os.ReadFile(d.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca: %s has no certificate in PEM", d.ca)
		}
		cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	client, err := directory.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("--directory: %s", strings.TrimPrefix(err.Error(), "directory: "))
	}
	return client, nil
}

// explain is an error about an identity in words of the command line's.
func (d *directoryFlags) explain(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return errInterrupted
	case errors.Is(err, directory.ErrNotFound):
		return &plainError{name + " is not in the directory", err}
	}
	return &plainError{name + ": " + d.reason(err), err}
}

// reason is what went wrong. What the directory says itself is not trusted with the
// terminal.
func (d *directoryFlags) reason(err error) string {
	var refused *directory.Error
	var failed net.Error
	switch {
	case errors.Is(err, directory.ErrUnauthorized):
		return fmt.Sprintf("the directory refuses the user %q or the password", d.user)
	case errors.As(err, &refused):
		return "the directory says: " + printable(oneLine(refused.Error()))
	case errors.As(err, &failed) && failed.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the directory at %s has not answered within %v (--timeout)", d.url, d.timeout)
	case errors.As(err, &failed):
		return fmt.Sprintf("asking the directory at %s: %s", d.url, printable(oneLine(failed.Error())))
	}
	return printable(oneLine(sealError(err).Error()))
}
