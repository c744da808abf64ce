package kafka

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one connection. Its read loop decodes and carries out requests; its
// writer sends the replies; fetches that wait have a goroutine each. serve
// waits for all of them.
type conn struct {
	s       *Server
	nc      net.Conn
	host    string // the client's address, for people
	replies *replies
	frames  frameReader

	ctx      context.Context // done when the connection is lost
	cancel   context.CancelCauseFunc
	stopping chan struct{} // closed when no more requests are read
	stopOnce sync.Once
	waiting  sync.WaitGroup // fetches that wait
	rotation int            // where the next fetch begins, so that all partitions get their turn

	mu    sync.Mutex
	waits map[*reply]func() // group commands that wait, and how to forget them
}

const readBuffer = 8 << 10

func newConn(s *Server, nc net.Conn) *conn {
	st := s.broker.Settings()
	c := &conn{
		s: s, nc: nc, replies: newReplies(),
		stopping: make(chan struct{}),
		waits:    map[*reply]func(){},
	}
	if host, _, err := net.SplitHostPort(nc.RemoteAddr().String()); err == nil {
		c.host = host
	}
	c.frames = frameReader{
		nc: nc, br: bufio.NewReaderSize(nc, readBuffer), mem: s.frames,
		max: st.RequestMaxBytes, idle: st.ConnectionIdleMax, busy: c.replies.busy, stopped: c.stopped,
		fail: c.fail, room: c.room,
	}
	return c
}

var (
	errStopping = errors.New("the server is stopping")
	errHeld     = errors.New("its request held much memory for long, while others waited for some")
	errBlocked  = errors.New("its requests wait for each other, for longer than connections.max.idle.ms")
)

// room waits until the connection may have one more request open. A client
// that sends more behind requests that wait, and leaves, is not noticed while
// nothing is read: so that has an end.
func (c *conn) room(ctx context.Context, key int16, size int) error {
	weight, other := int64(size), key != kmsg.Produce.Int16()
	if c.replies.hasRoom(weight, other) {
		return nil
	}
	if idle := c.frames.idle; idle >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, idle, errBlocked)
		defer cancel()
	}
	return c.replies.room(ctx, weight, other)
}

// serve runs the connection to its end.
func (c *conn) serve(ctx context.Context) {
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer c.cancel(nil)
	for _, end := range []context.Context{ctx, c.s.ctx} {
		defer context.AfterFunc(end, c.stop)()
	}
	defer context.AfterFunc(c.ctx, c.hangUp)()

	flush := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := c.guard(func() error { return c.writeLoop(flush) }); err != nil {
			c.fail(err)
		}
	})
	err := c.guard(c.readLoop)
	if errors.Is(err, errStopping) {
		c.finish()
	}
	c.fail(err) // first: fetches that wait shall not take it for a stop and answer
	c.stop()
	c.forgetWaits()
	c.waiting.Wait()
	close(flush)
	writer.Wait()
	c.nc.Close()
	c.replies.close()
	c.report(context.Cause(c.ctx))
}

// stop ends the reading of requests.
func (c *conn) stop() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the read loop
}

func (c *conn) stopped() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

// fail ends the connection: whatever waits, stops waiting. It does not block.
func (c *conn) fail(err error) { c.cancel(err) }

// hangUp closes the socket of a connection that has failed, which ends reads
// and writes. At a stop the writer still has something to say.
func (c *conn) hangUp() {
	if !errors.Is(context.Cause(c.ctx), errStopping) {
		c.nc.Close()
	}
}

// finish waits, in a connection that reads no more, for what will be answered
// soon: produces and, since they see the stop, fetches.
func (c *conn) finish() {
	if err := c.replies.quiet(c.ctx); err != nil {
		return // the connection was lost meanwhile
	}
	c.waiting.Wait()
}

