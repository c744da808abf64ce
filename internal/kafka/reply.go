package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// reply is the place of one response in the order of its connection.
type reply struct {
	key         int16
	correlation int32
	flexible    bool  // the response header has tagged fields
	prompt      bool  // answered without waiting for other clients
	weight      int64 // bytes that the request holds until it is answered
	begun       time.Time

	// Set before complete; one of both.
	message kmsg.Response
	fetch   *fetchResponse

	release func() // called once, when the reply is written or dropped; may be nil
	done    bool   // guarded by replies.mu
}

// drop lets go of what the reply holds.
func (r *reply) drop() {
	if r.fetch != nil {
		r.fetch.close()
		r.fetch = nil
	}
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

// Limits of one connection. A request above them waits in its socket.
const (
	repliesMax     = 512
	repliesByteMax = 64 << 20
)

// replies keeps the responses of a connection in the order of its requests.
// One goroutine (the read loop) adds and waits, any completes, one (the
// writer) takes.
type replies struct {
	mu      sync.Mutex
	queue   []*reply // those that are not taken yet, oldest first
	open    int      // added and not written yet
	bytes   int64    // weight of these
	prompt  int      // prompt requests that are not done yet, in the queue or without a reply
	waiting bool     // the read loop waits for a change
	closed  bool

	ready   chan struct{} // a token when the head of the queue is done
	changed chan struct{} // a token when something changed that the read loop waits for
}

func newReplies() *replies {
	return &replies{ready: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wait blocks until ok, which is asked under the lock, holds.
func (q *replies) wait(ctx context.Context, ok func() bool) error {
	for {
		q.mu.Lock()
		q.waiting = !ok()
		waiting := q.waiting
		q.mu.Unlock()
		if !waiting {
			return nil
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// add gives r its place. It waits while the connection has too much open.
func (q *replies) add(ctx context.Context, r *reply) error {
	if err := q.room(ctx, r.weight); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, r)
	q.open++
	q.bytes += r.weight
	if r.prompt {
		q.prompt++
	}
	return nil
}

// room waits until a request of that weight may be open too.
func (q *replies) room(ctx context.Context, weight int64) error {
	return q.wait(ctx, func() bool {
		return q.open == 0 || q.open < repliesMax && q.bytes+weight <= repliesByteMax
	})
}

// addSilent counts a produce that gets no response.
func (q *replies) addSilent(ctx context.Context, weight int64) error {
	if err := q.room(ctx, weight); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open++
	q.bytes += weight
	q.prompt++
	return nil
}

// silentDone ends what addSilent began.
func (q *replies) silentDone(weight int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prompt--
	q.settle(1, weight)
}

// settle takes replies that are written off the account. mu is held.
func (q *replies) settle(n int, weight int64) {
	q.open -= n
	q.bytes -= weight
	if q.waiting {
		token(q.changed)
	}
}

// complete says that r has its message. It never blocks.
func (q *replies) complete(r *reply) {
	q.mu.Lock()
	r.done = true
	if r.prompt {
		q.prompt--
		if q.waiting {
			token(q.changed)
		}
	}
	closed := q.closed
	head := len(q.queue) > 0 && q.queue[0] == r
	q.mu.Unlock()
	switch {
	case closed:
		r.drop()
	case head:
		token(q.ready)
	}
}

// quiet waits until no prompt request is under way: what follows on a
// connection sees what came before.
func (q *replies) quiet(ctx context.Context) error {
	return q.wait(ctx, func() bool { return q.prompt == 0 })
}

// busy says whether a request waits for its answer.
func (q *replies) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open > 0
}

// take appends the replies that may be written now to dst.
func (q *replies) take(dst []*reply) []*reply {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.queue) && q.queue[n].done {
		n++
	}
	dst = append(dst, q.queue[:n]...)
	rest := copy(q.queue, q.queue[n:])
	clear(q.queue[rest:])
	q.queue = q.queue[:rest]
	return dst
}

// written takes replies off the account.
func (q *replies) written(rs []*reply) {
	var weight int64
	for _, r := range rs {
		weight += r.weight
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle(len(rs), weight)
}

// close drops what is not taken; what completes later is dropped then.
func (q *replies) close() {
	q.mu.Lock()
	done := slices.DeleteFunc(q.queue, func(r *reply) bool { return !r.done })
	q.queue, q.closed = nil, true
	q.mu.Unlock()
	for _, r := range done {
		r.drop()
	}
}

// writeLoop writes replies in order until stop, then what is ready, and
// returns. It also returns when a write fails.
func (c *conn) writeLoop(stop <-chan struct{}) error {
	out := outBuffer{nc: c.nc, timeout: c.writeTimeout, count: c.s.cfg.Metrics.BytesOut}
	var batch []*reply
	for last := false; ; {
		select {
		case <-c.replies.ready:
		case <-stop:
			last = true
		}
		batch = c.replies.take(batch[:0])
		err := c.writeAll(&out, batch)
		c.replies.written(batch)
		clear(batch)
		if err != nil || last {
			return err
		}
	}
}

// writeAll writes replies and lets go of them, even if it fails.
func (c *conn) writeAll(out *outBuffer, batch []*reply) (err error) {
	defer func() {
		for _, r := range batch {
			r.drop()
		}
	}()
	for _, r := range batch {
		if r.fetch != nil {
			err = r.fetch.write(out, r)
		} else {
			err = out.message(r)
		}
		if err != nil {
			return err
		}
		if c.s.cfg.Metrics.Request != nil {
			c.s.cfg.Metrics.Request(r.key, time.Since(r.begun))
		}
	}
	return out.flush()
}

// outBuffer gathers what goes to a socket, so that small replies share one
// write. Between batches it holds no memory.
type outBuffer struct {
	nc      net.Conn
	timeout time.Duration // of one write; negative: none
	count   func(int64)   // may be nil
	b       []byte
	pooled  *[]byte
}

const outBytes = 64 << 10

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, outBytes); return &b }}

func (o *outBuffer) begin() {
	if o.pooled == nil {
		o.pooled = outBuffers.Get().(*[]byte)
		o.b = (*o.pooled)[:0]
	}
}

var errResponseTooLarge = errors.New("response larger than 2 GiB")

// message adds a response: length, header, body.
func (o *outBuffer) message(r *reply) error {
	o.begin()
	start := len(o.b)
	o.b = appendResponseHeader(o.b, r)
	o.b = r.message.AppendTo(o.b)
	size := len(o.b) - start - 4
	if size > 1<<31-1 {
		return errResponseTooLarge
	}
	binary.BigEndian.PutUint32(o.b[start:], uint32(size))
	if len(o.b) >= outBytes {
		return o.send(nil)
	}
	return nil
}

// appendResponseHeader leaves the length zero.
func appendResponseHeader(dst []byte, r *reply) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.correlation))
	if r.flexible {
		dst = append(dst, 0)
	}
	return dst
}

// Write implements io.Writer, for what is streamed. It keeps no reference to p.
func (o *outBuffer) Write(p []byte) (int, error) {
	o.begin()
	if len(o.b)+len(p) <= outBytes {
		o.b = append(o.b, p...)
		return len(p), nil
	}
	if err := o.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// send writes what is gathered, and p, in one system call where the
// connection can.
func (o *outBuffer) send(p []byte) error {
	if o.timeout >= 0 {
		if err := o.nc.SetWriteDeadline(time.Now().Add(o.timeout)); err != nil {
			return err
		}
	}
	parts := net.Buffers{o.b, p}
	if len(p) == 0 {
		parts = parts[:1]
	}
	n, err := parts.WriteTo(o.nc)
	if o.count != nil {
		o.count(n)
	}
	o.b = o.b[:0]
	return err
}

// flush writes what is gathered and gives the memory back.
func (o *outBuffer) flush() error {
	if o.pooled == nil {
		return nil
	}
	var err error
	if len(o.b) > 0 {
		err = o.send(nil)
	}
	if cap(o.b) <= 4*outBytes {
		*o.pooled = o.b[:0]
		outBuffers.Put(o.pooled)
	}
	o.pooled, o.b = nil, nil
	return err
}
