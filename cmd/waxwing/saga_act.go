package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func newSagaRetryCommand() *cobra.Command {
	cmd := newSagaActCommand("retry", saga.Retry[*sql.Tx])
	cmd.Short = "Have the stuck steps of sagas sent again"
	cmd.Long = `Asks for the steps that need attention to be sent again, with as many attempts as at
first. An engine of the service does so at its next look, usually within a second; if
none runs, the request waits.`
	cmd.Example = `  waxwing saga retry order-17 --dsn postgres://app:secret@db/shop
  waxwing saga retry order-17 order-18`
	return cmd
}

func newSagaSkipCommand() *cobra.Command {
	cmd := newSagaActCommand("skip", saga.Skip[*sql.Tx])
	cmd.Short = "Have sagas go on as if their stuck steps were done"
	cmd.Long = `Asks for sagas to go on as if the steps that need attention were done, or undone if
it is their compensation that is stuck: for when somebody has seen to that by hand.
An engine of the service does so at its next look. There is no way back.`
	cmd.Example = `  waxwing saga skip order-17 --dsn postgres://app:secret@db/shop
  waxwing saga skip order-17 order-18`
	return cmd
}

// newSagaActCommand is a command that asks for something.
func newSagaActCommand(what string, ask func(ctx context.Context, db *sqldb.DB[*sql.Tx], id string) error) *cobra.Command {
	var where sagaDatabase
	cmd := &cobra.Command{
		Use:  what + " ID...",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			return where.eachSaga(cmd, ids, func(ctx context.Context, db *sqldb.DB[*sql.Tx], id string) error {
				if err := ask(ctx, db, id); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "asked to %s saga %s\n", what, id)
				return nil
			})
		},
	}
	where.addTo(cmd)
	return cmd
}
