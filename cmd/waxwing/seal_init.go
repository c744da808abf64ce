package main

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
)

func newSealInitCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a root, an identity or a storage key",
		Long: `Makes keys at random and writes them to files that only their owner may read. A file
that exists is left as it is, and is an error.`,
		Example: `  waxwing seal init root --out root.key > root.pub
  waxwing seal init identity payments --root root.key --out payments.id > payments.cert
  waxwing seal init storage-key --out storage.key`,
		RunE: showHelp,
	}
	cmd.AddCommand(newSealInitRootCommand(), newSealInitIdentityCommand(), newSealInitStorageKeyCommand())
	return cmd
}

// addOut adds --out to cmd.
func addOut(cmd *cobra.Command, out *string) {
	cmd.Flags().StringVar(out, "out", "", "write it to this file, which must not exist")
	must(cmd.MarkFlagFilename("out"))
}

func newSealInitRootCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "root",
		Short: "Make the organisation's root",
		Long: `Makes the key that signs certificates, and prints its public half, which every service
pins (seal.Pinned). Keep the private one where no service runs: whoever has it can be
any service.`,
		Example: `  waxwing seal init root --out root.key > root.pub`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := seal.NewRoot()
			if err == nil {
				err = createSecret(out, root.Encode())
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "made the root %x in %s\n", root.Public().ID(), out)
			_, err = cmd.OutOrStdout().Write(root.Public().Encode())
			return err
		},
	}
	addOut(cmd, &out)
	return cmd
}

func newSealInitIdentityCommand() *cobra.Command {
	var out, rootFile string
	var c certificateFlags
	cmd := &cobra.Command{
		Use:   "identity NAME",
		Short: "Make a service's identity",
		Long: `Makes the identity of a service, which all its processes share, and prints its
certificate. With --root the organisation's root signs that. Without, the identity does
itself: what is printed is then a request, for "waxwing seal sign" on the machine that
has the root.

A service has as many sessions with each other one as its certificate has lanes. In each
of them one message is sealed at a time; messages of one key are in one lane. Services
that seal to each other should have the same number.`,
		Example: `  waxwing seal init identity payments --root root.key --out payments.id > payments.cert
  waxwing seal init identity payments --lanes 16 --out payments.id > payments.request`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(); err != nil {
				return err
			}
			id, err := seal.NewIdentity(args[0])
			if err == nil {
				id, err = id.SelfSigned(c.lanes, c.until(time.Now()))
			}
			if err != nil {
				return sealError(err)
			}
			if rootFile != "" {
				root, err := readKey(cmd, "--root", rootFile, seal.DecodeRoot)
				if err != nil {
					return err
				}
				cert, err := issue(root, id.Certificate(), c.lanes, &c)
				if err == nil {
					id, err = id.WithCertificate(cert)
				}
				if err != nil {
					return sealError(err)
				}
			}
			if err := createSecret(out, id.Encode()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "made the identity %s in %s: %s\n", id.Name(), out, certificateLine(id.Certificate()))
			_, err = cmd.OutOrStdout().Write(id.Certificate().Encode())
			return err
		},
	}
	addOut(cmd, &out)
	cmd.Flags().StringVar(&rootFile, "root", "", "have this root sign the certificate: a file, -, or env:NAME")
	c.addTo(cmd, "in how many lanes the service seals, 1 to 256")
	return cmd
}

// issue signs a certificate for the name and the key of another one.
func issue(root *seal.Root, request *seal.Certificate, lanes int, c *certificateFlags) (*seal.Certificate, error) {
	now := time.Now().Truncate(time.Second)
	return root.Issue(seal.Certificate{Name: request.Name, Key: request.Key, Lanes: lanes, NotBefore: now, NotAfter: c.until(now)})
}

// certificateLine tells a certificate in a line.
func certificateLine(c *seal.Certificate) string {
	return fmt.Sprintf("key %x, %s, until %s, %s", c.Key[:], count(c.Lanes, "lane"), c.NotAfter.Format(time.RFC3339), signerText(c))
}

// signerText says who has signed a certificate, according to itself.
func signerText(c *seal.Certificate) string {
	if isSelfSigned(c) {
		return "signed by itself"
	}
	return fmt.Sprintf("signed by root %x", c.RootID)
}

// isSelfSigned says whether a certificate is by the identity itself.
func isSelfSigned(c *seal.Certificate) bool { return c.RootID == [8]byte{} }

func newSealInitStorageKeyCommand() *cobra.Command {
	var out string
	var id uint32
	cmd := &cobra.Command{
		Use:   "storage-key",
		Short: "Make the key that encrypts a service's secrets in its database",
		Long: `Makes the key that encrypts, "wraps", the secrets which a service keeps in its database.
Keep it out of the backups of that database. Its id, a number above 0, must not be that
of another key of the service; by default it is chosen at random.`,
		Example: `  waxwing seal init storage-key --out storage.key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("id") {
				id = randomKeyID()
			}
			key, err := seal.NewStorageKey(id)
			if err != nil {
				return sealError(err)
			}
			if err := createSecret(out, key.Encode()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "made storage key %d in %s\n", key.ID(), out)
			return nil
		},
	}
	addOut(cmd, &out)
	cmd.Flags().Uint32Var(&id, "id", 0, "the key's number (default: at random)")
	return cmd
}

// randomKeyID is a number for a storage key, which is not 0.
func randomKeyID() uint32 {
	for {
		var b [4]byte
		rand.Read(b[:]) // never fails
		if id := binary.BigEndian.Uint32(b[:]); id != 0 {
			return id
		}
	}
}
