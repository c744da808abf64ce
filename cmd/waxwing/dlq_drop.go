package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func newDLQDropCommand() *cobra.Command {
	var d database
	var c filterFlags
	var dryRun bool
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "drop [ID...]",
		Short: "Delete dead letters",
		Long: `Deletes the dead letters that are named, or all of --consumer that the other flags
choose, and lets those behind them go on. They are handled by nobody any more, also
if the broker sends them again. There is no way back and no question asked.`,
		Example: `  waxwing dlq drop 17 18 --dsn sqlite:shop.db
  waxwing dlq drop --dsn sqlite:shop.db --consumer billing --key o1 --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := c.filter(args)
			if err != nil {
				return err
			}
			if f.Consumer == "" && len(f.IDs) == 0 {
				return errors.New("name the dead letters, or their --consumer")
			}
			return d.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
				ids, err := inbox.DropDeadLetters(ctx, db, f, dryRun)
				if out.json() {
					return errors.Join(err, printJSON(cmd.OutOrStdout(), map[string]any{"dropped": append([]int64{}, ids...), "dry_run": dryRun}))
				}
				verb := "dropped"
				if dryRun {
					verb = "would drop"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", verb, count(len(ids), "dead letter"))
				return err
			})
		},
	}
	d.addTo(cmd)
	c.addTo(cmd, "drop at most so many; 0 is all")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "tell how many would be dropped, and change nothing")
	out.addTo(cmd)
	return cmd
}
