package daemon

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is one Kafka connection without retries, batching or metadata, for what
// a client library would make slower or less sure. One request is under way at
// a time; one goroutine uses it.
type Conn struct {
	conn        net.Conn
	formatter   *kmsg.RequestFormatter
	stop        func() bool // ends the watch of the context
	correlation int32
	buf         []byte
}

// Dial connects to a Kafka listener. Requests fail when ctx is over.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: nc, formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID("waxwing-bench"))}
	c.stop = context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.stop()
	return c.conn.Close()
}

// responseMax bounds a response, in bytes.
const responseMax = 256 << 20

// Request sends req, whose version must be set, and returns the response.
// Byte slices in it are valid until the next request.
func (c *Conn) Request(req kmsg.Request) (kmsg.Response, error) {
	c.correlation++
	c.buf = c.formatter.AppendRequest(c.buf[:0], req, c.correlation)
	if _, err := c.conn.Write(c.buf); err != nil {
		return nil, err
	}
	body, err := c.read(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, resp.ReadFrom(body)
}

// read returns the body of the response to req.
func (c *Conn) read(req kmsg.Request) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head[:])) - 4
	if size < 0 || size > responseMax {
		return nil, fmt.Errorf("a response of %d bytes", size)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.correlation {
		return nil, fmt.Errorf("correlation id %d, want %d", got, c.correlation)
	}
	if cap(c.buf) < size {
		c.buf = make([]byte, size)
	}
	body := c.buf[:size]
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return nil, err
	}
	if !req.IsFlexible() || req.Key() == int16(kmsg.ApiVersions) {
		return body, nil
	}
	if size == 0 || body[0] != 0 {
		return nil, fmt.Errorf("a response header with tags")
	}
	return body[1:], nil
}
