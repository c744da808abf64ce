package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/msgtrace"
)

// A worker moves the events of its share of the relay's buckets, those whose number
// is its own modulo the number of workers: one round after the other, so that a
// bucket is in one batch at a time.
type worker struct {
	r      *Relay
	number int
	states [Buckets]bucketState
	limit  int // of rows per bucket, see sized
	turn   int // which of the buckets comes first
}

// A bucketState is what a worker remembers of a bucket while it has the lease.
type bucketState struct {
	token int64 // of the lease
	mark  mark
	holds holds
}

func newWorker(r *Relay, number int) *worker {
	return &worker{r: r, number: number, limit: min(r.batch, firstLimit)}
}

// run works until ctx ends. hard is for what is under way then.
func (w *worker) run(ctx, hard context.Context) {
	pause := w.r.pollMin
	for ctx.Err() == nil {
		woken, changed := w.r.wake.wait(), w.r.keeper.changed.wait()
		did, err := w.round(hard)
		switch {
		case err != nil:
			pause = min(max(pause*2, w.r.backMin), w.r.backMax)
			woken = nil
		case did.more:
			pause = w.r.pollMin
			continue
		case did.published > 0:
			pause = w.r.pollMin
		default:
			pause = min(pause*2, w.r.pollMax)
		}
		t := time.NewTimer(min(pause, w.untilRetry()))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-changed:
		case <-woken:
			pause = w.r.pollMin
		}
		t.Stop()
	}
}

// A result is what a round did.
type result struct {
	published int  // messages
	more      bool // there are further ones to be had at once
}

// A part is what a round has of one bucket.
type part struct {
	lease *lease
	state *bucketState
	limit int
	ids   []int64
	msgs  []bus.Message
	size  int
	full  bool // there may be more rows

	unread bool // the read ended early, maybe before this bucket
}

// round reads a batch, publishes it and deletes it.
func (w *worker) round(ctx context.Context) (result, error) {
	leases := w.r.keeper.borrow(w.number, w.r.workers)
	defer w.r.keeper.giveBack(leases)
	parts := w.parts(leases)
	if len(parts) == 0 {
		return result{}, nil
	}
	leased, cancel := within(ctx, parts)
	defer cancel()
	if err := w.read(leased, parts); err != nil {
		if leased.Err() != nil {
			return result{}, nil // the lease is over, or the relay ends
		}
		w.r.floor.reset()
		w.r.failed("read", err)
		return result{}, err
	}
	full, further := w.sized(parts)
	durable, n, err := w.publish(leased, parts)
	if n > 0 {
		err = errors.Join(err, w.remove(ctx, durable))
	}
	return result{published: n, more: full && n > 0 || further}, err
}

// parts are the buckets that may be read now.
func (w *worker) parts(leases []*lease) (out []*part) {
	now := time.Now()
	for _, l := range leases {
		s := &w.states[l.bucket]
		if s.token != l.token {
			*s = bucketState{token: l.token}
		}
		if !now.Before(s.holds.all.until) {
			out = append(out, &part{lease: l, state: s})
		}
	}
	if len(out) > 0 {
		w.turn++
		n := w.turn % len(out)
		out = append(out[n:], out[:n]...)
	}
	return out
}

// within is ctx until the first of the leases ends.
func within(ctx context.Context, parts []*part) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stops := make([]func() bool, len(parts))
	for i, p := range parts {
		stops[i] = context.AfterFunc(p.lease.ctx, cancel)
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// publish sends what the parts have and returns them with what is durable, and how
// many messages that are. An error is one after which nothing was learned.
func (w *worker) publish(ctx context.Context, parts []*part) ([]*part, int, error) {
	var msgs []bus.Message
	for _, p := range parts {
		msgs = append(msgs, p.msgs...)
	}
	if len(msgs) == 0 || ctx.Err() != nil {
		return nil, 0, nil
	}
	sent, err := w.send(ctx, msgs)
	if !sent {
		w.r.failed("publish", err)
		return nil, 0, err
	}
	if err == nil {
		w.r.metrics.durable(msgs, w.r.now())
		for _, p := range parts {
			p.state.holds.clear()
		}
		return parts, len(msgs), nil
	}
	return w.sift(ctx, parts, err)
}

// send calls the bus, and says whether that told which messages are durable.
func (w *worker) send(ctx context.Context, msgs []bus.Message) (sent bool, err error) {
	if err := killpoint.At(ctx, killpoint.OutboxSend, killpoint.Before); err != nil {
		return false, err
	}
	start := time.Now()
	spanned, span := msgtrace.Send(ctx, w.r.tracer, w.r.to.System(), msgs)
	err = w.r.to.Publish(spanned, msgs)
	msgtrace.End(span, err)
	w.r.metrics.publish.Observe(time.Since(start).Seconds())
	if lost := killpoint.At(ctx, killpoint.OutboxSend, killpoint.After); lost != nil {
		return false, lost
	}
	return true, err
}

// sift keeps what is durable of a batch for which the bus returned an error, and
// holds back the rest.
func (w *worker) sift(ctx context.Context, parts []*part, err error) ([]*part, int, error) {
	over := ctx.Err() != nil // then nothing is wrong with the messages
	at, n, first := 0, 0, true
	for _, p := range parts {
		var failed []*bus.Message
		ids, msgs := p.ids[:0], p.msgs[:0:0]
		for i := range p.msgs {
			if bad := bus.Failed(err, at+i); bad == nil {
				ids, msgs = append(ids, p.ids[i]), append(msgs, p.msgs[i])
			} else {
				failed = append(failed, &p.msgs[i])
				if first && !over {
					first = false
					w.r.failed("publish", bad)
					w.r.log.Warn("outbox: the first message that failed", "id", p.ids[i], "topic", p.msgs[i].Topic, "event", p.msgs[i].ID)
				}
			}
		}
		at += len(p.msgs)
		if !over {
			p.state.holds.note(failed, msgs, w.r.backMin, w.r.backMax)
		}
		p.ids, p.msgs = ids, msgs
		n += len(ids)
		w.r.metrics.durable(msgs, w.r.now())
	}
	return parts, n, nil
}

// untilRetry is how long it is until something that is held back is due.
func (w *worker) untilRetry() time.Duration {
	d := w.r.pollMax
	for b := range w.states {
		d = min(d, w.states[b].holds.next())
	}
	return max(d, time.Millisecond)
}
