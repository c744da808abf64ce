package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// MaxReplays is how often a dead letter is replayed, unless ReplayOptions say
// otherwise: what fails each time is not put round and round.
const MaxReplays = 3

// ReplayOptions say how ReplayDeadLetters works.
type ReplayOptions struct {
	DryRun     bool // change nothing
	MaxReplays int  // leave out those that were replayed so often already; MaxReplays by default
	Force      bool // replay them nevertheless
	Restart    bool // do not go on where an earlier replay with the same filter stopped
}

// A Replay is what ReplayDeadLetters did; with DryRun, what it would do.
type Replay struct {
	IDs     []int64 // of those that are tried again
	Guarded []int64 // of those that were replayed too often
	Resumed bool    // it went on where an earlier one had stopped
	Done    bool    // it has come to its end; false if Filter.Limit stopped it
}

// ReplayDeadLetters has dead letters tried again by their consumer, in the order of
// their ids, with as many attempts as if they had just come. They go straight to the
// handler, whatever was seen since, and are handled once: the transaction that
// handles one deletes it.
//
// A replay without ids that is interrupted, or stopped by Filter.Limit, goes on where
// it stopped when it is called again with the same consumer, topic and key: what it
// has replayed and what has failed again is not replayed a second time, and what has
// become a dead letter since it began is left for the next.
func ReplayDeadLetters[TX any](ctx context.Context, db *sqldb.DB[TX], f Filter, o ReplayOptions) (out Replay, err error) {
	f.All = false
	if o.MaxReplays <= 0 {
		o.MaxReplays = MaxReplays
	}
	p := progress{name: nameOf(&f), lasting: len(f.IDs) == 0 && !o.DryRun}
	if len(f.IDs) == 0 {
		if err := p.load(ctx, db.Conn(), &f, o); err != nil {
			return out, fmt.Errorf("inbox: %w", err)
		}
	}
	out.Resumed, f.After = p.last > 0, max(f.After, p.last)
	for {
		page, err := chosen(ctx, db, f, len(out.IDs))
		if err != nil {
			return out, err
		}
		if p.until > 0 {
			page = slices.DeleteFunc(page, func(r *row) bool { return r.id > p.until })
		}
		if len(page) == 0 {
			out.Done = f.Limit <= 0 || len(out.IDs) < f.Limit
			return out, p.end(ctx, db.Conn(), out.Done)
		}
		if err := replayPage(ctx, db, page, o, &p, &out); err != nil {
			return out, err
		}
		f.After = page[len(page)-1].id
	}
}

// replayPage gives a page of dead letters back to their consumers, and writes down
// how far that went, in one transaction.
func replayPage[TX any](ctx context.Context, db *sqldb.DB[TX], page []*row, o ReplayOptions, p *progress, out *Replay) error {
	var ids, guarded []int64
	err := again(ctx, func() error {
		ids, guarded = nil, nil
		return db.InTx(ctx, func(ctx context.Context, tx TX) error {
			c := db.Bind(tx)
			if err := killpoint.At(ctx, killpoint.Replay, killpoint.Before); err != nil {
				return err
			}
			for _, r := range page {
				if r.replays >= o.MaxReplays && !o.Force {
					guarded = append(guarded, r.id)
					continue
				}
				ok, err := revive(ctx, c, r, o.DryRun)
				if err != nil {
					return err
				}
				if ok {
					ids = append(ids, r.id)
				}
			}
			return p.save(ctx, c, page[len(page)-1].id)
		})
	})
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	out.IDs, out.Guarded = append(out.IDs, ids...), append(out.Guarded, guarded...)
	return killpoint.At(ctx, killpoint.Replay, killpoint.After)
}

// revive has a dead letter tried again, unless it is no longer as it was read.
func revive(ctx context.Context, c sqltx.Conn, r *row, dryRun bool) (bool, error) {
	if dryRun {
		return true, nil
	}
	n, err := c.Exec(ctx, "UPDATE waxwing_parked SET state = ?, attempts = 0, replays = replays + 1, due_us = 0"+unchanged,
		stateRetry, r.id, stateDead, r.attempts, r.replays)
	return n > 0, err
}

// progress is how far a replay has come, a row of waxwing_replay.
type progress struct {
	name        string
	lasting     bool // it is written down
	last, until int64
}

// nameOf names replays with the same filter.
func nameOf(f *Filter) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", f.Consumer, f.Topic, f.Key))
	return hex.EncodeToString(sum[:])
}

// load finds an earlier replay, or begins one that ends with what is there now.
func (p *progress) load(ctx context.Context, c sqltx.Conn, f *Filter, o ReplayOptions) error {
	if !o.Restart {
		err := sqltx.One(ctx, c, "SELECT last_id, until_id FROM waxwing_replay WHERE name = ?", []any{p.name}, &p.last, &p.until)
		if err == nil || !errors.Is(err, sqltx.ErrNoRows) {
			return err
		}
	}
	where, args := f.where()
	if err := sqltx.One(ctx, c, "SELECT COALESCE(MAX(id), 0) FROM waxwing_parked WHERE "+where, args, &p.until); err != nil {
		return err
	}
	if !p.lasting {
		return nil
	}
	if _, err := c.Exec(ctx, "DELETE FROM waxwing_replay WHERE name = ?", p.name); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "INSERT INTO waxwing_replay (name, last_id, until_id) VALUES (?, ?, ?)", p.name, p.last, p.until)
	return err
}

// save writes down how far the replay has come.
func (p *progress) save(ctx context.Context, c sqltx.Conn, last int64) error {
	if !p.lasting {
		return nil
	}
	_, err := c.Exec(ctx, "UPDATE waxwing_replay SET last_id = ? WHERE name = ?", last, p.name)
	return err
}

// end forgets a replay that is done.
func (p *progress) end(ctx context.Context, c sqltx.Conn, done bool) error {
	if !p.lasting || !done {
		return nil
	}
	_, err := c.Exec(ctx, "DELETE FROM waxwing_replay WHERE name = ?", p.name)
	return err
}
