package inbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/msgtrace"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// result is what became of a message, by the words of the metric's label.
type result string

const (
	handled   result = "handled"
	duplicate result = "duplicate"
	behind    result = "behind"  // put behind another of its key
	ignored   result = "ignored" // nobody handles it
	rejected  result = "rejected"
	parked    result = "parked"
	dead      result = "dead"
)

// inPlacePauseMax is how long a lane may wait for the next attempt.
const inPlacePauseMax = time.Second

// errSeen ends a transaction whose message was seen before.
var errSeen = errors.New("inbox: seen before")

// Process handles one delivery, in a transaction of its own. It returns nil if the message may be acknowledged: it was handled, now or before, or is put
// aside, durably. It returns an error if the database does not do its work, or ctx
// ends, and should be called again then.
func (i *Inbox[TX]) Process(ctx context.Context, d *bus.Delivery) error {
	h, topic := i.handler(d.Topic, d.Type)
	if h == nil {
		return i.ignore(ctx, d)
	}
	i.catchUp.saw(d, topic, i.now())
	it := i.o.identity(d)
	if it.level == byNothing {
		return i.park(ctx, &it, fate{dead: true, reason: errNoIdentity})
	}
	for attempt := 1; ; attempt++ {
		r, failure, err := i.try(ctx, &it, h, attempt)
		if err != nil {
			return err
		}
		if failure == nil {
			i.done(&it, r)
			return nil
		}
		if again, err := i.failed(ctx, &it, failure, attempt); !again {
			return err
		}
		i.m.retries.Inc()
	}
}

// done counts what became of a message, and wakes what waits for handlers' commits.
func (i *Inbox[TX]) done(it *item, r result) {
	if r == duplicate {
		i.m.skipped(it)
		return
	}
	i.m.done(r)
	if r == handled && i.o.waker != nil {
		i.o.waker.Wake()
	}
}

var errNoIdentity = errors.New("it has neither an id nor a position: nothing would tell it from its duplicate")

// try is one attempt, in one transaction: failure is the handler's, or the
// commit's; err is not the message's.
func (i *Inbox[TX]) try(ctx context.Context, it *item, h handler[TX], attempt int) (r result, failure, err error) {
	i.openApart(ctx, it)
	err = i.admitted(ctx, it, func(ctx context.Context, tx TX, a admission) error {
		switch {
		case !a.fresh:
			r = duplicate
			return errSeen
		case a.parked:
			r = behind
			err := i.putBehind(ctx, i.db.Bind(tx), it)
			if errors.Is(err, errOpenedBefore) {
				r, err = duplicate, nil
			}
			return err
		}
		r = handled
		if err := i.run(ctx, tx, h, it, attempt); errors.Is(err, errOpenedBefore) {
			r = duplicate // and its row is kept
			return nil
		} else if err != nil {
			return err
		}
		return killpoint.At(ctx, killpoint.HandlerCommit, killpoint.Before)
	})
	switch {
	case err == nil && r == duplicate:
		return r, nil, nil
	case err == nil && r == behind:
		return r, nil, killpoint.At(ctx, killpoint.Park, killpoint.After)
	case err == nil:
		return r, nil, killpoint.At(ctx, killpoint.HandlerCommit, killpoint.After)
	case errors.Is(err, errSeen):
		return duplicate, nil, nil
	case ctx.Err() != nil:
		return r, nil, ctx.Err()
	case r == handled && !errors.As(err, new(admitError)):
		return r, err, nil
	}
	return r, nil, err
}

// transientMax is how often a transaction is tried that others are in the way of.
const transientMax = 10

// inTx runs f in a transaction, and again, if others were in its way.
func (i *Inbox[TX]) inTx(ctx context.Context, f func(ctx context.Context, tx TX) error) error {
	return again(ctx, func() error { return i.db.InTx(ctx, f) })
}

// again calls f until others are not in its way. A verdict of the handler's stands.
func again(ctx context.Context, f func() error) (err error) {
	for n := 1; ; n++ {
		err = f()
		if err == nil || n == transientMax || !sqltx.Transient(err) {
			return err
		}
		if _, explicit := verdictOf(err); explicit {
			return err
		}
		if err := sleep(ctx, rand.N(time.Duration(n)*5*time.Millisecond)); err != nil {
			return err
		}
	}
}

// run opens the message, if it is sealed, and calls the handler, within a span.
func (i *Inbox[TX]) run(ctx context.Context, tx TX, h handler[TX], it *item, attempt int) error {
	m := *it.d // so that the next attempt finds it as it came
	if it.apart != nil {
		m = *it.apart
	} else if err := i.open(ctx, i.db.Bind(tx), it, &m); err != nil {
		return err
	}
	m.Attempt = max(it.d.Attempt, 1) + attempt - 1
	if err := killpoint.At(ctx, killpoint.Effect, killpoint.Before); err != nil {
		return err
	}
	start := time.Now()
	ctx, span := msgtrace.Process(ctx, i.tracer, i.speaks(it.d), i.consumer, &m)
	err := i.call(ctx, tx, h, &m)
	msgtrace.End(span, err)
	i.m.seconds.Observe(time.Since(start).Seconds())
	if err != nil {
		return err
	}
	return killpoint.At(ctx, killpoint.Effect, killpoint.After)
}

// failed decides what becomes of a message whose attempt failed: tried again at
// once, or else put aside or rejected.
func (i *Inbox[TX]) failed(ctx context.Context, it *item, failure error, attempt int) (again bool, err error) {
	v, _ := verdictOf(failure)
	pause := i.o.pause(v, attempt)
	switch {
	case v.kind == reject:
		return false, i.reject(ctx, it, failure)
	case v.kind == deadLetter || attempt >= i.o.maxAttempts:
		return false, i.park(ctx, it, fate{dead: true, attempts: attempt, reason: failure})
	case attempt < i.o.inPlace && pause <= inPlacePauseMax:
		if err := sleep(ctx, pause); err != nil {
			return false, err
		}
		return true, nil
	}
	return false, i.park(ctx, it, fate{attempts: attempt, pause: pause, reason: failure})
}

// reject keeps nothing but what says that the message was seen.
func (i *Inbox[TX]) reject(ctx context.Context, it *item, failure error) error {
	err := i.admitted(ctx, it, func(ctx context.Context, tx TX, a admission) error {
		if !a.fresh {
			return errSeen
		}
		return i.discard(ctx, i.db.Bind(tx), it.d)
	})
	if errors.Is(err, errSeen) {
		i.m.skipped(it)
		return nil
	}
	if err == nil {
		i.m.done(rejected)
		i.o.log.Info("inbox: rejected", i.about(it.d, failure)...)
	}
	return err
}

// about are the attributes of a message in the log.
func (i *Inbox[TX]) about(d *bus.Delivery, failure error) []any {
	return []any{"consumer", i.consumer, "topic", d.Topic, "key", d.Key, "id", d.ID, "type", d.Type, "reason", failure}
}
