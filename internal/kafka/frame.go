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
	"golang.org/x/sync/semaphore"
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
	// firstBytes is how much memory a length is worth before any bytes
	// have come. From then on memory grows by growBy of what has arrived,
	// or to the size of the largest frame that this client has sent before.
	firstBytes = 16 << 10
	growBy     = 4
	// otherFrameMax bounds requests of all APIs but Produce: 100,000
	// partitions fit easily.
	otherFrameMax = 8 << 20
	// memoryWait is how long a frame waits for memory that others hold, and
	// stallMax how long the next part of a frame may take to arrive.
	memoryWait = 30 * time.Second
	stallMax   = 30 * time.Second
)

var errIdle = errors.New("silent for connections.max.idle.ms")

// frame is the bytes of one request. Whoever owns it must release it once.
type frame struct {
	b   []byte
	mem *memory
}

func (f *frame) release() {
	if f.b != nil {
		f.mem.put(f.b)
		f.b = nil
	}
}

// memory gives out the buffers of frames, up to a limit for the whole server.
type memory struct {
	total   int64
	budget  *semaphore.Weighted
	classes [frameClasses]sync.Pool
}

// Buffers come in sizes 4 KiB, 16 KiB … 4 MiB; larger ones are made to fit
// and not kept.
const (
	frameClasses  = 6
	smallestFrame = 4 << 10
)

func newMemory(total int64) *memory {
	return &memory{total: total, budget: semaphore.NewWeighted(total)}
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

// get returns a buffer of n bytes. It waits while too much is in use.
func (m *memory) get(ctx context.Context, n int) ([]byte, error) {
	i, size := class(n)
	if err := m.take(ctx, size); err != nil {
		return nil, err
	}
	if i >= 0 {
		if b, ok := m.classes[i].Get().(*[]byte); ok {
			return (*b)[:n], nil
		}
	}
	return make([]byte, n, size), nil
}

// take counts n bytes against the limit. It waits while too much is in use.
func (m *memory) take(ctx context.Context, n int) error {
	if m.budget.TryAcquire(m.weight(n)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, memoryWait)
	defer cancel()
	if err := m.budget.Acquire(ctx, m.weight(n)); err != nil {
		return fmt.Errorf("no memory for %d bytes: %w", n, err)
	}
	return nil
}

// giveBack is the reverse of take.
func (m *memory) giveBack(n int) { m.budget.Release(m.weight(n)) }

// weight lets a single buffer that is larger than the whole budget pass when
// it is alone.
func (m *memory) weight(size int) int64 { return min(int64(size), m.total) }

func (m *memory) put(b []byte) {
	m.giveBack(cap(b))
	if i, size := class(cap(b)); i >= 0 && size == cap(b) {
		b = b[:0]
		m.classes[i].Put(&b)
	}
}

// frameReader reads the frames of one connection.
type frameReader struct {
	nc      net.Conn
	br      *bufio.Reader
	mem     *memory
	max     int64         // socket.request.max.bytes
	idle    time.Duration // negative: for ever
	busy    func() bool   // whether something is being waited for
	stopped func() bool   // whether nothing more is to be read
	seen    int           // the largest frame that has come whole
}

// next reads a frame. Its memory grows with the bytes that arrive, not with
// the length that the peer says.
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
		return frame{}, fmt.Errorf("frame of %d bytes, allowed are %d to %d", size, frameMin, r.max)
	}
	r.br.Discard(4)
	f, err := r.read(ctx, int(size))
	if err != nil {
		f.release()
		return frame{}, err
	}
	r.seen = max(r.seen, int(size))
	return f, nil
}

func (r *frameReader) read(ctx context.Context, size int) (frame, error) {
	f := frame{mem: r.mem}
	have := 0
	for have < size {
		want := min(size, firstBytes)
		if have > 0 {
			if err := checkFrameSize(f.b, size); err != nil {
				return f, err
			}
			want = min(size, max(r.seen, growBy*have))
		}
		b, err := r.mem.get(ctx, want)
		if err != nil {
			return f, err
		}
		copy(b, f.b)
		f.release()
		f.b = b
		if r.br.Buffered() < want-have {
			if err := r.arm(stallMax); err != nil {
				return f, err
			}
		}
		if _, err := io.ReadFull(r.br, b[have:want]); err != nil {
			return f, fmt.Errorf("frame of %d bytes ends early: %w", size, err)
		}
		have = want
	}
	return f, checkFrameSize(f.b, size)
}

// checkFrameSize refuses large frames of APIs that have no use for them. b is
// the frame's beginning.
func checkFrameSize(b []byte, size int) error {
	if key := int16(binary.BigEndian.Uint16(b)); size > otherFrameMax && key != kmsg.Produce.Int16() {
		return fmt.Errorf("frame of %d bytes for API %d, allowed are %d", size, key, otherFrameMax)
	}
	return nil
}

// arm gives the next read a deadline; none, if d is negative.
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
