package amqpdiff

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

const (
	frameMax     = 131072
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
)

// client is one connection, as raw as a test needs it: nothing is checked
// before it is sent, and all that comes is kept in order.
type client struct {
	nc net.Conn

	mu     sync.Mutex
	news   chan struct{} // closed and made anew when something has come
	events []event
	closed map[uint16]bool // channels that the broker has closed
	ended  error           // why reading ended
}

// event is a method that the broker sent, with its content.
type event struct {
	channel    uint16
	method     wire.Method
	properties wire.RawProperties
	body       []byte
}

// dial opens a connection as guest.
func dial(addr string) (*client, error) {
	nc, err := net.DialTimeout("tcp", addr, dialTimeout)
	if err != nil {
		return nil, err
	}
	c := &client{nc: nc, news: make(chan struct{}), closed: map[uint16]bool{}}
	r := bufio.NewReader(nc)
	if err := c.handshake(r); err != nil {
		nc.Close()
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	go c.read(r)
	return c, nil
}

func (c *client) handshake(r *bufio.Reader) error {
	c.nc.SetDeadline(time.Now().Add(dialTimeout))
	defer c.nc.SetDeadline(time.Time{})
	yes := func(key string) wire.Field { return wire.Field{Key: key, Value: wire.BoolValue(true)} }
	steps := []struct {
		send   []wire.Method
		expect wire.ID
	}{
		{nil, wire.IDConnectionStart},
		{[]wire.Method{&wire.ConnectionStartOk{
			ClientProperties: wire.MakeTable(wire.Field{Key: "capabilities", Value: wire.TableValue(wire.MakeTable(
				yes("consumer_cancel_notify"), yes("authentication_failure_close"), yes("publisher_confirms"),
				yes("basic.nack"), yes("exchange_exchange_bindings"), yes("connection.blocked"),
			))}),
			Mechanism: "PLAIN", Response: []byte("\x00guest\x00guest"), Locale: "en_US",
		}}, wire.IDConnectionTune},
		{[]wire.Method{
			&wire.ConnectionTuneOk{ChannelMax: channelMax, FrameMax: frameMax},
			&wire.ConnectionOpen{VirtualHost: "/"},
		}, wire.IDConnectionOpenOk},
	}
	if _, err := io.WriteString(c.nc, wire.ProtocolHeader); err != nil {
		return err
	}
	for _, step := range steps {
		for _, m := range step.send {
			if err := c.send(0, m); err != nil {
				return err
			}
		}
		f, err := readFrame(r)
		if err != nil {
			return err
		}
		if id, err := wire.PeekID(f.Payload); err != nil || id != step.expect {
			return fmt.Errorf("%v instead of %v", id, step.expect)
		}
	}
	return nil
}

// readFrame reads one frame, with memory of its own.
func readFrame(r io.Reader) (wire.Frame, error) {
	var b [wire.FrameHeaderLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return wire.Frame{}, err
	}
	h, err := wire.ParseFrameHeader(b, frameMax)
	if err != nil {
		return wire.Frame{}, err
	}
	payload := make([]byte, h.Size+1)
	if _, err := io.ReadFull(r, payload); err != nil {
		return wire.Frame{}, err
	}
	return wire.Frame{Type: h.Type, Channel: h.Channel, Payload: payload[:h.Size]}, wire.CheckFrameEnd(payload[h.Size])
}

// read gathers events until the connection ends. The broker's closes are
// answered at once.
func (c *client) read(r *bufio.Reader) {
	open := map[uint16]*event{} // content that has not come whole
	left := map[uint16]uint64{}
	for {
		f, err := readFrame(r)
		if err == nil {
			err = c.take(f, open, left)
		}
		if err != nil {
			c.nc.Close()
			c.mu.Lock()
			c.ended = err
			c.tell()
			c.mu.Unlock()
			return
		}
	}
}

// take handles one frame.
func (c *client) take(f wire.Frame, open map[uint16]*event, left map[uint16]uint64) error {
	e := open[f.Channel]
	switch f.Type {
	case wire.TypeHeartbeat:
		return nil
	case wire.TypeMethod:
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return err
		}
		e = &event{channel: f.Channel, method: m}
		if m.ID().HasContent() {
			open[f.Channel] = e
			return nil
		}
		delete(open, f.Channel) // a close cuts content off
		switch m.(type) {
		case *wire.ChannelClose:
			c.mu.Lock()
			c.closed[f.Channel] = true
			c.send(f.Channel, &wire.ChannelCloseOk{})
			c.mu.Unlock()
		case *wire.ConnectionClose:
			c.send(0, &wire.ConnectionCloseOk{})
		}
		c.keep(*e)
		if m.ID() == wire.IDConnectionCloseOk {
			return io.EOF // the client is to close the socket
		}
		return nil
	}
	if e == nil {
		return errors.New("content without a method")
	}
	if f.Type == wire.TypeHeader {
		h, err := wire.ParseContentHeader(f.Payload)
		if err != nil {
			return err
		}
		e.properties, left[f.Channel] = h.Properties, h.BodySize
	} else {
		e.body = append(e.body, f.Payload...)
		left[f.Channel] -= uint64(len(f.Payload))
	}
	if left[f.Channel] == 0 {
		delete(open, f.Channel)
		c.keep(*e)
	}
	return nil
}

func (c *client) keep(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
	c.tell()
}

func (c *client) tell() {
	close(c.news)
	c.news = make(chan struct{})
}

// send writes a method; the broker may have closed the connection meanwhile,
// which the reader finds out.
func (c *client) send(channel uint16, m wire.Method) error {
	return c.write(wire.AppendMethod(nil, channel, m))
}

// openChannel opens a channel, and waits for nothing.
func (c *client) openChannel(channel uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.closed, channel)
	return c.send(channel, &wire.ChannelOpen{})
}

// probe writes a method, unless the broker has closed the channel meanwhile.
func (c *client) probe(channel uint16, m wire.Method) (sent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed[channel] && c.send(channel, m) == nil
}

// publish writes a method with content.
func (c *client) publish(channel uint16, m wire.Method, p wire.RawProperties, body []byte) error {
	b := wire.AppendMethod(nil, channel, m)
	b = wire.AppendContentHeader(b, channel, wire.ContentHeader{BodySize: uint64(len(body)), Properties: p})
	return c.write(wire.AppendBody(b, channel, frameMax, body))
}

func (c *client) write(b []byte) error {
	c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := c.nc.Write(b)
	return err
}

// at is how many events have come.
func (c *client) at() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

// since are the events from the n-th on.
func (c *client) since(n int) []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]event(nil), c.events[n:]...)
}

var errSlow = errors.New("no answer in time")

// await waits until an event from the n-th on is what ok looks for; it gives
// errSlow after the limit, and io.EOF or the like when the connection ends.
func (c *client) await(n int, limit time.Duration, ok func(event) bool) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		c.mu.Lock()
		events, ended, news := c.events, c.ended, c.news
		c.mu.Unlock()
		for ; n < len(events); n++ {
			if ok(events[n]) {
				return nil
			}
		}
		if ended != nil {
			return ended
		}
		select {
		case <-news:
		case <-timer.C:
			return errSlow
		}
	}
}

// awaitEnd waits until the broker has closed the socket.
func (c *client) awaitEnd(limit time.Duration) bool {
	err := c.await(0, limit, func(event) bool { return false })
	return !errors.Is(err, errSlow)
}

// forget drops the events that came so far.
func (c *client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = nil
}
