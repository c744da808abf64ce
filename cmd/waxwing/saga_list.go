package main

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// sagaStates are the values of --state.
var sagaStates = []string{"live", "attention", "running", "compensating", "completed", "compensated", "all"}

// sagaList holds the flags of `waxwing saga list`.
type sagaList struct {
	db    sagaDatabase
	state *enumValue
	name  string
	after string
	limit int
	out   outputFlag
}

func newSagaListCommand() *cobra.Command {
	c := sagaList{state: newEnum(sagaStates...), out: newOutputFlag()}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List sagas",
		Long: `Lists sagas by id: with the default --state live those that have not ended. Those in
the state attention wait for an operator; STEP is the one that needs it, or that is
under way. --limit bounds how many are listed, --after goes on behind an id.`,
		Example: `  waxwing saga list --dsn postgres://app:secret@db/shop
  waxwing saga list --state attention
  waxwing saga list --state all --name checkout --output json`,
		Args: cobra.NoArgs,
		RunE: c.run,
	}
	c.db.addTo(cmd)
	addEnum(cmd, c.state, "state", "s", "list those in this state; live are all that have not ended")
	fs := cmd.Flags()
	fs.StringVar(&c.name, "name", "", "list those of this definition")
	fs.StringVar(&c.after, "after", "", "list those behind this id")
	fs.IntVar(&c.limit, "limit", 100, "list at most so many")
	c.out.addTo(cmd)
	return cmd
}

func (c *sagaList) run(cmd *cobra.Command, _ []string) error {
	if c.limit < 1 {
		return fmt.Errorf("--limit must be at least 1")
	}
	f := saga.Filter{State: c.state.value, Name: c.name, After: c.after, Limit: c.limit}
	if f.State == "all" {
		f.State = ""
	}
	all := []saga.Instance{}
	err := c.db.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
		found, err := saga.List(ctx, db, f)
		all = append(all, found...)
		return err
	})
	if err != nil {
		return err
	}
	if c.out.json() {
		return printJSON(cmd.OutOrStdout(), all)
	}
	var rows [][]string
	for _, in := range all {
		rows = append(rows, []string{in.ID, in.Name, strconv.Itoa(in.Version), in.State, sagaAt(&in), in.Updated.Format(time.RFC3339)})
	}
	return printTable(cmd.OutOrStdout(), []string{"ID", "SAGA", "VERSION", "STATE", "STEP", "UPDATED"}, rows)
}

// sagaAt names the steps that are stuck, or else under way.
func sagaAt(in *saga.Instance) string {
	var stuck, open []string
	for _, s := range in.Steps {
		switch {
		case s.Stuck():
			stuck = append(stuck, s.Name)
		case s.Open():
			open = append(open, s.Name)
		}
	}
	if len(stuck) > 0 {
		open = stuck
	}
	if len(open) == 0 {
		return "-"
	}
	return strings.Join(open, ",")
}
