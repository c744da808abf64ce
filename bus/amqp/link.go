package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/lane"
)

const (
	heartbeat   = 10 * time.Second
	dialTimeout = 10 * time.Second // of TCP, TLS and AMQP's handshake
	idleMax     = 16               // confirm channels that are kept for the next batch
)

// A link is a connection.
type link struct {
	cfg  *config
	conn *amqp091.Connection
	raw  net.Conn

	declaring chan struct{} // holds one while nobody declares what is published to

	mu       sync.Mutex
	declared map[string]bool // queues that are known to be there
	idle     []*channel      // confirm channels on which nothing is under way
}

// dial makes a connection, or fails when ctx ends.
func dial(ctx context.Context, cfg *config) (*link, error) {
	l := &link{cfg: cfg, declared: map[string]bool{}, declaring: make(chan struct{}, 1)}
	l.declaring <- struct{}{}
	var stop func() bool
	ac := amqp091.Config{SASL: cfg.sasl, TLSClientConfig: cfg.tls, Heartbeat: heartbeat, Locale: "en_US"}
	ac.Properties = amqp091.NewConnectionProperties()
	ac.Properties.SetClientConnectionName("waxwing bus")
	ac.Dial = func(network, addr string) (net.Conn, error) {
		dctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		c, err := (&net.Dialer{}).DialContext(dctx, network, addr)
		if err != nil {
			return nil, err
		}
		l.raw = c
		stop = context.AfterFunc(ctx, func() { c.Close() }) // until the handshake is done
		return c, c.SetDeadline(time.Now().Add(dialTimeout))
	}
	var err error
	l.conn, err = amqp091.DialConfig(cfg.url, ac)
	if stop != nil && !stop() && err == nil {
		l.close()
		return nil, ctx.Err()
	}
	return l, err
}

// silences is after how many handshakes in a row that ended without a word the broker
// is believed to refuse the user.
const silences = 3

// dialUntil tries to connect until it works, ctx ends or the broker refuses the
// user.
func dialUntil(ctx context.Context, cfg *config) (*link, error) {
	silent := 0
	for nth := 1; ; nth++ {
		l, err := dial(ctx, cfg)
		if silent++; !isSilent(err) {
			silent = 0
		}
		if err == nil || isRefused(err) && (silent == 0 || silent == silences) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("amqp: no connection: %w", err)
		case <-time.After(lane.Backoff(50*time.Millisecond, 5*time.Second, nth)):
		}
	}
}

// isSilent says whether a connection has ended during its handshake, for whatever
// reason: also if the broker was killed, or is slow. The client takes that for wrong
// credentials, since brokers may refuse them so.
func isSilent(err error) bool {
	return errors.Is(err, amqp091.ErrCredentials) || errors.Is(err, amqp091.ErrVhost)
}

// isRefused says whether trying again makes no sense, since it is the user, the
// vhost or a permission.
func isRefused(err error) bool {
	var e *amqp091.Error
	if errors.Is(err, amqp091.ErrCredentials) || errors.Is(err, amqp091.ErrVhost) || errors.Is(err, amqp091.ErrSASL) {
		return true
	}
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return true
	}
	return errors.As(err, &e) && (e.Code == amqp091.AccessRefused || e.Code == amqp091.NotAllowed)
}

// alive says whether the connection is there, as far as one knows.
func (l *link) alive() bool { return !l.conn.IsClosed() }

// cut ends the connection at once, without a farewell: whoever writes or waits on
// it fails.
func (l *link) cut() { l.raw.Close() }

// close ends the connection, if need be by cutting it.
func (l *link) close() {
	cut := time.AfterFunc(time.Second, l.cut)
	_ = l.conn.Close() // an error says that it is closed already
	cut.Stop()
	l.cut()
}

// declare makes sure that a queue is there, with its exchange and binding if
// there is an exchange. It says whether the queue has the arguments that were asked
// for. One that is to be read must not be a stream.
func (l *link) declare(queue, topic string, toRead bool) (asAsked bool, err error) {
	if !l.cfg.declare {
		return false, nil
	}
	err = l.onChannel(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, l.cfg.args)
		return err
	})
	asAsked = err == nil
	var e *amqp091.Error
	if errors.As(err, &e) && e.Code == amqp091.PreconditionFailed {
		err = l.onChannel(func(ch *amqp091.Channel) error { // it is there, with other arguments
			_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
			return err
		})
		if err == nil && toRead {
			err = l.refuseStream(queue)
		}
	}
	if err != nil || l.cfg.exchange == "" {
		return asAsked, err
	}
	if err := l.declareExchange(); err != nil {
		return asAsked, err
	}
	return asAsked, l.onChannel(func(ch *amqp091.Channel) error { return ch.QueueBind(queue, topic, l.cfg.exchange, false, nil) })
}

// refuseStream is ErrStream if a queue, which is there, is a stream. Only its
// declaration tells.
func (l *link) refuseStream(queue string) error {
	err := l.onChannel(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-queue-type": "stream"})
		return err
	})
	var e *amqp091.Error
	switch {
	case err == nil:
		return ErrStream
	case errors.As(err, &e) && e.Code == amqp091.PreconditionFailed:
		return nil // another kind of queue
	}
	return err
}

func (l *link) declareExchange() error {
	return l.onChannel(func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclare(l.cfg.exchange, l.cfg.exchangeKind, true, false, false, false, nil)
	})
}

// onChannel does something on a channel of its own, which may fail.
func (l *link) onChannel(do func(*amqp091.Channel) error) error {
	ch, err := l.conn.Channel()
	if err != nil {
		return err
	}
	if err := do(ch); err != nil {
		return err // which has closed the channel
	}
	return ch.Close()
}

// declareOnce is declare for what is published to, once in the life of the link
// or until forget. One at a time: a quorum queue that another declaration is just
// making would seem to be there, and refuse what is published to it.
func (l *link) declareOnce(ctx context.Context, topic string) error {
	name := topic
	if l.cfg.exchange != "" {
		name = "" // the exchange; queues are their consumers'
	}
	if !l.cfg.declare || l.knows(name) {
		return nil
	}
	select {
	case <-l.declaring:
		defer func() { l.declaring <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.knows(name) {
		return nil
	}
	var err error
	if l.cfg.exchange != "" {
		err = l.declareExchange()
	} else {
		_, err = l.declare(topic, topic, false)
	}
	if err == nil {
		l.mu.Lock()
		l.declared[name] = true
		l.mu.Unlock()
	}
	return err
}

// knows says whether a queue is known to be there.
func (l *link) knows(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.declared[name]
}

// forget says that a queue is not there.
func (l *link) forget(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.declared, topic)
}

// A channel confirms what is published on it.
type channel struct {
	*amqp091.Channel
	returns chan amqp091.Return // has room for all that is under way
	closed  chan *amqp091.Error
}

// confirming is a channel on which nothing is under way.
func (l *link) confirming() (*channel, error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		ch := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return ch, nil
	}
	l.mu.Unlock()
	raw, err := l.conn.Channel()
	if err != nil {
		return nil, err
	}
	ch := &channel{raw, raw.NotifyReturn(make(chan amqp091.Return, window)), raw.NotifyClose(make(chan *amqp091.Error, 1))}
	return ch, raw.Confirm(false)
}

// release takes a channel back on which nothing is under way any more.
func (l *link) release(ch *channel) {
	l.mu.Lock()
	keep := len(l.idle) < idleMax && !ch.IsClosed()
	if keep {
		l.idle = append(l.idle, ch)
	}
	l.mu.Unlock()
	if !keep {
		_ = ch.Close() // an error says that it is closed already
	}
}
