package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
)

func newSealRequestCommand() *cobra.Command {
	var identity string
	var c certificateFlags
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Print a request for an identity's next certificate",
		Long: `Prints a certificate that the identity has signed itself, which shows that who asks has
its private key. "waxwing seal sign", where the root is, makes one by the root of it. Ask
before the present one ends.`,
		Example: `  waxwing seal request --identity payments.id > payments.request`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			id, err := readKey(cmd, "--identity", identity, seal.DecodeIdentity)
			if err != nil {
				return err
			}
			if now := id.Certificate(); now != nil && !cmd.Flags().Changed("lanes") {
				c.lanes = now.Lanes
			}
			if err := c.check(); err != nil {
				return err
			}
			if id, err = id.SelfSigned(c.lanes, c.until(time.Now())); err != nil {
				return sealError(err)
			}
			_, err = cmd.OutOrStdout().Write(id.Certificate().Encode())
			return err
		},
	}
	addIdentity(cmd, &identity)
	c.addTo(cmd, "in how many lanes the service seals, 1 to 256 (default: as now)")
	return cmd
}

// addIdentity adds --identity to cmd.
func addIdentity(cmd *cobra.Command, identity *string) {
	cmd.Flags().StringVar(identity, "identity", "", "the service's identity: a file, -, or env:NAME")
	bindSealEnv(cmd, "identity", "WAXWING_SEAL_IDENTITY")
}

// bindSealEnv lets a variable set a flag. It holds what the flag would: the name of a
// file, not a secret.
func bindSealEnv(cmd *cobra.Command, flag string, variables ...string) {
	must(cmd.Flags().SetAnnotation(flag, envAnnotation, variables))
}

func newSealSignCommand() *cobra.Command {
	var rootFile, key string
	var c certificateFlags
	cmd := &cobra.Command{
		Use:   "sign NAME [FILE]",
		Short: "Sign the certificate that an identity asks for",
		Long: `Reads a request, from a file or stdin, and prints a certificate by the root. NAME must
be the request's: it says for whom you mean to sign. The signature is all that others go
by, so make sure that the request comes from that service: its key, which "waxwing seal
inspect" shows on both machines, may be given as --key.`,
		Example: `  waxwing seal sign payments payments.request --root root.key > payments.cert
  waxwing seal request --identity payments.id | waxwing seal sign payments --root root.key --valid 90d > payments.cert`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := fileOrStdin(args[1:])
			if err := oneStdin(from, rootFile); err != nil {
				return err
			}
			request, err := readKey(cmd, "the request", from, seal.DecodeCertificate)
			if err == nil {
				err = checkRequest(request, args[0], key)
			}
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("lanes") {
				c.lanes = request.Lanes
			}
			if err := c.check(); err != nil {
				return err
			}
			root, err := readKey(cmd, "--root", rootFile, seal.DecodeRoot)
			if err != nil {
				return err
			}
			cert, err := issue(root, request, c.lanes, &c)
			if err != nil {
				return sealError(err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "signed a certificate for %s: %s\n", cert.Name, certificateLine(cert))
			_, err = cmd.OutOrStdout().Write(cert.Encode())
			return err
		},
	}
	cmd.Flags().StringVar(&rootFile, "root", "", "the organisation's root: a file, -, or env:NAME")
	cmd.Flags().StringVar(&key, "key", "", "refuse a request for another public key, in hexadecimal")
	c.addTo(cmd, "in how many lanes the service may seal, 1 to 256 (default: as it asks)")
	return cmd
}

// fileOrStdin is the file of an optional argument.
func fileOrStdin(args []string) string {
	if len(args) == 0 {
		return "-"
	}
	return args[0]
}

// checkRequest refuses a request that is not what was expected. That it is signed by
// the key that it is about was seen when it was parsed.
func checkRequest(c *seal.Certificate, name, key string) error {
	switch {
	case !isSelfSigned(c):
		return errors.New("this is a certificate by a root, not a request: see \"waxwing seal request\"")
	case c.Name != name:
		return fmt.Errorf("the request is for %q, not for %q", c.Name, name)
	case key != "" && !strings.EqualFold(key, fmt.Sprintf("%x", c.Key[:])):
		return fmt.Errorf("the request is for the key %x, not for that of --key", c.Key[:])
	}
	return nil
}

func newSealInstallCommand() *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use:   "install [FILE]",
		Short: "Put a certificate into an identity's file",
		Long: `Reads a certificate that "waxwing seal sign" has printed, from a file or stdin, and puts
it into the identity's file in place of the one that is there. Publish afterwards
("waxwing seal publish"), and restart the service's processes.`,
		Example: `  waxwing seal install payments.cert --identity payments.id`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if identity == "-" || strings.HasPrefix(identity, "env:") {
				return errors.New("--identity must be a file here, since it is changed")
			}
			id, err := readKey(cmd, "--identity", identity, seal.DecodeIdentity)
			if err != nil {
				return err
			}
			cert, err := readKey(cmd, "the certificate", fileOrStdin(args), seal.DecodeCertificate)
			if err != nil {
				return err
			}
			if id, err = id.WithCertificate(cert); err != nil {
				return sealError(err)
			}
			if err := replaceSecret(identity, id.Encode()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s has a certificate: %s\n", id.Name(), certificateLine(cert))
			return nil
		},
	}
	addIdentity(cmd, &identity)
	return cmd
}
