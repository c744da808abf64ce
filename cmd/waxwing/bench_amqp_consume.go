package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpPass is the consuming of all messages by a set of consumers.
type amqpPass struct {
	run       *amqpRun
	consumers []*amqpConsumer
	wg        sync.WaitGroup
	err       atomic.Pointer[error] // the first failure
	closing   atomic.Bool           // the end of a connection is none from here on

	ledgers    []ledger  // what came, by publisher
	latency    histogram // from due to delivered
	received   atomic.Int64
	duplicates atomic.Int64
	bytes      atomic.Int64
	began      time.Duration // since the run's base
	last       atomic.Int64  // when the last message came, likewise
}

// amqpConsumer is one connection that consumes from its share of the queues.
type amqpConsumer struct {
	pass *amqpPass
	s    *amqpSession

	mu      sync.Mutex
	pending int    // delivered and not acknowledged
	tag     uint64 // of the last of them
	acked   uint64 // everything up to this tag is acknowledged

	ended sync.Once
	why   error // set by ended
}

// ackLate is the longest that a message waits for --ack-every to be reached.
const ackLate = 10 * time.Millisecond

// startPass connects the consumers and returns when each consumes.
func (r *amqpRun) startPass(ctx context.Context) (*amqpPass, error) {
	p := &amqpPass{run: r, ledgers: make([]ledger, len(r.publishers)), began: r.now()}
	p.last.Store(int64(p.began))
	for i := range r.flags.consumers {
		s, err := r.open(ctx)
		if err != nil {
			p.close()
			return nil, err
		}
		c := &amqpConsumer{pass: p, s: s}
		p.consumers = append(p.consumers, c)
		if err := c.start(ctx, r.share(i)); err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// share is which queues consumer i consumes from. With more consumers than
// queues, some queues have several.
func (r *amqpRun) share(i int) (queues []string) {
	if n := len(r.queues); n < r.flags.consumers {
		return []string{r.queues[i%n]}
	}
	for k := i; k < len(r.queues); k += r.flags.consumers {
		queues = append(queues, r.queues[k])
	}
	return queues
}

// start consumes from the queues.
func (c *amqpConsumer) start(ctx context.Context, queues []string) error {
	flags := c.pass.run.flags
	limited, cancel := context.WithTimeout(ctx, c.s.timeout+time.Duration(len(queues))*time.Millisecond)
	defer cancel()
	defer context.AfterFunc(limited, func() { c.s.wire.Close() })()
	arguments := amqp.Table{}
	if flags.kind.value == "stream" {
		arguments["x-stream-offset"] = "first"
	}
	err := c.s.ch.Qos(flags.prefetch, 0, false)
	for _, queue := range queues {
		if err != nil {
			break
		}
		var deliveries <-chan amqp.Delivery
		deliveries, err = c.s.ch.Consume(queue, "", flags.autoAck, false, false, false, arguments)
		if err == nil {
			c.pass.wg.Go(func() { c.consume(deliveries) })
		}
	}
	if err == nil && flags.ackEvery > 1 {
		c.pass.wg.Go(c.ackLate)
	}
	if err != nil && ctx.Err() == nil {
		if limited.Err() != nil {
			return c.s.noAnswer()
		}
		return fmt.Errorf("cannot consume: %w", c.s.reason(err))
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// consume receives messages until the connection is closed.
func (c *amqpConsumer) consume(deliveries <-chan amqp.Delivery) {
	flags := c.pass.run.flags
	for d := range deliveries {
		c.pass.count(&d)
		var err error
		switch {
		case flags.autoAck:
		case flags.ackEvery == 1:
			err = d.Ack(false)
		default:
			err = c.note(d.DeliveryTag)
		}
		if err != nil {
			break
		}
	}
	for range deliveries { // the library waits for who does not read
	}
	c.pass.fail(c.reason())
}

// reason says why the consuming has ended.
func (c *amqpConsumer) reason() error {
	c.ended.Do(func() {
		err := error(amqp.ErrClosed)
		select {
		case e := <-c.s.closed:
			if e != nil {
				err = e
			}
		case <-time.After(100 * time.Millisecond): // the reason may come a little later
		}
		c.why = fmt.Errorf("lost the broker at %s while consuming: %w", c.s.where, c.s.reason(err))
	})
	return c.why
}

// note counts a delivery that is to be acknowledged with others. Those of
// several queues may be noted in another order than they came in; then a
// message may be acknowledged a moment before it is looked at.
func (c *amqpConsumer) note(tag uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tag <= c.acked {
		return nil
	}
	c.tag = max(c.tag, tag)
	if c.pending++; c.pending < c.pass.run.flags.ackEvery {
		return nil
	}
	return c.ack()
}

// ack acknowledges everything that was delivered.
func (c *amqpConsumer) ack() error {
	c.pending, c.acked = 0, c.tag
	return c.s.ch.Ack(c.tag, true)
}

// ackLate acknowledges what has waited, until the connection is closed.
func (c *amqpConsumer) ackLate() {
	clock := time.NewTicker(ackLate)
	defer clock.Stop()
	for range clock.C {
		c.mu.Lock()
		var err error
		if c.pending > 0 {
			err = c.ack()
		}
		c.mu.Unlock()
		if err != nil || c.s.ch.IsClosed() {
			return
		}
	}
}

// fail notes the first failure.
func (p *amqpPass) fail(err error) {
	if !p.closing.Load() {
		p.err.CompareAndSwap(nil, &err)
	}
}

// count notes one message, if it is one of the run's, for the first time.
func (p *amqpPass) count(d *amqp.Delivery) {
	due, publisher, sequence, ok := readStamp(d.Body, p.run.id)
	if !ok || sequence >= ledgerMax || publisher >= len(p.ledgers) {
		return // another's, or a warm-up message
	}
	if !p.ledgers[publisher].add(sequence) {
		p.duplicates.Add(1)
		return
	}
	now := p.run.now()
	p.latency.record(now - due)
	p.bytes.Add(int64(len(d.Body)))
	p.received.Add(1)
	p.last.Store(int64(now))
}

// finishPass waits until every confirmed message has come, or until none has
// come for the time limit, and stops the consumers.
func (r *amqpRun) finishPass(outer context.Context) error {
	p := r.pass
	defer p.close()
	ticker := r.startProgress()
	defer ticker.stop()
	acked, _ := r.acked()
	idleFrom := r.now()
	for p.received.Load() < acked || p.lost() > 0 {
		if err := p.err.Load(); err != nil {
			return *err
		}
		idleFrom = max(idleFrom, time.Duration(p.last.Load()))
		if r.now()-idleFrom > r.flags.conn.timeout {
			return nil // lost says how many are missing
		}
		select {
		case <-outer.Done():
			return errInterrupted
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// lost counts the messages that were confirmed and have not come.
func (p *amqpPass) lost() int64 {
	var n int64
	for i, publisher := range p.run.publishers {
		n += publisher.ledger.missing(&p.ledgers[i])
	}
	return n
}

// close stops the consumers; it may be called again. What has come when it
// returns is acknowledged.
func (p *amqpPass) close() {
	p.closing.Store(true)
	for _, c := range p.consumers {
		c.mu.Lock()
		if c.pending > 0 {
			_ = c.ack() // what is not acknowledged goes with the queue
		}
		c.mu.Unlock()
		c.s.close()
	}
	p.wg.Wait()
	p.consumers = nil
}
