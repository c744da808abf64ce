package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/sqldb"
)

func newSQLCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sql",
		GroupID: groupApp,
		Short:   "Make and check the SDK's tables in an application's database",
		Long: `Outbox, inbox and saga keep their state in tables of the application's own database,
whose names begin with waxwing_. These commands make and check them; an application
can do the same with sqldb.Migrate and sqldb.Validate.`,
		Example: `  waxwing sql migrate --dsn postgres://app:secret@localhost/shop
  waxwing sql validate --dsn postgres://app:secret@localhost/shop
  waxwing sql print --dialect postgres`,
		RunE: showHelp,
	}
	cmd.AddCommand(newSQLMigrateCommand(), newSQLValidateCommand(), newSQLPrintCommand())
	return cmd
}

func newSQLMigrateCommand() *cobra.Command {
	var d database
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Make the SDK's tables, or bring them up to date",
		Long: `Applies the migrations that the database does not have yet. It may be called again,
and by several at once.`,
		Example: `  waxwing sql migrate --dsn mysql://app:secret@localhost/shop
  waxwing sql migrate --dsn sqlite:shop.db`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, pool, err := d.open(true)
			if err != nil {
				return err
			}
			defer pool.Close()
			if err := sqldb.Migrate(cmd.Context(), db); err != nil {
				return err
			}
			all, err := sqldb.Migrations(db.Dialect().String())
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "the tables are at version %d (%s)\n", len(all), all[len(all)-1].Name)
			}
			return err
		},
	}
	d.addTo(cmd)
	return cmd
}

func newSQLValidateCommand() *cobra.Command {
	var d database
	cmd := &cobra.Command{
		Use:     "validate",
		Short:   "Check that the SDK's tables are there",
		Long:    "Checks that all migrations were applied and all tables are there, and changes nothing.",
		Example: `  waxwing sql validate --dsn sqlite:shop.db`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.with(cmd, func(context.Context, *sqldb.DB[*sql.Tx]) error {
				fmt.Fprintln(cmd.OutOrStdout(), "the tables are up to date")
				return nil
			})
		},
	}
	d.addTo(cmd)
	return cmd
}

func newSQLPrintCommand() *cobra.Command {
	dialect := newEnum("postgres", "mysql", "sqlite")
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the statements that make the SDK's tables",
		Long: `Prints the migrations, for those who apply them with a tool of their own. "waxwing sql
validate" looks for a row per migration in waxwing_migration, which "waxwing sql
migrate" writes: the statements can be repeated.`,
		Example: `  waxwing sql print
  waxwing sql print --dialect mysql > waxwing.sql`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := sqldb.Migrations(dialect.value)
			if err != nil {
				return err
			}
			for _, m := range all {
				fmt.Fprintf(cmd.OutOrStdout(), "-- %d: %s\n%s", m.Version, m.Name, m.SQL)
			}
			return nil
		},
	}
	addEnum(cmd, dialect, "dialect", "", "for which database")
	return cmd
}
