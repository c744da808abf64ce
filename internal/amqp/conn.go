package amqp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

const (
	// handshakeMax is how long a client may take until its connection is open.
	handshakeMax = 10 * time.Second
	// closeMax is how long a client may take to answer connection.close, or to
	// close the socket after connection.close-ok.
	closeMax = 5 * time.Second
	// stallMax is how long a write may make no progress. Heartbeats end a
	// connection earlier if the client asked for them.
	stallMax = 10 * time.Minute
)

// conn is one connection.
type conn struct {
	s    *Server
	nc   net.Conn
	host string // the client's address, for people
	in   *input
	out  *output

	// Settled by the handshake.
	frameMax   uint32
	channelMax uint16
	heartbeat  time.Duration // 0: none
	user       string
	client     capabilities
	vhost      *broker.VHost
	session    *broker.Session

	ctx     context.Context // done when the connection is lost
	cancel  context.CancelCauseFunc
	forced  atomic.Pointer[forcedError] // an operator ends the connection
	streams sync.WaitGroup              // goroutines of consumers of streams, and handInAgain
	closing bool                        // connection.close was sent or answered: the rest is ignored
	closeBy time.Time                   // of closing: when the socket is closed at the latest

	// What this read of the socket has brought so far.
	batch      []broker.SessionItem
	batchBytes int
	publishes  []publish // of batch, in order, those that are to be confirmed

	// Scratch space for routing.
	routing route.Message
	fields  fields
	matched route.Result

	mu       sync.Mutex
	channels map[uint16]*channel
	byID     map[queue.ChannelID]*channel
	blocks   int // reasons why the client has to wait
	// What the disk had no room for, see keep.
	kept          []broker.SessionItem
	keptBytes     int64
	keptPublishes []publish     // of kept, in order, those that are to be confirmed
	room          chan struct{} // closed when nothing is kept any more; nil: nothing is
	underWay      int           // batches that may have to be kept
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{
		s: s, nc: nc, host: nc.RemoteAddr().String(),
		in: newInput(nc), out: newOutput(),
		channels: map[uint16]*channel{}, byID: map[queue.ChannelID]*channel{},
	}
	c.in.before = c.beforeRead
	return c
}

var (
	errStopping = errors.New("the server is stopping")
	errClosed   = errors.New("closed in good order")
	errSilent   = errors.New("no heartbeat came")
)

// forcedError is why an operator ended a connection.
type forcedError struct{ reason string }

func (e *forcedError) Error() string { return "ended: " + e.reason }

// force ends the connection as an error of the client does, so that it hears why;
// if that takes too long it is stopped.
func (c *conn) force(reason string) {
	e := &forcedError{reason}
	if !c.forced.CompareAndSwap(nil, e) {
		return
	}
	c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the read loop
	time.AfterFunc(closeMax, func() { c.stop(e) })
}

// forcedNow is the error that the connection is to end with, nil if none is.
func (c *conn) forcedNow() error {
	if e := c.forced.Load(); e != nil && !c.closing {
		return connectionErrf(wire.ConnectionForced, "%s", e.reason)
	}
	return nil
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer c.cancel(nil)
	for _, end := range []context.Context{ctx, c.s.ctx} {
		defer context.AfterFunc(end, func() { c.stop(errStopping) })()
	}
	var writing sync.WaitGroup
	err := c.guard(c.handshake)
	if err == nil {
		writing.Go(func() {
			if err := c.guard(c.writeLoop); err != nil {
				c.stop(err)
			}
		})
		err = c.guard(c.readLoop)
	}
	c.stop(err)
	c.leave(context.Cause(c.ctx))
	c.streams.Wait()
	c.mu.Lock()
	c.dropKept()
	c.mu.Unlock()
	c.out.close()
	writing.Wait()
	c.nc.Close()
	c.report(context.Cause(c.ctx))
}

// stop ends the reading. The first cause counts.
func (c *conn) stop(err error) {
	if err == nil {
		err = errClosed
	}
	c.cancel(err)
	c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the read loop
	c.out.rouse()
}

// leave tells the broker that the connection is gone, and, if the broker ends
// it, the client too.
func (c *conn) leave(cause error) {
	if c.session != nil {
		c.session.Close()
	}
	if c.vhost == nil || c.closing {
		return
	}
	var forced *forcedError
	reason := "broker forced connection closure with reason 'shutdown'"
	if errors.As(cause, &forced) {
		reason = forced.reason
	} else if !errors.Is(cause, errStopping) {
		return
	}
	c.out.method(0, &wire.ConnectionClose{
		ReplyCode: wire.ConnectionForced, ReplyText: wire.ReplyText(wire.ConnectionForced, reason),
	})
}

// guard keeps a panic, which would be a bug, from taking the broker down.
func (c *conn) guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.s.cfg.Logger.Error("bug: a connection is closed", "from", c.host, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

// report logs why the connection ended, if that is of interest.
func (c *conn) report(err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, errStopping), errors.Is(err, errClosed), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		c.s.cfg.Logger.Debug("AMQP connection ended", "from", c.host, "user", c.user, "reason", err)
	default:
		c.s.cfg.Logger.Warn("AMQP connection closed", "from", c.host, "user", c.user, "reason", err)
	}
}

// readLoop takes frames until the connection ends, and says why.
func (c *conn) readLoop() error {
	for {
		f, err := c.in.next()
		if cause := context.Cause(c.ctx); cause != nil {
			return cause
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			switch {
			case c.forcedNow() != nil:
				err = c.forcedNow()
			case c.closing:
				return errClosed
			case c.in.read: // something came, if not a whole frame
				continue
			default:
				return errSilent
			}
		case err == nil:
			err = c.frame(f)
		}
		if err == nil {
			continue
		}
		p := asProtocolError(err)
		if p == nil {
			return err
		}
		if err := c.refuse(f.Channel, p); err != nil {
			return err
		}
	}
}

