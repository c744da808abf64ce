package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// amqpConnection holds the flags of every command that speaks AMQP.
type amqpConnection struct {
	url     string
	timeout time.Duration
}

// addTo adds the flags to cmd. The variable is not WAXWING_AMQP: that is where
// `waxwing serve` listens.
func (c *amqpConnection) addTo(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false // they are listed as they were added: by subject
	fs.StringVarP(&c.url, "url", "u", "amqp://guest:guest@127.0.0.1:5672/", "broker to connect to, amqp://USER:PASSWORD@HOST:PORT/VHOST")
	fs.DurationVar(&c.timeout, "timeout", 10*time.Second, "give up on a broker that does not answer for so long")
	must(fs.SetAnnotation("url", envAnnotation, []string{"WAXWING_AMQP_URL"}))
	bindEnv(fs, "timeout")
}

// check refuses flag values that cannot work.
func (c *amqpConnection) check() (amqp.URI, error) {
	if c.timeout < 100*time.Millisecond || c.timeout > 15*time.Minute {
		return amqp.URI{}, fmt.Errorf("--timeout must be between 100ms and 15m")
	}
	uri, err := amqp.ParseURI(c.url)
	if err != nil { // the library's text may hold the password
		return uri, fmt.Errorf("--url must be like amqp://guest:guest@127.0.0.1:5672/ (%%2F in a vhost for a slash)")
	}
	return uri, nil
}

// amqpSession is a connection to a broker with one channel on it.
type amqpSession struct {
	nc      *amqp.Connection
	ch      *amqp.Channel
	wire    net.Conn
	closed  chan *amqp.Error // why the channel was closed, if it was not by us
	timeout time.Duration
	where   string // host:port, for messages
	vhost   string
}

// open connects, enters the vhost and opens a channel. It fails after c.timeout
// at the latest, and at once when the address refuses.
func (c *amqpConnection) open(ctx context.Context) (*amqpSession, error) {
	uri, err := c.check()
	if err != nil {
		return nil, err
	}
	s := &amqpSession{timeout: c.timeout, vhost: uri.Vhost, where: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))}
	release := func() bool { return true }
	s.nc, err = amqp.DialConfig(c.url, amqp.Config{
		Properties: amqp.Table{"product": "waxwing-cli", "version": readBuildInfo().Version, "connection_name": "waxwing-cli"},
		Dial: func(network, addr string) (net.Conn, error) {
			dialer := net.Dialer{Timeout: c.timeout}
			nc, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			s.wire = newGatheringConn(nc)
			release = context.AfterFunc(ctx, func() { s.wire.Close() })
			return s.wire, nc.SetDeadline(time.Now().Add(c.timeout))
		},
	})
	if err == nil {
		err = s.openChannel()
	}
	if !release() && ctx.Err() != nil {
		err = errInterrupted
	}
	if err != nil {
		if s.wire != nil {
			s.wire.Close()
		}
		if errors.Is(err, errInterrupted) {
			return nil, err
		}
		return nil, fmt.Errorf("no AMQP broker answers at %s: %w", s.where, s.reason(err))
	}
	return s, nil
}

func (s *amqpSession) openChannel() (err error) {
	if s.ch, err = s.nc.Channel(); err != nil {
		return err
	}
	s.closed = s.ch.NotifyClose(make(chan *amqp.Error, 1))
	return nil
}

// reason drops from an error what says nothing to a person.
func (s *amqpSession) reason(err error) error {
	var e *amqp.Error
	says := func(text string) bool { return strings.Contains(err.Error(), text) } // the library wraps no errors
	switch {
	case errors.Is(err, amqp.ErrClosed), says("EOF"), says("closed network connection"), says("connection reset"), says("broken pipe"):
		return errors.New("it closed the connection (is this its AMQP port, without TLS?)")
	case says("i/o timeout"):
		return fmt.Errorf("no reply within %s", s.timeout)
	case errors.As(err, &e):
		return amqpError(err)
	}
	return err
}

// amqpError is what the broker said, and its code.
func amqpError(err error) error {
	var e *amqp.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Server:
		return fmt.Errorf("%s (%d)", e.Reason, e.Code)
	}
	return errors.New(e.Reason)
}

// withAMQP opens a session, runs fn under the time limit and closes it. When
// the limit is over, or a signal comes, the connection is cut.
func (c *amqpConnection) withAMQP(cmd *cobra.Command, fn func(*amqpSession) error) error {
	s, err := c.open(cmd.Context())
	if err != nil {
		return err
	}
	defer s.close()
	limited, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	defer context.AfterFunc(limited, func() { s.wire.Close() })()
	err = fn(s)
	switch {
	case err == nil:
		return nil
	case cmd.Context().Err() != nil:
		return errInterrupted
	case limited.Err() != nil:
		return s.noAnswer()
	}
	return err
}

// within runs fn, and cuts the connection if it takes longer than the time
// limit.
func (s *amqpSession) within(fn func() error) error {
	cut := time.AfterFunc(s.timeout, func() { s.wire.Close() })
	err := fn()
	if !cut.Stop() && err != nil {
		return s.noAnswer()
	}
	return err
}

// noAnswer says that the broker has been silent for too long.
func (s *amqpSession) noAnswer() error { return &silentBroker{s.where, s.timeout} }

// silentBroker is the error about a broker that does not answer.
type silentBroker struct {
	where string
	after time.Duration
}

func (e *silentBroker) Error() string {
	return fmt.Sprintf("no answer from %s: no reply within %s", e.where, e.after)
}

// close ends the connection in good order, if the broker answers in time.
func (s *amqpSession) close() {
	if err := s.nc.CloseDeadline(time.Now().Add(s.timeout)); err != nil {
		s.wire.Close()
	}
}

// finish closes the channel. Then all that was sent on it has been carried out;
// an error is why it was closed before.
func (s *amqpSession) finish() error {
	err := s.ch.Close()
	select {
	case e := <-s.closed:
		if e != nil {
			return amqpError(e)
		}
	default:
	}
	if err != nil {
		return s.reason(err)
	}
	return nil
}

// isCode reports whether the broker refused something with that reply code.
func isCode(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && e.Code == code
}

// queueError is amqpError for an error about one queue.
func queueError(name string, err error) error {
	var silent *silentBroker
	switch {
	case err == nil:
		return nil
	case errors.As(err, &silent):
		return err
	case isCode(err, amqp.NotFound):
		return errNoQueue(name)
	}
	return fmt.Errorf("queue %q: %w", name, amqpError(err))
}

// errNoQueue says that a queue does not exist.
func errNoQueue(name string) error { return fmt.Errorf("queue %q does not exist", name) }

// exchangeError is amqpError for an error about one exchange.
func exchangeError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case isCode(err, amqp.NotFound):
		return fmt.Errorf("exchange %q does not exist", name)
	}
	return fmt.Errorf("exchange %q: %w", name, amqpError(err))
}
