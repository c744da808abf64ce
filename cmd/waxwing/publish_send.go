package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publishWindow is how many messages may be without a confirm.
const publishWindow = 1000

// amqpSender publishes and counts what is confirmed.
type amqpSender struct {
	s         *amqpSession
	confirm   bool
	mandatory bool

	slots     chan struct{} // one for each message that may be under way
	published atomic.Int64  // confirmed, and not returned
	stop      context.CancelFunc
	once      sync.Once
	err       error // the first failure, set before stop

	returned atomic.Int64
	told     sync.WaitGroup // the goroutines that hear of confirms and returns
}

// newAMQPSender makes the session's channel ready to publish.
func newAMQPSender(s *amqpSession, confirm, mandatory bool) (*amqpSender, error) {
	p := &amqpSender{s: s, confirm: confirm, mandatory: mandatory, slots: make(chan struct{}, publishWindow), stop: func() {}}
	returns := s.ch.NotifyReturn(make(chan amqp.Return, 1))
	p.told.Go(func() { p.hearReturns(returns) })
	if !confirm {
		return p, nil
	}
	confirms := s.ch.NotifyPublish(make(chan amqp.Confirmation, publishWindow))
	p.told.Go(func() { p.hearConfirms(confirms) })
	if err := s.ch.Confirm(false); err != nil {
		return nil, s.reason(err)
	}
	return p, nil
}

// fail notes the first failure and ends the reading.
func (p *amqpSender) fail(err error) {
	p.once.Do(func() { p.err = err })
	p.stop()
}

// hearReturns notes messages that no queue got. The broker says so before it
// confirms them.
func (p *amqpSender) hearReturns(returns chan amqp.Return) {
	for r := range returns {
		p.returned.Add(1)
		p.fail(fmt.Errorf("exchange %q returned a message with key %q: %s (%d)", r.Exchange, r.RoutingKey, r.ReplyText, r.ReplyCode))
	}
}

func (p *amqpSender) hearConfirms(confirms chan amqp.Confirmation) {
	for c := range confirms {
		if c.Ack {
			p.published.Add(1)
		} else {
			p.fail(errors.New("the broker refused a message (basic.nack)"))
		}
		<-p.slots
	}
}

// sendAll publishes what each calls its function with, until the end, a signal,
// a refusal or the loss of the broker, whichever comes first, and waits for the
// confirms.
func (p *amqpSender) sendAll(outer context.Context, each func(func(*amqpMessage) bool) error) error {
	reading, stop := context.WithCancel(outer)
	defer stop()
	p.stop = stop
	readErr := make(chan error, 1)
	go func() {
		readErr <- each(func(m *amqpMessage) bool { return p.send(reading, m) })
	}()
	// A read from a terminal cannot be interrupted: leave it behind.
	var err error
	select {
	case err = <-readErr:
	case <-reading.Done():
	case e := <-p.s.closed:
		p.fail(p.lost(e))
	}
	if finishErr := p.finish(); finishErr != nil {
		p.fail(finishErr)
	}
	p.published.Add(-p.returned.Load())
	p.once.Do(func() {}) // no failure is recorded after this, so p.err may be read
	if p.err != nil {
		return p.err
	}
	return err
}

// send publishes one message, once there is a slot for it. False: no more.
func (p *amqpSender) send(ctx context.Context, m *amqpMessage) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if err := p.s.ch.PublishWithContext(context.Background(), m.exchange, m.key, p.mandatory, false, m.Publishing); err != nil {
		if !errors.Is(err, amqp.ErrClosed) { // why it is closed is told elsewhere
			p.fail(amqpError(err))
		}
		return false
	}
	if !p.confirm {
		<-p.slots
		p.published.Add(1)
	}
	return true
}

// finish waits until every message is confirmed and closes the channel, so
// that what was sent without confirms has been taken, too. It gives up when the
// broker has said nothing for the time limit.
func (p *amqpSender) finish() error {
	for range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
		case e := <-p.s.closed:
			return p.lost(e)
		case <-time.After(p.s.timeout):
			p.s.wire.Close()
			return fmt.Errorf("no answer from %s: no confirm within %s", p.s.where, p.s.timeout)
		}
	}
	err := p.s.within(p.s.finish)
	p.told.Wait()
	return err
}

// lost says why the broker closed the channel.
func (p *amqpSender) lost(e *amqp.Error) error {
	if e == nil {
		return fmt.Errorf("lost the broker at %s", p.s.where)
	}
	if e.Server {
		return amqpError(e)
	}
	return fmt.Errorf("lost the broker at %s: %w", p.s.where, p.s.reason(e))
}
