package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpPublisher is one publishing client. The client library copies a body
// before it returns, so one is enough. When a message was due is kept in a ring
// by its number; a confirm finds it there.
type amqpPublisher struct {
	run *amqpRun
	id  int
	s   *amqpSession

	body     []byte
	message  amqp.Publishing
	confirms chan amqp.Confirmation // nil without --confirms
	due      []time.Duration        // of message n at n % len
	settled  atomic.Uint64          // confirms that have come, all but the warm-up's
	wake     chan struct{}          // something was settled
	stop     context.CancelFunc     // ends the publishing of all at the first failure

	ledger  ledger    // the confirmed messages
	latency histogram // from due to confirmed
	lag     histogram // from due to handed to the client, with --rate

	acked  atomic.Int64
	failed atomic.Int64
}

func newAMQPPublisher(r *amqpRun, id int, s *amqpSession) (*amqpPublisher, error) {
	p := &amqpPublisher{
		run: r, id: id, s: s, stop: func() {}, wake: make(chan struct{}, 1),
		body: newPayload(int(r.flags.size), rand.New(rand.NewPCG(uint64(id), 1))),
	}
	p.message = amqp.Publishing{Body: p.body, DeliveryMode: amqp.Transient}
	if r.flags.durable {
		p.message.DeliveryMode = amqp.Persistent
	}
	if !r.flags.confirms {
		return p, nil
	}
	p.due = make([]time.Duration, r.flags.inflight)
	p.confirms = s.ch.NotifyPublish(make(chan amqp.Confirmation, r.flags.inflight))
	if err := s.ch.Confirm(false); err != nil {
		return p, fmt.Errorf("the broker does not confirm: %w", s.reason(err))
	}
	return p, nil
}

// send hands one message to the client.
func (p *amqpPublisher) send(queue string, due time.Duration, sequence uint64) error {
	stamp(p.body, p.run.id, due, p.id, sequence)
	return p.s.ch.PublishWithContext(context.Background(), "", queue, false, false, p.message)
}

// warmUp publishes one message to each of the publisher's share of the queues
// and waits until the broker has them.
func (p *amqpPublisher) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.timeout+time.Duration(len(p.run.queues))*time.Millisecond)
	defer cancel()
	defer context.AfterFunc(ctx, func() { p.s.wire.Close() })()
	window := 0
	for i := p.id; i < len(p.run.queues); i += p.run.flags.publishers {
		if err := p.send(p.run.queues[i], 0, warmUpSequence); err != nil {
			return p.explain(ctx, err)
		}
		if window++; p.confirms != nil && window == cap(p.confirms) {
			if err := p.awaitConfirms(ctx, window); err != nil {
				return err
			}
			window = 0
		}
	}
	if p.confirms != nil {
		return p.awaitConfirms(ctx, window)
	}
	return p.explain(ctx, p.sync())
}

// awaitConfirms takes n confirms of warm-up messages.
func (p *amqpPublisher) awaitConfirms(ctx context.Context, n int) error {
	for range n {
		c, ok := <-p.confirms
		if !ok {
			return p.explain(ctx, amqp.ErrClosed)
		}
		if !c.Ack {
			return errRefused
		}
	}
	return nil
}

var errRefused = errors.New("the broker refuses messages (basic.nack)")

// sync returns when the broker has taken all that was published.
func (p *amqpPublisher) sync() error {
	_, err := p.s.ch.QueueDeclarePassive(p.run.queues[0], false, false, false, false, nil)
	return err
}

// explain says why publishing has ended. ctx is the one that cuts the
// connection.
func (p *amqpPublisher) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s: no confirm within %s", p.s.where, p.s.timeout)
	case ctx.Err() != nil:
		return errInterrupted
	}
	select {
	case e := <-p.s.closed:
		if e != nil {
			err = e
		}
	case <-time.After(100 * time.Millisecond): // the reason may come a little later
	}
	return fmt.Errorf("lost the broker at %s: %w", p.s.where, p.s.reason(err))
}

