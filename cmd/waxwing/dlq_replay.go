package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// replayJSON is the result of `waxwing dlq replay`.
type replayJSON struct {
	Replayed []int64 `json:"replayed"`
	Guarded  []int64 `json:"guarded"`
	DryRun   bool    `json:"dry_run"`
	Resumed  bool    `json:"resumed"`
	Done     bool    `json:"done"`
}

func newDLQReplayCommand() *cobra.Command {
	var d database
	var c filterFlags
	var o inbox.ReplayOptions
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Have dead letters handled again",
		Long: `Gives dead letters back to their consumer, in the order in which they came: all that
the flags choose, or those that are named. The running application handles them, and
then those that wait behind them.

A replay without ids that is interrupted, or stopped by --limit, goes on where it
stopped when it is called again with the same --consumer, --topic and --key; what has
failed again meanwhile is left for the next replay. --restart begins anew.

A dead letter that was replayed --max-replays times already is left out and told;
--force replays it.`,
		Example: `  waxwing dlq replay --dsn sqlite:shop.db --consumer billing --dry-run
  waxwing dlq replay --dsn sqlite:shop.db --consumer billing --limit 100
  waxwing dlq replay 17 18 --dsn sqlite:shop.db --force`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := c.filter(args)
			if err != nil {
				return err
			}
			if o.MaxReplays < 1 {
				return fmt.Errorf("--max-replays must be at least 1")
			}
			return d.with(cmd, func(ctx context.Context, db *sqldb.DB[*sql.Tx]) error {
				r, err := inbox.ReplayDeadLetters(ctx, db, f, o)
				if err != nil {
					return err
				}
				if out.json() {
					return printJSON(cmd.OutOrStdout(), replayJSON{append([]int64{}, r.IDs...), append([]int64{}, r.Guarded...), o.DryRun, r.Resumed, r.Done})
				}
				printReplay(cmd, &r, o.DryRun)
				return nil
			})
		},
	}
	d.addTo(cmd)
	c.addTo(cmd, "replay at most so many; 0 is all")
	fs := cmd.Flags()
	fs.BoolVar(&o.DryRun, "dry-run", false, "tell what would be replayed, and change nothing")
	fs.IntVar(&o.MaxReplays, "max-replays", inbox.MaxReplays, "leave out those that were replayed so often already")
	fs.BoolVar(&o.Force, "force", false, "replay them nevertheless")
	fs.BoolVar(&o.Restart, "restart", false, "do not go on where an earlier replay stopped")
	out.addTo(cmd)
	return cmd
}

func printReplay(cmd *cobra.Command, r *inbox.Replay, dryRun bool) {
	w, verb := cmd.OutOrStdout(), "replayed"
	if dryRun {
		verb = "would replay"
	}
	if r.Resumed {
		fmt.Fprintln(cmd.ErrOrStderr(), "going on where an earlier replay stopped")
	}
	fmt.Fprintf(w, "%s %s", verb, count(len(r.IDs), "dead letter"))
	if len(r.IDs) > 0 {
		fmt.Fprintf(w, ": %s", idList(r.IDs))
	}
	fmt.Fprintln(w)
	if len(r.Guarded) > 0 {
		fmt.Fprintf(w, "left out, since replayed too often (--force): %s\n", idList(r.Guarded))
	}
	if !r.Done {
		fmt.Fprintln(cmd.ErrOrStderr(), "there may be more: call it again to go on")
	}
}