// guard keeps a panic, which would be a bug, from taking the broker down.
func (c *conn) guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.s.bugs.log(c.s.cfg.Logger, slog.LevelError, "bug: a connection is closed", "from", c.host, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

// report logs why the connection ended, if that is of interest.
func (c *conn) report(err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, errStopping), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, errIdle):
		c.s.cfg.Logger.Debug("connection ended", "from", c.host, "reason", err)
	default:
		c.s.ends.log(c.s.cfg.Logger, slog.LevelWarn, "connection closed", "from", c.host, "reason", err)
	}
}

// readLoop reads and carries out requests until something is wrong, which it
// returns.
func (c *conn) readLoop() error {
	for {
		f, err := c.frames.next(c.ctx)
		if c.stopped() {
			f.release()
			return errStopping
		}
		if err != nil {
			return err
		}
		if c.s.cfg.Metrics.BytesIn != nil {
			c.s.cfg.Metrics.BytesIn(int64(len(f.b)) + 4)
		}
		if err := c.handle(f); err != nil {
			return err
		}
	}
}

// call is a request on its way: its bytes, and the memory that it takes in
// its decoded form.
type call struct {
	frame    frame
	header   header
	body     []byte // of frame
	elements int    // array elements and tagged fields
	work     share
}

// release ends a call that is carried out, or cannot be.
func (k *call) release() {
	k.frame.release()
	k.work.giveBack()
}

// handle carries out one request. It owns the frame.
func (c *conn) handle(f frame) error {
	k := &call{frame: f}
	handled := false
	defer func() {
		if !handled { // an error, or a panic
			k.release()
		}
	}()
	h, rest, err := parseHeader(f.b)
	if err != nil {
		return err
	}
	a := findAPI(h.key)
	if a == nil {
		return fmt.Errorf("API %d is not served", h.key)
	}
	if h.version < a.min || h.version > a.max {
		if a.key == kmsg.ApiVersions {
			handled = true
			return c.unsupportedApiVersions(k, h)
		}
		return fmt.Errorf("%s version %d is not served, only %d to %d", a.key.Name(), h.version, a.min, a.max)
	}
	k.body, err = h.finish(rest, h.version >= a.flexibleFrom)
	if err == nil {
		k.elements, err = checkShape(a.shape, h.version, h.flexible, k.body)
	}
	if err != nil {
		return fmt.Errorf("%s version %d: %w", a.key.Name(), h.version, err)
	}
	k.header = h
	if k.work, err = c.s.work.take(c.ctx, c.s.workBytes(k)); err != nil {
		return err
	}
	err = c.route(k)
	handled = err == nil
	return err
}

// request is what a handler may want to know besides the message.
type request struct {
	c        *conn
	ctx      context.Context
	version  int16
	clientID string
	host     string
	call     *call
	held     *share  // of the response
	loans    []*loan // of both, since lend
}

// lend says that the request waits from now on for the log or for the shard
// of a group, not just for a processor: what it holds can be called in.
func (rq *request) lend() {
	if len(rq.loans) > 0 || rq.call == nil {
		return
	}
	for _, s := range []*share{&rq.call.work, rq.held} {
		rq.loans = append(rq.loans, s.lend(func() { rq.c.fail(errHeld) }))
	}
}

func (rq *request) endLoans() {
	for _, l := range rq.loans {
		l.end()
	}
}

// gone says that nobody waits for the answer any more: there is no use in
// carrying out the rest of a long request.
func (rq *request) gone() bool { return rq.ctx.Err() != nil }

// decode reads a request. Its byte slices alias the frame; strings are copies.
func decode[Q kmsg.Request](k *call) (Q, error) {
	h := &k.header
	req := kmsg.RequestForKey(h.key).(Q)
	req.SetVersion(h.version)
	if err := req.ReadFrom(k.body); err != nil {
		return req, fmt.Errorf("%s version %d: %w", kmsg.NameForKey(h.key), h.version, err)
	}
	return req, nil
}

// newReply makes the reply of a request. ApiVersions has the old response
// header in every version, because its client does not know yet what the
// broker speaks (KIP-511).
func newReply(h *header, weight int) *reply {
	return &reply{
		key: h.key, correlation: h.correlation, weight: int64(weight), begun: time.Now(),
		flexible: h.flexible && h.key != kmsg.ApiVersions.Int16(),
	}
}

