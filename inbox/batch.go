package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// batchLocks is, in PostgreSQL, for how long a statement of a batch waits for a lock:
// shorter than it takes to find a deadlock, longer than most batches. A wait that the
// caller has made shorter stays so.
const batchLocks = `SELECT CASE WHEN waits = '0' OR waits::interval > '50 milliseconds' THEN set_config('lock_timeout', '50', true) END
	FROM current_setting('lock_timeout') AS waits`

// A member is a message of a batch.
type member[TX any] struct {
	item
	h     handler[TX] // nil if nobody handles it
	topic string      // that h was registered for
	r     result
}

// ProcessBatch handles deliveries of one lane, in their order, and is what Run gives to
// the subscriber. Several share a transaction, see Batch. It returns how many of the
// first may be acknowledged, as Process says it of one; those behind them should be
// handed over again. If it returns an error for several, each of them should be handed
// over alone: nothing has happened, or the answer to the commit was lost.
func (i *Inbox[TX]) ProcessBatch(ctx context.Context, ds []*bus.Delivery) (done int, err error) {
	if len(ds) == 0 {
		return 0, nil
	}
	members := i.members(ds)
	if len(members) < 2 || safeguard.Removed(safeguard.Ratchet) {
		if err := i.Process(ctx, ds[0]); err != nil {
			return 0, err
		}
		return 1, nil
	}
	done, err = i.tryBatch(ctx, members)
	i.m.batch(err)
	if err != nil {
		i.o.log.Debug("inbox: a batch is undone", "consumer", i.consumer, "messages", len(members), "reason", err)
		return 0, err
	}
	for n := range members[:done] {
		i.done(&members[n].item, members[n].r)
	}
	return done, nil
}

// members are the first of some deliveries that can be in one batch.
func (i *Inbox[TX]) members(ds []*bus.Delivery) []member[TX] {
	out := make([]member[TX], 0, len(ds))
	for _, d := range ds {
		m := member[TX]{r: ignored}
		if m.h, m.topic = i.handler(d.Topic, d.Type); m.h == nil {
			m.d = d
		} else if m.item = i.o.identity(d); m.level == byNothing {
			return out
		}
		out = append(out, m)
	}
	return out
}

// tryBatch handles messages in one transaction, as many as it takes in.
func (i *Inbox[TX]) tryBatch(ctx context.Context, members []member[TX]) (done int, err error) {
	start := time.Now()
	err = i.inBatch(ctx, func(ctx context.Context, tx TX) error {
		for done < len(members) && (done == 0 || time.Since(start) < i.o.batchTime) {
			if err := i.tryMember(ctx, tx, &members[done]); err != nil {
				return err
			}
			done++
		}
		return killpoint.At(ctx, killpoint.HandlerCommit, killpoint.Before)
	})
	if err != nil {
		return 0, err
	}
	for n := range members[:done] {
		if members[n].r == behind {
			err = errors.Join(err, killpoint.At(ctx, killpoint.Park, killpoint.After))
		}
	}
	return done, errors.Join(err, killpoint.At(ctx, killpoint.HandlerCommit, killpoint.After))
}

// inBatch runs f in a transaction for a batch.
func (i *Inbox[TX]) inBatch(ctx context.Context, f func(ctx context.Context, tx TX) error) error {
	if i.db.Dialect() != sqltx.Postgres {
		return i.db.InTx(ctx, f)
	}
	return i.db.InTxFirst(ctx, batchLocks, nil, func(rows sqltx.Rows) error {
		for rows.Next() {
		}
		return rows.Err()
	}, f)
}

// tryMember handles a message of a batch.
func (i *Inbox[TX]) tryMember(ctx context.Context, tx TX, m *member[TX]) error {
	if m.h == nil {
		return i.discard(ctx, i.db.Bind(tx), m.d)
	}
	i.catchUp.saw(m.d, m.topic, i.now())
	c := i.db.Bind(tx)
	a, err := i.admitWithin(ctx, c, &m.item)
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	switch {
	case !a.fresh:
		m.r = duplicate
		return nil
	case a.parked:
		m.r = behind
		err := i.putBehind(ctx, c, &m.item)
		if errors.Is(err, errOpenedBefore) {
			m.r, err = duplicate, nil
		}
		return err
	}
	m.r = handled
	if err := i.run(ctx, tx, m.h, &m.item, 1); errors.Is(err, errOpenedBefore) {
		m.r = duplicate
	} else if err != nil {
		return err
	}
	return i.stillWithin(ctx, c)
}

var errEnded = errors.New("inbox: the transaction has ended under the handler's hands")

// stillWithin finds out whether the transaction is still there. SQLite ends it by itself
// at some errors, such as a statement whose context has ended, and carries out what
// follows all the same, each statement by itself. If the handler has passed over that
// error, the messages before it have lost their effects. PostgreSQL, and connections
// of sqldb's to MySQL, refuse what follows.
func (i *Inbox[TX]) stillWithin(ctx context.Context, c sqltx.Conn) error {
	if i.db.Dialect() != sqltx.SQLite {
		return nil
	}
	if _, err := c.Exec(ctx, "BEGIN"); err == nil { // which fails within a transaction
		return errEnded
	}
	return nil
}
