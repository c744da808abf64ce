package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A frame (Kafka protocol guide, "Protocol Primitives" and "Request Headers"):
//
//	i32  length, of everything that follows
//	i16  API key
//	i16  version
//	i32  correlation id, which comes back in the response
//	i16  length of the client id, -1: null; then its bytes
//	     tagged fields, in flexible versions
//	…    body
//
// A response: i32 length, i32 correlation id, tagged fields in flexible
// versions (never for ApiVersions), body.

const (
	frameMin = 8 // key, version, correlation id
	// frameProof is how much of a frame must have come before any memory is
	// taken for the rest: lengths alone are worth none. It is what a
	// connection's read buffer holds.
	frameProof = readBuffer
	// smallFrameMax is the largest frame that takes memory of those that are
	// kept for small ones.
	smallFrameMax = 1 << 20
	// otherFrameMax bounds requests of all APIs but Produce: 100,000
	// partitions fit easily.
	otherFrameMax = 8 << 20
	// A frame may take frameTime to arrive, and a second more for each
	// frameRate bytes.
	frameTime = 30 * time.Second
	frameRate = 1 << 20
)

var (
	errIdle = errors.New("silent for connections.max.idle.ms")
	errSlow = errors.New("too slow to send a request or to read a response, while others waited for memory")
)

// frame is the bytes of one request. Whoever owns it must release it once.
type frame struct {
	b     []byte
	mem   *frameMemory
	share share
}

func (f *frame) release() {
	if f.b != nil {
		f.mem.put(f.b)
		f.share.giveBack()
		f.b = nil
	}
}

// frameMemory gives out the buffers of frames. Small and large ones have a
// budget each.
type frameMemory struct {
	small, large *budget
	classes      [frameClasses]sync.Pool
}

// Buffers come in sizes 4 KiB, 16 KiB … 4 MiB; larger ones are made to fit
// and not kept.
const (
	frameClasses  = 6
	smallestFrame = 4 << 10
)

// newFrameMemory gives half of total to the frames up to smallFrameMax.
func newFrameMemory(total int64) *frameMemory {
	return &frameMemory{small: newBudget(total / 2), large: newBudget(total / 2)}
}

// class is the index of the smallest buffers that hold n bytes, and their
// size; -1 if n is larger than all.
func class(n int) (index, size int) {
	size = smallestFrame
	for i := range frameClasses {
		if n <= size {
			return i, size
		}
		size *= 4
	}
	return -1, n
}

// get returns a frame with room for n bytes. It waits while too much is in
// use.
func (m *frameMemory) get(ctx context.Context, n int) (frame, error) {
	i, size := class(n)
	budget := m.small
	if size > smallFrameMax {
		budget = m.large
	}
	s, err := budget.take(ctx, int64(size))
	if err != nil {
		return frame{}, err
	}
	f := frame{mem: m, share: s}
	if i >= 0 {
		if b, ok := m.classes[i].Get().(*[]byte); ok {
			f.b = (*b)[:n]
			return f, nil
		}
	}
	f.b = make([]byte, n, size)
	return f, nil
}

func (m *frameMemory) put(b []byte) {
	if i, size := class(cap(b)); i >= 0 && size == cap(b) {
		b = b[:0]
		m.classes[i].Put(&b)
	}
}

// frameReader reads the frames of one connection.
type frameReader struct {
	nc      net.Conn
	br      *bufio.Reader
	mem     *frameMemory
	max     int64         // socket.request.max.bytes
	idle    time.Duration // negative: for ever
	busy    func() bool   // whether something is being waited for
	stopped func() bool   // whether nothing more is to be read
	fail    func(error)   // ends the connection, from any goroutine
	// room waits until a request of that API and size may be open too.
	room func(ctx context.Context, key int16, size int) error
}