// begin gives a request other than a produce its place among the replies. It
// waits until the produces and commits before it are done, as Kafka's handling
// of one request after the other would have it.
func (c *conn) begin(k *call, prompt bool) (*reply, *request, error) {
	if err := c.replies.quiet(c.ctx); err != nil {
		return nil, nil, err
	}
	r := newReply(&k.header, len(k.frame.b))
	r.prompt = prompt
	c.replies.add(r)
	return r, &request{c: c, ctx: c.ctx, version: k.header.version, clientID: k.header.clientID, host: c.host, call: k, held: &r.held}, nil
}

// complete hands a reply to the writer. What it holds from now on waits for
// the client to read.
func (c *conn) complete(r *reply) {
	holds := &r.held
	if r.encoded == nil {
		holds = &r.work
	}
	if holds.n > 0 {
		r.loan = holds.lend(func() { c.fail(errSlow) })
	}
	c.replies.complete(r)
}

// answer carries out a request in the read loop. The response takes about what
// the request says.
func answer[Q kmsg.Request](c *conn, k *call, handle func(*request, Q) kmsg.Response) error {
	size := c.s.responseBytes(k)
	return sized(c, k, func(Q) int64 { return size }, handle)
}

// sized is answer, for responses of another size: as much memory is taken
// before they are built.
func sized[Q kmsg.Request](c *conn, k *call, size func(Q) int64, handle func(*request, Q) kmsg.Response) error {
	req, err := decode[Q](k)
	if err != nil {
		return err
	}
	r, rq, err := c.begin(k, false)
	if err != nil {
		return err
	}
	k.frame.release()
	if r.held, err = c.s.responses.take(c.ctx, size(req)); err != nil {
		return err
	}
	built := false
	defer func() {
		rq.endLoans()
		if !built { // an error, or a panic
			r.held.giveBack()
		}
	}()
	resp := handle(rq, req)
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx) // what is half done is no answer
	}
	c.s.count(resp)
	b, err := appendResponse(nil, r, resp)
	if err != nil {
		return err
	}
	built = true
	rq.endLoans()
	k.work.giveBack()
	r.held.shrink(int64(cap(b)))
	r.encoded = b
	c.complete(r)
	return nil
}

// later carries out a request that the broker answers when it can. handle is
// given a function to answer with, from any goroutine, and returns how to
// forget the request when the connection is lost. It copies the byte slices
// that it passes on: the frame is gone when it returns. A prompt request does
// not wait for other clients; the ones after it, and a stop, wait for it.
func later[Q kmsg.Request](c *conn, k *call, prompt bool, handle func(*request, Q, func(kmsg.Response)) (forget func())) error {
	req, err := decode[Q](k)
	if err != nil {
		return err
	}
	r, rq, err := c.begin(k, prompt)
	if err != nil {
		return err
	}
	if prompt {
		r.work, k.work = k.work, share{}
	}
	forget := handle(rq, req, func(resp kmsg.Response) {
		c.s.count(resp)
		r.message = resp
		c.complete(r)
		c.mu.Lock()
		delete(c.waits, r)
		c.mu.Unlock()
	})
	k.release()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies.mu.Lock()
	defer c.replies.mu.Unlock()
	if !r.done && forget != nil {
		c.waits[r] = forget
	}
	return nil
}

// protect runs what a goroutine of the broker calls. A panic, which would be a
// bug, costs the connection and not the broker.
func (c *conn) protect(fn func()) {
	if err := c.guard(func() error { fn(); return nil }); err != nil {
		c.fail(err)
	}
}

// forgetWaits tells the broker that nobody waits any more.
func (c *conn) forgetWaits() {
	c.mu.Lock()
	waits := c.waits
	c.waits = nil
	c.mu.Unlock()
	for _, forget := range waits {
		forget()
	}
}