// beforeRead sends on what was gathered and sets how long the client may be
// silent.
func (c *conn) beforeRead() error {
	if err := c.flush(); err != nil {
		return err
	}
	c.out.await()
	c.in.read = false
	var deadline time.Time
	switch {
	case c.closing:
		deadline = c.closeBy
	case c.heartbeat > 0:
		deadline = time.Now().Add(2 * c.heartbeat)
	}
	if err := c.nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	if err := c.forcedNow(); err != nil {
		return err
	}
	return context.Cause(c.ctx) // whose deadline may have been overwritten
}

// refuse tells the client of an error: on its channel, or on the connection.
func (c *conn) refuse(channel uint16, p *protocolError) error {
	if err := c.flush(); err != nil {
		return err
	}
	if c.closing {
		return errClosed // an error while it closes: no more talk
	}
	text := wire.ReplyText(p.code, p.reason)
	class, method := p.method.Class(), p.method.Method()
	if ch := c.channels[channel]; ch != nil && !p.hard() {
		c.s.cfg.Logger.Debug("channel closed", "from", c.host, "channel", channel, "reason", p)
		c.closeChannel(ch)
		ch.closing = true
		c.out.method(channel, &wire.ChannelClose{ReplyCode: p.code, ReplyText: text, ClassID: class, MethodID: method})
		return nil
	}
	c.s.cfg.Logger.Warn("AMQP connection refused", "from", c.host, "user", c.user, "reason", p)
	c.beginClosing()
	c.out.method(0, &wire.ConnectionClose{ReplyCode: p.code, ReplyText: text, ClassID: class, MethodID: method})
	return nil
}

// beginClosing ends the channels. What the client still sends is ignored.
func (c *conn) beginClosing() {
	c.closing, c.closeBy = true, time.Now().Add(closeMax)
	for _, ch := range c.channels {
		c.closeChannel(ch)
	}
}

// frame handles one frame of an open connection.
func (c *conn) frame(f wire.Frame) error {
	if c.closing {
		return c.whileClosing(f)
	}
	switch {
	case f.Type == wire.TypeHeartbeat:
		return nil
	case f.Channel == 0:
		return c.connectionFrame(f)
	}
	ch := c.channels[f.Channel]
	if ch == nil {
		return c.firstFrame(f)
	}
	if ch.closing {
		return c.whileChannelCloses(ch, f)
	}
	switch f.Type {
	case wire.TypeHeader:
		return c.contentHeader(ch, f.Payload)
	case wire.TypeBody:
		return c.contentBody(ch, f.Payload)
	}
	if ch.content != nil {
		return unexpected("header or body", "a method")
	}
	return c.channelMethod(ch, f.Payload)
}

// whileClosing waits for the answer to connection.close, or, if the client began,
// for it to close the socket: many take an end that comes earlier for a fault.
func (c *conn) whileClosing(f wire.Frame) error {
	if f.Channel != 0 || f.Type != wire.TypeMethod {
		return nil
	}
	switch id, _ := wire.PeekID(f.Payload); id {
	case wire.IDConnectionCloseOk:
		return errClosed
	case wire.IDConnectionClose: // both closed at once
		c.out.method(0, &wire.ConnectionCloseOk{})
	}
	return nil
}

// connectionFrame handles a frame on channel 0.
func (c *conn) connectionFrame(f wire.Frame) error {
	if f.Type != wire.TypeMethod {
		return connectionErrf(wire.UnexpectedFrame, "content on channel 0")
	}
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.ConnectionClose:
		if err := c.finish(); err != nil {
			return err
		}
		c.beginClosing()
		c.session.Close() // before the answer: what was exclusive is free now
		c.out.method(0, &wire.ConnectionCloseOk{})
		return nil
	case *wire.ConnectionUpdateSecret:
		return c.updateSecret(m)
	case *wire.ConnectionBlocked, *wire.ConnectionUnblocked:
		return nil
	}
	e := connectionErrf(wire.ChannelError, "%v on channel 0 of an open connection", m.ID())
	e.method = m.ID()
	return e
}

// firstFrame handles a frame on a channel that is not open: it opens it.
func (c *conn) firstFrame(f wire.Frame) error {
	if f.Type != wire.TypeMethod {
		return connectionErrf(wire.ChannelError, "expected 'channel.open'")
	}
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m.(type) {
	case *wire.ChannelOpen:
		if c.channelMax > 0 && len(c.channels) >= int(c.channelMax) { // the number is not looked at, as in RabbitMQ
			return connectionErrf(wire.NotAllowed, "number of channels opened (%d) has reached the negotiated channel_max (%d)", len(c.channels), c.channelMax)
		}
		c.openChannel(f.Channel)
		c.out.method(f.Channel, &wire.ChannelOpenOk{})
		return nil
	}
	e := connectionErrf(wire.ChannelError, "expected 'channel.open'")
	e.method = m.ID()
	return e
}

// whileChannelCloses waits for the answer to channel.close; what the client sent
// before it heard of it is dropped.
func (c *conn) whileChannelCloses(ch *channel, f wire.Frame) error {
	if f.Type != wire.TypeMethod {
		return nil
	}
	switch id, _ := wire.PeekID(f.Payload); id {
	case wire.IDChannelCloseOk:
		delete(c.channels, ch.number)
	case wire.IDChannelClose:
		c.out.method(ch.number, &wire.ChannelCloseOk{})
	}
	return nil
}