// hear counts confirms until the channel is closed. They come in the order of
// their numbers; skip of them were of the warm-up.
func (p *amqpPublisher) hear(skip uint64) {
	const look = 64 // confirms that share a look at the clock
	for c := range p.confirms {
		now := p.run.now()
		p.settle(c, skip, now)
		for n := len(p.confirms); n > 0; n-- {
			if n%look == 0 {
				now = p.run.now()
			}
			c = <-p.confirms
			p.settle(c, skip, now)
		}
		p.settled.Store(c.DeliveryTag - skip)
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
	p.stop() // or the publisher waits for room that never comes
}

func (p *amqpPublisher) settle(c amqp.Confirmation, skip uint64, now time.Duration) {
	sequence := c.DeliveryTag - skip - 1
	if !c.Ack {
		p.failed.Add(1)
		p.stop()
		return
	}
	p.latency.record(now - p.due[sequence%uint64(len(p.due))])
	p.ledger.add(sequence)
	p.acked.Add(1)
}

// publish sends messages until there have been n or, without a schedule, until
// the deadline (each unlimited if 0), or until ctx is over, and waits for the
// confirms until cut is over.
func (p *amqpPublisher) publish(ctx, cut context.Context, n uint64, deadline time.Duration) error {
	flags := p.run.flags
	pace := pacer{perSecond: flags.rate / float64(flags.publishers), base: p.run.base, start: p.run.began}
	sequence := uint64(0)
	for ; (n == 0 || sequence < n) && sequence < ledgerMax && ctx.Err() == nil; sequence++ {
		due := pace.wait(ctx, sequence)
		if !p.room(ctx, sequence) {
			break
		}
		now := p.run.now()
		if pace.free() {
			due = now
		} else {
			p.lag.record(now - due)
		}
		if deadline > 0 && now >= deadline {
			break
		}
		if p.confirms != nil {
			p.due[sequence%uint64(len(p.due))] = due
		}
		// Publishers begin at different queues, so that they do not meet.
		at := (sequence*uint64(flags.publishers) + uint64(p.id)) % uint64(len(p.run.queues))
		if err := p.send(p.run.queues[at], due, sequence); err != nil {
			return p.explain(cut, err)
		}
		if p.confirms == nil {
			p.ledger.add(sequence)
			p.acked.Add(1)
		}
	}
	return p.flush(cut, sequence)
}

// room waits until one more message may be under way; false when ctx is over.
func (p *amqpPublisher) room(ctx context.Context, sequence uint64) bool {
	for p.confirms != nil && sequence-p.settled.Load() >= uint64(len(p.due)) {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// flush waits until all of sent messages are settled.
func (p *amqpPublisher) flush(cut context.Context, sent uint64) error {
	if p.confirms == nil {
		return p.explain(cut, p.sync())
	}
	if p.s.ch.IsClosed() { // that all are settled is chance
		return p.explain(cut, amqp.ErrClosed)
	}
	for p.settled.Load() < sent {
		before := p.settled.Load()
		select {
		case <-p.wake:
		case e := <-p.s.closed:
			if e == nil {
				e = amqp.ErrClosed
			}
			return p.explain(cut, e)
		case <-time.After(p.s.timeout):
			if p.settled.Load() == before {
				return fmt.Errorf("no answer from %s: no confirm within %s", p.s.where, p.s.timeout)
			}
		}
	}
	return nil
}

// publish runs all publishers to their end.
func (r *amqpRun) publish(outer context.Context) error {
	ctx, stop := context.WithCancel(outer)
	defer stop()
	ticker := r.startProgress()
	skip := make([]uint64, len(r.publishers))
	for i, p := range r.publishers {
		p.stop = stop
		if p.confirms != nil {
			skip[i] = p.s.ch.GetNextPublishSeqNo() - 1
			go p.hear(skip[i]) // ends with the connection
		}
	}
	r.began = r.now()
	var wg sync.WaitGroup
	errs := make([]error, len(r.publishers))
	for i, p := range r.publishers {
		wg.Go(func() {
			n, deadline := benchGoal(r.flags.messages, r.flags.duration, r.flags.rate, r.began, i, len(r.publishers))
			if errs[i] = p.publishWatched(outer, ctx, n, deadline); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	r.done = r.now()
	ticker.stop()
	r.interrupted = outer.Err() != nil
	return errors.Join(errs...)
}

// publishWatched is publish. A signal ends the sending, not the wait for the
// confirms, and cuts the connection if that takes longer than the time limit.
func (p *amqpPublisher) publishWatched(outer, ctx context.Context, n uint64, deadline time.Duration) error {
	cut, cancel := context.WithCancel(context.WithoutCancel(outer))
	defer cancel()
	defer context.AfterFunc(cut, func() { p.s.wire.Close() })()
	defer context.AfterFunc(outer, func() { time.AfterFunc(p.s.timeout, cancel) })()
	return p.publish(ctx, cut, n, deadline)
}
