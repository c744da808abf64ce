package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func newSagaShowCommand() *cobra.Command {
	var where sagaDatabase
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "show ID...",
		Short: "Show where sagas stand, step by step",
		Long: `Shows of each saga its state, its steps and what it knows. A step is sent, waiting (for
its next attempt), done, refused, unknown (it may have happened), stuck or skipped;
its compensation is undoing, undo-waiting, undone, undo-stuck or undo-skipped. A
saga that does not exist makes the exit code 1.`,
		Example: `  waxwing saga show order-17 --dsn postgres://app:secret@db/shop
  waxwing saga show order-17 order-18 --output json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			all := []*saga.Instance{}
			err := where.eachSaga(cmd, ids, func(ctx context.Context, db *sqldb.DB[*sql.Tx], id string) error {
				in, err := saga.Show(ctx, db, id)
				if err == nil {
					all = append(all, in)
				}
				return err
			})
			if out.json() {
				return errors.Join(printJSON(cmd.OutOrStdout(), all), err)
			}
			for i, in := range all {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if e := printSaga(cmd.OutOrStdout(), in); e != nil {
					return e
				}
			}
			return err
		},
	}
	where.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

// printSaga writes one saga.
func printSaga(w io.Writer, in *saga.Instance) error {
	fmt.Fprintf(w, "saga %s of %s, version %d: %s\n", in.ID, in.Name, in.Version, in.State)
	if in.Reason != "" {
		fmt.Fprintf(w, "turned back by %s\n", oneLine(in.Reason))
	}
	if in.Request != "" {
		fmt.Fprintf(w, "%s is asked for; an engine does it at its next look\n", in.Request)
	}
	fmt.Fprintf(w, "started %s, updated %s, revision %d\n", in.Created.Format(time.RFC3339), in.Updated.Format(time.RFC3339), in.Revision)
	fmt.Fprintf(w, "data %s\n", in.Data)
	var rows [][]string
	for _, s := range in.Steps {
		due := "-"
		if s.Due != nil {
			due = s.Due.Format(time.RFC3339)
		}
		rows = append(rows, []string{s.Name, orDash(s.Status), strconv.Itoa(s.Attempts), due, orDash(oneLine(s.Error))})
	}
	return printTable(w, []string{"STEP", "STATUS", "ATTEMPTS", "DUE", "ERROR"}, rows)
}

// orDash is s, or a dash in its place.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
