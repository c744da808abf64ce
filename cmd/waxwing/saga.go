package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func newSagaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "saga",
		GroupID: groupApp,
		Short:   "List sagas, show them, and help those that are stuck",
		Long: `A saga of Waxwing's Go SDK is a row in the database of the service that runs it, named
by --dsn. A step that failed too often where there is no other way needs attention:
"retry" has it sent again, "skip" has the saga go on as if it were done.`,
		Example: `  waxwing saga list --state attention --dsn postgres://app:secret@db/shop
  waxwing saga show order-17 --dsn mysql://app:secret@db/shop
  waxwing saga retry order-17 --dsn sqlite:shop.db
  waxwing saga skip order-17 --dsn sqlite:shop.db`,
		RunE: showHelp,
	}
	cmd.AddCommand(newSagaListCommand(), newSagaShowCommand(), newSagaRetryCommand(), newSagaSkipCommand())
	return cmd
}

// sagaDatabase holds the flags that say in which database sagas are.
type sagaDatabase struct {
	database
	timeout time.Duration
}

// addTo adds the flags to cmd.
func (d *sagaDatabase) addTo(cmd *cobra.Command) {
	d.database.addTo(cmd)
	fs := cmd.Flags()
	fs.DurationVar(&d.timeout, "timeout", 10*time.Second, "give up on a database that does not answer for so long")
	bindEnv(fs, "timeout")
}

// with calls do with the database.
func (d *sagaDatabase) with(cmd *cobra.Command, do func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error) error {
	db, pool, err := d.open(false)
	if err != nil {
		return err
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), d.timeout)
	defer cancel()
	err = sqldb.Validate(ctx, db)
	if err == nil {
		err = do(ctx, db)
	}
	if errors.Is(err, context.DeadlineExceeded) && cmd.Context().Err() == nil {
		return fmt.Errorf("the database has not answered for %v: %w", d.timeout, err)
	}
	return err
}

// eachSaga calls do with each id, and goes on after one that fails.
func (d *sagaDatabase) eachSaga(cmd *cobra.Command, ids []string, do func(ctx context.Context, db *sqldb.DB[*sql.Tx], id string) error) error {
	return d.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
		var failed failures
		for _, id := range ids {
			if err := do(ctx, db, id); err != nil {
				failed = append(failed, sagaError(id, err))
			}
		}
		return failed.err()
	})
}

// sagaError names the saga, and what is wrong without the package's name.
func sagaError(id string, err error) error {
	switch {
	case errors.Is(err, saga.ErrNotFound):
		return fmt.Errorf("saga %q does not exist", id)
	case errors.Is(err, saga.ErrNotStuck):
		return fmt.Errorf("saga %q needs no attention", id)
	}
	return err
}
