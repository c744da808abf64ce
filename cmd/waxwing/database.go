package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"

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

// open opens the database. A file of SQLite must be there, unless it may be made.
func (d *database) open(mayMake bool) (*sqldb.DB[*sql.Tx], *sql.DB, error) {
	if d.dsn == "" {
		return nil, nil, errors.New("--dsn, or WAXWING_DSN, must name the database, such as postgres://USER:PASSWORD@HOST/DATABASE")
	}
	if file, ok := strings.CutPrefix(d.dsn, "sqlite:"); ok && !mayMake {
		file, _, _ = strings.Cut(strings.TrimPrefix(file, "//"), "?")
		if _, err := os.Stat(file); err != nil {
			return nil, nil, err
		}
	}
	return sqldb.Open(d.dsn)
}

// with opens the database, which has the SDK's tables, for the time of f.
func (d *database) with(cmd *cobra.Command, f func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error) error {
	db, pool, err := d.open(false)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := sqldb.Validate(cmd.Context(), db); err != nil {
		return err
	}
	return f(cmd.Context(), db)
}
