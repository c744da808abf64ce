package inbox

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A fate is what becomes of a message that is put aside.
type fate struct {
	dead     bool
	attempts int
	pause    time.Duration
	reason   error
}

func (f fate) point() killpoint.Point {
	if f.dead {
		return killpoint.DeadLetter
	}
	return killpoint.Park
}

// park puts a message aside that failed, in a transaction of its own. It begins
// as that of the handler does, so that it notices if somebody else was able to
// handle the message meanwhile.
func (i *Inbox[TX]) park(ctx context.Context, it *item, f fate) error {
	if err := killpoint.At(ctx, f.point(), killpoint.Before); err != nil {
		return err
	}
	err := i.admitted(ctx, it, func(ctx context.Context, tx TX, a admission) error {
		if !a.fresh {
			return errSeen
		}
		c := i.db.Bind(tx)
		if err := i.pinned(ctx, c, it.d, f.reason); err != nil {
			return err
		}
		return insert(ctx, c, i.failedRow(it, f))
	})
	switch {
	case errors.Is(err, errSeen):
		i.m.skipped(it)
		return nil
	case err != nil:
		return err
	}
	if f.dead {
		i.m.done(dead)
	} else {
		i.m.done(parked)
	}
	i.o.log.Warn("inbox: a message is put aside", append(i.about(it.d, f.reason), "dead", f.dead, "attempts", f.attempts)...)
	return killpoint.At(ctx, f.point(), killpoint.After)
}

// newRow is a row for a message.
func (i *Inbox[TX]) newRow(it *item) *row {
	now := i.now()
	r := &row{consumer: i.consumer, keyCol: it.keyCol, eventKey: it.eventKey, state: stateRetry, due: now, parkedAt: now, d: *it.d}
	if it.d.Key != "" {
		r.blocks = 1
	}
	return r
}

// failedRow is a row for a message that failed.
func (i *Inbox[TX]) failedRow(it *item, f fate) *row {
	r := i.newRow(it)
	r.attempts, r.reason, r.failedAt = f.attempts, reasonText(f.reason), r.parkedAt
	r.due += f.pause.Microseconds()
	if f.dead {
		r.state, r.due = stateDead, r.parkedAt
		if i.o.unordered {
			r.blocks = 0
		}
	}
	return r
}

// putBehind puts a message behind others of its key.
//
// It waits for nobody, also not for the handler of one that is being tried again
// at this moment. If it can lock one of them, that one cannot go before this
// transaction ends, and whoever removes it sees this row and gives it its turn. If
// not, the row gives itself a turn; who takes it finds out whether it is the first.
func (i *Inbox[TX]) putBehind(ctx context.Context, c sqltx.Conn, it *item) error {
	if err := killpoint.At(ctx, killpoint.Park, killpoint.Before); err != nil {
		return err
	}
	if err := i.pin(ctx, c, it.d); wasOpened(err) {
		if i.isControl(it) {
			return errOpenedBefore
		}
	} else if err != nil {
		return err
	}
	r := i.newRow(it)
	locked, err := i.lockOne(ctx, c, r, math.MaxInt64)
	if err != nil {
		return err
	}
	if locked {
		r.state = stateWaiting
	} else {
		i.raise()
	}
	return insert(ctx, c, r)
}

// lockOne locks a row of the key, with a lower id, that nobody has locked.
func (i *Inbox[TX]) lockOne(ctx context.Context, c sqltx.Conn, r *row, below int64) (bool, error) {
	rows, err := c.Query(ctx, "SELECT p.id FROM waxwing_parked p WHERE "+parkedKey+" AND p.id < ? ORDER BY p.id DESC LIMIT 1"+i.db.Dialect().SkipLocked(),
		i.consumer, r.d.Topic, r.keyCol, below)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// raise has Run look for what is due.
func (i *Inbox[TX]) raise() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}
