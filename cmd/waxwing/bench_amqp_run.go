package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpRun is one run of `waxwing bench amqp` against one broker.
type amqpRun struct {
	flags    *benchAMQP
	progress io.Writer
	base     time.Time // stamps count from here
	id       uint64    // told in every message, so that others' are not counted

	admin   *amqpSession
	queues  []string
	created bool // the queues are ours to delete

	publishers  []*amqpPublisher
	pass        *amqpPass     // nil unless --consume asks for it
	began, done time.Duration // the time of publishing, from base
	interrupted bool          // by a signal, while publishing
}

func newAMQPRun(flags *benchAMQP, progress io.Writer) *amqpRun {
	return &amqpRun{flags: flags, progress: progress, base: time.Now(), id: rand.Uint64()}
}

// now is the time since base, in the clock that all stamps share.
func (r *amqpRun) now() time.Duration { return time.Since(r.base) }

// open connects once more.
func (r *amqpRun) open(ctx context.Context) (*amqpSession, error) { return r.flags.conn.open(ctx) }

// openQueues declares the queues, or takes the existing one.
func (r *amqpRun) openQueues(ctx context.Context) (err error) {
	if r.admin, err = r.open(ctx); err != nil {
		return err
	}
	name := r.flags.queue
	if name == "" {
		name = fmt.Sprintf("waxwing-bench-%08x", uint32(r.id))
	}
	r.queues = []string{name}
	if r.flags.queues > 1 {
		r.queues = nil
		for i := range r.flags.queues {
			r.queues = append(r.queues, fmt.Sprintf("%s-%d", name, i))
		}
	}
	err = r.admin.within(func() error {
		_, err := r.admin.ch.QueueDeclarePassive(r.queues[0], false, false, false, false, nil)
		return err
	})
	if err == nil {
		return nil
	}
	if isCode(err, amqp.NotFound) {
		r.created = true
		err = r.eachQueue(ctx, func(s *amqpSession, name string) error {
			_, err := s.ch.QueueDeclare(name, r.flags.durable, false, false, false, withType(r.flags.arguments, r.flags.kind.value))
			return err
		})
	}
	if err != nil {
		err = errors.Join(queueError(r.queues[0], err), r.closeQueues(ctx))
	}
	return err
}

// queueConnections is how many connections declare and delete queues at once:
// each waits for the broker's disk.
const queueConnections = 16

// eachQueue does something with each queue, many at once.
func (r *amqpRun) eachQueue(ctx context.Context, do func(s *amqpSession, name string) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, min(queueConnections, len(r.queues)))
	for i := range errs {
		wg.Go(func() {
			s, err := r.open(ctx)
			if err == nil {
				defer s.close()
				defer context.AfterFunc(ctx, func() { s.wire.Close() })()
			}
			for n := next.Add(1) - 1; err == nil && n < int64(len(r.queues)); n = next.Add(1) - 1 {
				err = s.within(func() error { return do(s, r.queues[n]) })
			}
			if err != nil && ctx.Err() == nil {
				errs[i] = err
				stop()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// closeQueues deletes what openQueues declared, even after a signal.
func (r *amqpRun) closeQueues(outer context.Context) error {
	defer r.admin.close()
	if !r.created || r.flags.keep {
		return nil
	}
	err := r.eachQueue(context.WithoutCancel(outer), func(s *amqpSession, name string) error {
		_, err := s.ch.QueueDelete(name, false, false, false)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot delete the bench's queues: %w", amqpError(err))
	}
	return nil
}

// openPublishers connects the publishers, and has them publish one message to
// each queue.
func (r *amqpRun) openPublishers(ctx context.Context) error {
	for i := range r.flags.publishers {
		s, err := r.open(ctx)
		if err != nil {
			return err
		}
		p, err := newAMQPPublisher(r, i, s)
		r.publishers = append(r.publishers, p)
		if err != nil {
			return err
		}
		if err := p.warmUp(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *amqpRun) closePublishers() {
	for _, p := range r.publishers {
		p.s.close()
	}
}

// acked is how many messages have been confirmed, and failed how many refused,
// by all publishers so far.
func (r *amqpRun) acked() (acked, failed int64) {
	for _, p := range r.publishers {
		acked += p.acked.Load()
		failed += p.failed.Load()
	}
	return acked, failed
}

// latency copies the confirm latencies of all publishers.
func (r *amqpRun) latency() *counts {
	c := &counts{}
	for _, p := range r.publishers {
		c.add(&p.latency)
	}
	return c
}

// startProgress begins to print what the run does.
func (r *amqpRun) startProgress() *ticker {
	return startTicker(r.progress, int64(r.flags.size), func() sample {
		s := sample{at: r.now(), latency: r.latency()}
		s.acked, s.failed = r.acked()
		if r.pass != nil {
			s.received = r.pass.received.Load()
		}
		return s
	})
}
