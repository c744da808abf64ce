package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

const (
	dueAtOnce  = 100 // how many keys a look takes
	turnsAtOne = 100 // how many messages of a key are handled before the next look
)

// RetryDue tries messages again that were put aside and are due, and those behind
// them, until none is due. Run does so all the time; it is for those who run an
// inbox by Process, and for tests. It returns how many are no longer put aside.
func (i *Inbox[TX]) RetryDue(ctx context.Context) (int, error) {
	total := 0
	for {
		n, err := i.retryOnce(ctx)
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// retryOnce takes what is due now, keys side by side.
func (i *Inbox[TX]) retryOnce(ctx context.Context) (int, error) {
	ids, err := i.due(ctx)
	if err != nil {
		return 0, err
	}
	var handled atomic.Int64
	var g errgroup.Group
	g.SetLimit(i.o.lanes)
	for _, id := range ids {
		g.Go(func() error {
			n, err := i.retryKey(ctx, id)
			handled.Add(int64(n))
			return err
		})
	}
	err = g.Wait()
	return int(handled.Load()), err
}

// due are the ids of messages whose turn it is.
func (i *Inbox[TX]) due(ctx context.Context) (ids []int64, err error) {
	err = sqltx.Each(ctx, i.db.Conn(), "SELECT id FROM waxwing_parked WHERE consumer = ? AND state = ? AND due_us <= ? ORDER BY due_us LIMIT ?",
		[]any{i.consumer, stateRetry, i.now(), dueAtOnce}, func(read func(dest ...any) error) error {
			var id int64
			err := read(&id)
			ids = append(ids, id)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return ids, nil
}

// retryKey tries a message, and if that is handled the next of its key, and so on.
func (i *Inbox[TX]) retryKey(ctx context.Context, id int64) (n int, err error) {
	for n < turnsAtOne && id != 0 {
		done, next, err := i.retryRow(ctx, id)
		if err != nil {
			return n, err
		}
		if !done {
			return n, nil
		}
		n, id = n+1, next
	}
	return n, nil
}

// errNotNow ends a transaction whose row somebody else has, or has had.
var errNotNow = errors.New("inbox: not this one's turn")

// retryRow tries a message that was put aside again. The row is its own
// protection: the handler's transaction deletes it.
func (i *Inbox[TX]) retryRow(ctx context.Context, id int64) (done bool, next int64, err error) {
	var r *row
	ran, became := false, handled
	err = i.inTx(ctx, func(ctx context.Context, tx TX) error {
		c := i.db.Bind(tx)
		ran, became = false, handled
		var err error
		if r, err = i.take(ctx, c, id); err != nil || r == nil {
			return err
		}
		i.m.retries.Inc()
		ran = true
		if err := i.runRow(ctx, tx, r); errors.Is(err, errOpenedBefore) {
			became = duplicate
		} else if err != nil {
			return err
		}
		if next, err = remove(ctx, c, r, i.now()); err != nil {
			return err
		}
		return killpoint.At(ctx, killpoint.HandlerCommit, killpoint.Before)
	})
	switch {
	case errors.Is(err, errNotNow) || err == nil && r == nil:
		return false, 0, nil
	case err == nil:
		it := i.o.identity(&r.d)
		i.done(&it, became)
		return true, next, killpoint.At(ctx, killpoint.HandlerCommit, killpoint.After)
	case ctx.Err() != nil:
		return false, 0, ctx.Err()
	case !ran:
		return false, 0, fmt.Errorf("inbox: %w", err)
	}
	return i.failedAgain(ctx, r, err)
}

// runRow calls the handler of a row's message.
func (i *Inbox[TX]) runRow(ctx context.Context, tx TX, r *row) error {
	h, _ := i.handler(r.d.Topic, r.d.Type)
	if h == nil {
		return fmt.Errorf("there is no handler for %q of topic %q any more", r.d.Type, r.d.Topic)
	}
	it := i.o.identity(&r.d)
	return i.run(ctx, tx, h, &it, r.attempts+1)
}

// take locks a row that is due, and the first of its key. It returns nil, and lets
// what it wrote be committed, if the row has to wait for another.
//
// Who holds the first row of a key is the only one that handles messages of it:
// that it is the first is asked after it is locked, by a statement of its own, which
// sees all rows that were committed before this one was.
func (i *Inbox[TX]) take(ctx context.Context, c sqltx.Conn, id int64) (*row, error) {
	rows, err := rowsWhere(ctx, c, "id = ? AND consumer = ? AND state = ? AND due_us <= ?"+i.db.Dialect().SkipLocked(), id, i.consumer, stateRetry, i.now())
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errNotNow
	}
	r := rows[0]
	if r.blocks == 0 {
		return r, nil
	}
	first, err := firstOf(ctx, c, r)
	if err != nil || first == r.id {
		return r, err
	}
	locked, err := i.lockOne(ctx, c, r, r.id)
	if err != nil || !locked {
		return nil, errors.Join(err, errNotNow)
	}
	_, err = c.Exec(ctx, "UPDATE waxwing_parked SET state = ? WHERE id = ?", stateWaiting, r.id)
	return nil, err
}

// failedAgain decides what becomes of a message that failed again.
func (i *Inbox[TX]) failedAgain(ctx context.Context, r *row, failure error) (done bool, next int64, err error) {
	v, _ := verdictOf(failure)
	attempts := r.attempts + 1
	f := fate{attempts: attempts, pause: i.o.pause(v, attempts), reason: failure}
	f.dead = v.kind == deadLetter || attempts >= i.o.maxAttempts
	point := f.point()
	err = i.inTx(ctx, func(ctx context.Context, tx TX) error {
		c := i.db.Bind(tx)
		if v.kind == reject {
			if next, err = i.rejectRow(ctx, c, r); err != nil {
				return err
			}
			return i.discard(ctx, c, &r.d)
		}
		if err := killpoint.At(ctx, point, killpoint.Before); err != nil {
			return err
		}
		if next, err = i.postpone(ctx, c, r, f); err != nil {
			return err
		}
		return i.pinned(ctx, c, &r.d, failure)
	})
	if errors.Is(err, errNotNow) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, fmt.Errorf("inbox: %w", err)
	}
	if v.kind == reject {
		i.m.done(rejected)
		return true, next, nil
	}
	if f.dead {
		i.m.done(dead)
		i.o.log.Warn("inbox: a dead letter", append(i.about(&r.d, failure), "attempts", attempts)...)
	}
	return next != 0, next, killpoint.At(ctx, point, killpoint.After)
}

// unchanged finds the row if nobody has tried it meanwhile.
const unchanged = " WHERE id = ? AND state = ? AND attempts = ? AND replays = ?"

// rejectRow removes a row whose message is rejected.
func (i *Inbox[TX]) rejectRow(ctx context.Context, c sqltx.Conn, r *row) (next int64, err error) {
	n, err := c.Exec(ctx, "UPDATE waxwing_parked SET attempts = attempts + 1"+unchanged, r.id, stateRetry, r.attempts, r.replays)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errNotNow
	}
	return remove(ctx, c, r, i.now())
}

// postpone writes down a failed attempt. A dead letter that blocks nobody gives the
// turn to the next of its key.
func (i *Inbox[TX]) postpone(ctx context.Context, c sqltx.Conn, r *row, f fate) (next int64, err error) {
	now, state, blocks := i.now(), stateRetry, r.blocks
	due := now + f.pause.Microseconds()
	if f.dead {
		state, due = stateDead, now
		if i.o.unordered {
			blocks = 0
		}
	}
	n, err := c.Exec(ctx, "UPDATE waxwing_parked SET state = ?, blocks = ?, due_us = ?, attempts = ?, failed_us = ?, reason = ?"+unchanged,
		state, blocks, due, f.attempts, now, reasonText(f.reason), r.id, stateRetry, r.attempts, r.replays)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errNotNow
	}
	if blocks == r.blocks {
		return 0, nil
	}
	return promote(ctx, c, r, now)
}

// retryLoop tries what is due until ctx ends.
func (i *Inbox[TX]) retryLoop(ctx context.Context) {
	tick := time.NewTicker(i.o.poll)
	defer tick.Stop()
	for {
		if _, err := i.RetryDue(ctx); err != nil && ctx.Err() == nil {
			i.o.log.Error("inbox: messages put aside cannot be tried again", "consumer", i.consumer, "error", err)
		}
		select {
		case <-tick.C:
		case <-i.wake:
		case <-ctx.Done():
			return
		}
	}
}
