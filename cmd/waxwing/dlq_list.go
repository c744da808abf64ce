package main

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func newDLQListCommand() *cobra.Command {
	var d database
	var c filterFlags
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters",
		Long: `Lists dead letters in the order in which they came, 100 unless --limit says otherwise;
--after goes on behind an id. With --all it also lists what is tried again (retry)
and what waits behind another message of its key (waiting).`,
		Example: `  waxwing dlq list --dsn sqlite:shop.db
  waxwing dlq list --dsn sqlite:shop.db --consumer billing --key o1 --all
  waxwing dlq list --dsn sqlite:shop.db --after 100 --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := c.filter(nil)
			if err != nil {
				return err
			}
			return d.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
				all, err := inbox.ListDeadLetters(ctx, db, f)
				if err != nil {
					return err
				}
				if out.json() {
					rows := []letterJSON{}
					for n := range all {
						rows = append(rows, newLetterJSON(&all[n]))
					}
					return printJSON(cmd.OutOrStdout(), rows)
				}
				return printTable(cmd.OutOrStdout(), []string{"ID", "CONSUMER", "TOPIC", "KEY", "TYPE", "STATE", "ATTEMPTS", "REPLAYS", "FAILED", "REASON"}, letterRows(all))
			})
		},
	}
	d.addTo(cmd)
	c.addTo(cmd, "list at most so many; 0 is 100")
	cmd.Flags().Int64Var(&c.f.After, "after", 0, "only those with a higher id")
	cmd.Flags().BoolVar(&c.f.All, "all", false, "also what is tried again, or waits behind others of its key")
	out.addTo(cmd)
	return cmd
}

func letterRows(all []inbox.Parked) (rows [][]string) {
	for _, l := range all {
		failed := "-"
		if !l.FailedAt.IsZero() {
			failed = l.FailedAt.Format(time.RFC3339)
		}
		rows = append(rows, []string{
			strconv.FormatInt(l.ID, 10), l.Consumer, l.Message.Topic, printable(l.Message.Key), printable(l.Message.Type), l.State,
			strconv.Itoa(l.Attempts), strconv.Itoa(l.Replays), failed, oneCell(l.Reason),
		})
	}
	return rows
}

// reasonWidth is how much of a reason a table shows.
const reasonWidth = 60

// oneCell is the first line of a text, shortened.
func oneCell(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > reasonWidth {
		line = string(runes[:reasonWidth-1]) + "…"
	}
	return printable(line)
}

// printable is a text as it stands if a terminal can show it, or else quoted.
func printable(text string) string {
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) < 0 {
		return text
	}
	return strconv.QuoteToASCII(text)
}