// next reads a frame. It takes no memory for one that has not begun to come,
// nor for one that the connection has no room for.
func (r *frameReader) next(ctx context.Context) (frame, error) {
	if err := r.await(); err != nil {
		return frame{}, err
	}
	head, err := r.br.Peek(4)
	if err != nil {
		return frame{}, err
	}
	size := int64(int32(binary.BigEndian.Uint32(head)))
	if size < frameMin || size > r.max {
		return frame{}, r.notAFrame(size)
	}
	r.br.Discard(4)
	f, err := r.read(ctx, int(size))
	if err != nil {
		f.release()
		return frame{}, err
	}
	return f, nil
}

func (r *frameReader) read(ctx context.Context, size int) (frame, error) {
	proof := min(size, frameProof)
	if err := r.armFor(size); err != nil {
		return frame{}, err
	}
	head, err := r.br.Peek(proof)
	if err != nil {
		return frame{}, fmt.Errorf("frame of %d bytes ends early: %w", size, err)
	}
	key := int16(binary.BigEndian.Uint16(head))
	if size > otherFrameMax && key != kmsg.Produce.Int16() {
		return frame{}, fmt.Errorf("frame of %d bytes for API %d, allowed are %d", size, key, otherFrameMax)
	}
	if err := r.room(ctx, key, size); err != nil {
		return frame{}, err
	}
	f, err := r.mem.get(ctx, size)
	if err != nil {
		return f, err
	}
	return f, r.fill(&f)
}

// fill reads the bytes of f. While some are missing, the memory is a loan.
func (r *frameReader) fill(f *frame) error {
	if r.br.Buffered() >= len(f.b) {
		_, err := io.ReadFull(r.br, f.b)
		return err
	}
	if err := r.armFor(len(f.b)); err != nil { // again: there may have been a wait
		return err
	}
	l := f.share.lend(func() { r.fail(errSlow) })
	defer l.end()
	for have := 0; have < len(f.b); {
		n, err := r.br.Read(f.b[have:])
		have += n
		l.move(int64(n))
		if err != nil && have < len(f.b) {
			return fmt.Errorf("frame of %d bytes ends early: %w", len(f.b), err)
		}
	}
	return nil
}

// armFor gives the rest of a frame of that size its time.
func (r *frameReader) armFor(size int) error {
	if r.br.Buffered() >= size {
		return nil
	}
	return r.arm(frameTime + time.Duration(size)*time.Second/frameRate)
}

// arm gives the next reads a deadline; none, if d is negative.
func (r *frameReader) arm(d time.Duration) error {
	var deadline time.Time
	if d >= 0 {
		deadline = time.Now().Add(d)
	}
	if err := r.nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	if r.stopped() { // its deadline, in the past, may have been overwritten
		return errStopping
	}
	return nil
}

// await blocks until four bytes are there. A connection that is silent for
// too long, and waits for nothing, is errIdle.
func (r *frameReader) await() error {
	for {
		if r.br.Buffered() < 4 {
			if err := r.arm(r.idle); err != nil {
				return err
			}
		}
		_, err := r.br.Peek(4)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case !r.busy():
			return errIdle
		}
	}
}

// header is the header of a request.
type header struct {
	key, version int16
	correlation  int32
	clientID     string
	flexible     bool
}

// parseHeader reads what all headers begin with; the rest of the frame is
// returned for finish.
func parseHeader(b []byte) (header, []byte, error) {
	if len(b) < frameMin {
		return header{}, nil, errShape
	}
	be := binary.BigEndian
	h := header{key: int16(be.Uint16(b)), version: int16(be.Uint16(b[2:])), correlation: int32(be.Uint32(b[4:]))}
	return h, b[frameMin:], nil
}

// finish reads the rest of the header of a version that is served, and
// returns the body. The client id is a copy.
func (h *header) finish(b []byte, flexible bool) ([]byte, error) {
	w := walker{b: b, left: elementsMax}
	if n := int(w.int16()); n >= 0 && n <= len(w.b) {
		h.clientID = string(w.b[:n])
		w.skip(n)
	} else if n != -1 {
		return nil, errShape
	}
	h.flexible = flexible
	if flexible && w.err == nil {
		w.walkTags(nil)
	}
	return w.b, w.err
}
