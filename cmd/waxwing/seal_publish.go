package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// sealDatabase holds the flags of commands that work with a service's own database.
type sealDatabase struct {
	database
	identity, storageKey string
	oldKeys              []string
}

// addTo adds the flags to cmd.
func (s *sealDatabase) addTo(cmd *cobra.Command) {
	s.database.addTo(cmd)
	fs := cmd.Flags()
	fs.StringVar(&s.identity, "identity", "", "the service's identity: a file, -, env:NAME, or db:NAME for one that the database has")
	fs.StringVar(&s.storageKey, "storage-key", "", "the key that wraps secrets in the database: a file, -, or env:NAME")
	fs.StringArrayVar(&s.oldKeys, "old-storage-key", nil, "a key before that one, which some secrets are wrapped under still; may be repeated")
	bindSealEnv(cmd, "identity", "WAXWING_SEAL_IDENTITY")
	bindSealEnv(cmd, "storage-key", "WAXWING_SEAL_STORAGE_KEY")
}

// ring reads the storage keys.
func (s *sealDatabase) ring(cmd *cobra.Command) (*seal.KeyRing, error) {
	active, err := readKey(cmd, "--storage-key", s.storageKey, seal.DecodeStorageKey)
	if err != nil {
		return nil, err
	}
	var old []seal.StorageKey
	for _, source := range s.oldKeys {
		k, err := readKey(cmd, "--old-storage-key", source, seal.DecodeStorageKey)
		if err != nil {
			return nil, err
		}
		old = append(old, k)
	}
	ring, err := seal.NewKeyRing(active, old...)
	return ring, sealError(err)
}

// endpoint is what with calls do with.
type endpoint struct {
	*seal.Endpoint[*sql.Tx]
	id *seal.Identity
}

// with opens the database and calls do with an endpoint of the identity's.
func (s *sealDatabase) with(cmd *cobra.Command, do func(ctx context.Context, e endpoint) error, opts ...seal.Option) error {
	keys, err := s.ring(cmd)
	if err != nil {
		return err
	}
	var id *seal.Identity
	name, stored := cutDB(s.identity)
	if !stored {
		if id, err = readKey(cmd, "--identity", s.identity, seal.DecodeIdentity); err != nil {
			return err
		}
	}
	return s.database.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
		if stored {
			if id, err = seal.LoadIdentity(ctx, db, keys, name); err != nil {
				return fmt.Errorf("--identity: %w", sealError(err))
			}
		}
		e, err := seal.New(db, id, keys, opts...)
		if err != nil {
			return sealError(err)
		}
		return do(ctx, endpoint{e, id})
	})
}

// sealPublication holds the flags of commands that publish an identity's prekeys.
type sealPublication struct {
	sealDatabase
	directoryFlags
	rootFile string
	oneTime  int
	profile  *enumValue
}

// addTo adds the flags to cmd.
func (p *sealPublication) addTo(cmd *cobra.Command) {
	p.sealDatabase.addTo(cmd)
	p.directoryFlags.addTo(cmd)
	cmd.Flags().StringVar(&p.rootFile, "root", "", "refuse a certificate that is not by the root with this public key: a file, -, or env:NAME")
	cmd.Flags().IntVar(&p.oneTime, "one-time-keys", seal.DefaultOneTime, "have so many one-time keys wait at the directory")
	p.profile = newEnum(profileNames()...)
	addEnum(cmd, p.profile, "profile", "", "the protocol of its sessions, which all services share")
}

// with calls publish with an endpoint of the identity's, and prints what the directory
// has then, after what was done.
func (p *sealPublication) with(cmd *cobra.Command, done string, publish func(ctx context.Context, e endpoint) error) error {
	if p.oneTime < 1 || p.oneTime > directory.OneTimeMax {
		return fmt.Errorf("--one-time-keys must be between 1 and %d", directory.OneTimeMax)
	}
	if err := required(cmd, "identity", "storage-key", "dsn", "directory", "user"); err != nil {
		return err
	}
	if err := oneStdin(append(p.oldKeys, p.identity, p.storageKey, p.passwordFile, p.rootFile)...); err != nil {
		return err
	}
	client, err := p.directoryFlags.open(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	trust := seal.TOFU() // publishing trusts nobody, but an endpoint wants to know
	var root *seal.RootKey
	if p.rootFile != "" {
		k, err := readKey(cmd, "--root", p.rootFile, seal.ParseRootKey)
		if err != nil {
			return err
		}
		root, trust = &k, seal.Pinned(k)
	}
	return p.sealDatabase.with(cmd, func(ctx context.Context, e endpoint) error {
		if err := checkOwn(e.id, root); err != nil {
			return err
		}
		if err := publish(ctx, e); err != nil {
			return p.explain(e.Name(), err)
		}
		status, err := client.Status(ctx, e.Name())
		if err != nil {
			return p.explain(e.Name(), err)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s: %s and %s wait, signed prekey %d, last-resort key %d\n", done, e.Name(),
			count(status.OneTime, "one-time key"), count(status.OneTimeKEM, "one-time KEM key"), status.SignedID, status.LastResortID)
		return nil
	}, trust, seal.Through(client), seal.OneTimeKeys(p.oneTime), seal.Profile(profileOf(p.profile.value)))
}

func newSealPublishCommand() *cobra.Command {
	var p sealPublication
	cmd := &cobra.Command{
		Use:   "publish",
		Short: "Publish an identity's certificate and prekeys at the directory",
		Long: `Makes the prekeys that are missing or older than a week, keeps their private halves in
the service's database, and publishes the public ones with the identity's certificate:
what others need to begin a session. A service does the same while it runs
(seal.Endpoint.Run); it may be repeated. The database has the tables of the SDK
("waxwing sql migrate").

With --root nothing is published unless that root has signed the certificate.`,
		Example: `  waxwing seal publish --identity payments.id --storage-key storage.key --dsn sqlite:shop.db --directory https://broker:8080 --user payments --password-file password`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, "published", func(ctx context.Context, e endpoint) error { return e.Publish(ctx) })
		},
	}
	p.addTo(cmd)
	return cmd
}

// checkOwn refuses an identity whose certificate others would refuse.
func checkOwn(id *seal.Identity, root *seal.RootKey) error {
	c := id.Certificate()
	if c == nil {
		return errors.New("the identity has no certificate")
	}
	if root != nil {
		_, err := root.Verify(c.Bytes(), time.Now())
		return sealError(err)
	}
	if time.Now().After(c.NotAfter) {
		return fmt.Errorf("the certificate of %s has ended on %s", c.Name, c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// profileNames are those of --profile.
func profileNames() (names []string) {
	for _, p := range profiles {
		names = append(names, p.String())
	}
	return names
}

// profileOf is the profile of a name that --profile has.
func profileOf(name string) ratchet.Profile {
	for _, p := range profiles {
		if p.String() == name {
			return p
		}
	}
	return 0
}
