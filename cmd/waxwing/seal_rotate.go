package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal"
)

// cutDB is the name of an identity that the database has: db:NAME.
func cutDB(source string) (name string, ok bool) { return strings.CutPrefix(source, "db:") }

func newSealRotateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the storage key of a service's database, or its prekeys",
		Long:  `Replaces keys, so that who has stolen old ones has no use of them.`,
		Example: `  waxwing seal rotate storage-key --identity payments.id --storage-key new.key --old-storage-key old.key --dsn sqlite:shop.db
  waxwing seal rotate prekeys --identity payments.id --storage-key storage.key --dsn sqlite:shop.db`,
		RunE: showHelp,
	}
	cmd.AddCommand(newSealRotateStorageKeyCommand(), newSealRotatePrekeysCommand())
	return cmd
}

func newSealRotateStorageKeyCommand() *cobra.Command {
	var s sealDatabase
	cmd := &cobra.Command{
		Use:   "storage-key",
		Short: "Encrypt a service's secrets in its database under another storage key",
		Long: `Encrypts ("wraps") the secrets of an identity that are in the database under the key of
--storage-key, whichever key of --old-storage-key they were wrapped under before. The
service may run meanwhile, if all its processes have both keys. It may be interrupted,
and goes on when it is repeated.

First give each process the new key as an old one, then as the active one, then call
this, then take the old key away. What is in backups and replicas stays as it was.`,
		Example: `  waxwing seal rotate storage-key --identity payments.id --storage-key new.key --old-storage-key old.key --dsn postgres://app:secret@db/shop
  waxwing seal rotate storage-key --identity db:payments --storage-key env:NEW --old-storage-key env:OLD --dsn sqlite:shop.db`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(cmd, "identity", "storage-key", "old-storage-key", "dsn"); err != nil {
				return err
			}
			if len(s.oldKeys) == 0 {
				return errors.New("--old-storage-key must name what the database is wrapped under")
			}
			if err := oneStdin(append(s.oldKeys, s.identity, s.storageKey)...); err != nil {
				return err
			}
			return s.with(cmd, func(ctx context.Context, e endpoint) error {
				rows, err := e.Rotate(ctx)
				if rows > 0 || err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "wrapped %s of %s anew\n", count(rows, "row"), e.Name())
				}
				if ctx.Err() != nil {
					return errInterrupted
				}
				return sealError(err)
			}, seal.TOFU()) // this trusts nobody, but an endpoint wants to know
		},
	}
	s.addTo(cmd)
	return cmd
}

func newSealRotatePrekeysCommand() *cobra.Command {
	var p sealPublication
	cmd := &cobra.Command{
		Use:   "prekeys",
		Short: "Make all prekeys of an identity anew and publish them",
		Long: `Makes the signed prekey, the last-resort key and all one-time keys anew, and publishes
them in place of those that wait at the directory. Do so when somebody may know the old
ones, or when the broker was restored from a backup and gives one-time keys out again.
The service may run meanwhile, and sessions go on. What was begun with the old ones still
opens, with the signed and the last-resort one for 30 days. It may be repeated.

Flags are those of "waxwing seal publish".`,
		Example: `  waxwing seal rotate prekeys --identity payments.id --storage-key storage.key --dsn sqlite:shop.db --directory https://broker:8080 --user payments --password-file password
  waxwing seal rotate prekeys --identity db:payments --storage-key env:STORAGE_KEY --dsn postgres://app:secret@db/shop --root root.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(cmd, "made anew the prekeys of", func(ctx context.Context, e endpoint) error { return e.RenewPrekeys(ctx) })
		},
	}
	p.addTo(cmd)
	return cmd
}
