package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// database holds the flag of every command that looks into an application's
// database.
type database struct{ dsn string }

// addTo adds the flag to cmd.
func (d *database) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&d.dsn, "dsn", "", "the database, such as postgres://user:password@host/name, mysql://… or sqlite:file")
	bindEnv(fs, "dsn")
}

// with opens the database for the time of f.
func (d *database) with(cmd *cobra.Command, f func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error) error {
	if d.dsn == "" {
		return errors.New("--dsn must say which database")
	}
	db, pool, err := sqldb.Open(d.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(cmd.Context(), db)
}
