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
	waited      time.Duration // of that, a fetch for records

	// Set before complete; one of them.
	message kmsg.Response
	encoded []byte // with length and header
	fetch   *fetchResponse

	// What is given back when the reply is written or dropped.
	work share // of the request, decoded
	held share // of encoded
	loan *loan // of held; nil if the response is not encoded

	done bool // guarded by replies.mu
}

// drop lets go of what the reply holds.
func (r *reply) drop() {
	if r.fetch != nil {
		r.fetch.close()
		r.fetch = nil
	}
	if r.loan != nil {
		r.loan.end()
		r.loan = nil
	}
	r.message, r.encoded = nil, nil
	r.held.giveBack()
	r.work.giveBack()
}

// Limits of one connection. A request above them waits in its socket.
const (
	repliesMax     = 512
	repliesByteMax = 64 << 20
	// othersMax is for requests that are no produce, whose responses may be
	// large.
	othersMax = 16
)

// writeStallMax is how long a client may take to read some of what is written
// to it.
const writeStallMax = 60 * time.Second

// replies keeps the responses of a connection in the order of its requests.
// One goroutine (the read loop) adds and waits, any completes, one (the
// writer) takes.
type replies struct {
	mu      sync.Mutex
	queue   []*reply // those that are not taken yet, oldest first
	open    int      // added and not written yet
	others  int      // of these, those that are no produce
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
			return context.Cause(ctx)
		}
	}
}

// add gives r its place. There must be room.
func (q *replies) add(r *reply) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, r)
	q.open++
	q.bytes += r.weight
	if r.key != kmsg.Produce.Int16() {
		q.others++
	}
	if r.prompt {
		q.prompt++
	}
}

// room waits until a request of that weight may be open too.
func (q *replies) room(ctx context.Context, weight int64, other bool) error {
	return q.wait(ctx, func() bool { return q.fits(weight, other) })
}

// hasRoom says whether room would not wait.
func (q *replies) hasRoom(weight int64, other bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.fits(weight, other)
}

// fits is asked with mu held.
func (q *replies) fits(weight int64, other bool) bool {
	if other && q.others >= othersMax {
		return false
	}
	return q.open == 0 || q.open < repliesMax && q.bytes+weight <= repliesByteMax
}

// addSilent counts a produce that gets no response. There must be room.
func (q *replies) addSilent(weight int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open++
	q.bytes += weight
	q.prompt++
}

// silentDone ends what addSilent began.
func (q *replies) silentDone(weight int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.prompt--
	q.settle(1, 0, weight)
}

// settle takes replies that are written off the account. mu is held.
func (q *replies) settle(n, others int, weight int64) {
	q.open -= n
	q.others -= others
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
	others := 0
	for _, r := range rs {
		weight += r.weight
		if r.key != kmsg.Produce.Int16() {
			others++
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.settle(len(rs), others, weight)
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
	out := outBuffer{nc: c.nc, count: c.s.cfg.Metrics.BytesOut}
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
		out.reply = nil
		for _, r := range batch {
			r.drop()
		}
	}()
	for _, r := range batch {
		out.reply = r.loan
		switch {
		case r.fetch != nil:
			err = c.writeFetch(out, r.fetch)
		case r.encoded != nil:
			err = out.pieces(r.encoded)
		default:
			err = out.message(r)
		}
		if err != nil {
			return err
		}
		if c.s.cfg.Metrics.Request != nil {
			c.s.cfg.Metrics.Request(r.key, time.Since(r.begun), r.waited)
		}
	}
	return out.flush()
}

// writeFetch writes a fetch. Records that do not fit the buffer are copied
// through a chunk of their files, which the client keeps while it does not
// read: so few do that at a time.
func (c *conn) writeFetch(out *outBuffer, f *fetchResponse) error {
	if f.size <= outBytes {
		return f.write(out)
	}
	s, err := c.s.responses.take(c.ctx, streamBytes)
	if err != nil {
		return err
	}
	defer s.giveBack()
	out.stream = s.lend(func() { c.fail(errSlow) })
	defer func() {
		out.stream.end()
		out.stream = nil
	}()
	return f.write(out)
}

// outBuffer gathers what goes to a socket, so that small replies share one
// write. Between batches it holds no memory.
type outBuffer struct {
	nc     net.Conn
	count  func(int64) // may be nil
	b      []byte
	pooled *[]byte

	// What is told of the bytes that went out; may be nil.
	reply, stream *loan
}

const (
	outBytes = 64 << 10
	outPiece = 256 << 10
	// streamBytes is what writing the records of a fetch takes: outBytes,
	// and the chunk in which a plan reads.
	streamBytes = outBytes + 256<<10
)

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
	var err error
	if o.b, err = appendResponse(o.b, r, r.message); err != nil {
		return err
	}
	if len(o.b) >= outBytes {
		return o.send(nil)
	}
	return nil
}

// pieces adds what is encoded already. Each piece has its own time to be read.
func (o *outBuffer) pieces(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), outPiece)
		if _, err := o.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// appendResponse appends length, header and body.
func appendResponse(dst []byte, r *reply, body kmsg.Response) ([]byte, error) {
	start := len(dst)
	dst = body.AppendTo(appendResponseHeader(dst, r))
	size := len(dst) - start - 4
	if size > 1<<31-1 {
		return dst, errResponseTooLarge
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(size))
	return dst, nil
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
	if err := o.nc.SetWriteDeadline(time.Now().Add(writeStallMax)); err != nil {
		return err
	}
	parts := net.Buffers{o.b, p}
	if len(p) == 0 {
		parts = parts[:1]
	}
	n, err := parts.WriteTo(o.nc)
	if o.count != nil {
		o.count(n)
	}
	for _, l := range []*loan{o.reply, o.stream} {
		if l != nil {
			l.move(n)
		}
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
