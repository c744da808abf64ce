package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/record"
)

const (
	// readAhead is how many bytes of a log are read at once while its
	// messages are read one after the other.
	readAhead = 64 << 10
	// cursorsMax is how many logs a reader remembers its place in.
	cursorsMax = 64
)

// MessageReader reads messages by offset. It remembers where it was in each
// log, so that going on costs neither a lookup nor, mostly, a read. It belongs
// to one goroutine. What it has read holds until it reads again.
type MessageReader struct {
	b       *Broker
	index   *datafile.Index
	cursors map[datafile.LogID]*logCursor
}

// logCursor is a place in a log: buf begins with the batch at offset next, and
// the extent goes on behind it.
type logCursor struct {
	next int64 // offset
	buf  []byte
	mem  []byte // that buf lies in
	file engine.FileID
	pos  int64 // in the file, where buf begins
	end  int64 // in the file, where the extent ends
}

func newMessageReader(s *shard) *MessageReader {
	return &MessageReader{b: s.b, index: s.index, cursors: map[datafile.LogID]*logCursor{}}
}

// ErrGone says that a message is not there any more: its queue was deleted, or
// it was settled.
var ErrGone = errors.New("the message is gone")

// Read returns the message at an offset of a queue's log, which must be
// durable. Its bytes must not be changed, and hold until the next Read. It fails
// with ErrGone.
func (r *MessageReader) Read(ctx context.Context, log datafile.LogID, offset int64) (Message, error) {
	batch, err := r.batch(ctx, log, offset)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return Message{}, ErrGone
	case err != nil:
		return Message{}, fmt.Errorf("message %d of log %d: %w", offset, log, r.b.readError(err))
	}
	return readMessage(batch)
}

func (r *MessageReader) batch(ctx context.Context, log datafile.LogID, offset int64) ([]byte, error) {
	c := r.cursors[log]
	if c != nil && c.next == offset {
		batch, err := c.take(ctx, r.index)
		if !errors.Is(err, engine.ErrNotFound) {
			return batch, err
		}
		// A rewrite has moved what comes next.
	}
	if c == nil {
		c = r.newCursor(log)
	}
	if err := c.seek(ctx, r.index, log, offset); err != nil {
		delete(r.cursors, log)
		return nil, err
	}
	return c.take(ctx, r.index)
}

// newCursor makes a cursor, and forgets another if there are too many.
func (r *MessageReader) newCursor(log datafile.LogID) *logCursor {
	if len(r.cursors) >= cursorsMax {
		for other := range r.cursors {
			delete(r.cursors, other)
			break
		}
	}
	c := &logCursor{}
	r.cursors[log] = c
	return c
}

// seek goes to the batch at offset.
func (c *logCursor) seek(ctx context.Context, x *datafile.Index, log datafile.LogID, offset int64) error {
	it := x.Find(log, offset, offset+1)
	defer it.Close()
	if !it.Next() {
		return cmp.Or(it.Err(), engine.ErrNotFound)
	}
	place := it.Place()
	found := false
	err := walkBatches(ctx, x, place, func(at batchAt) bool {
		if at.last < offset {
			return true
		}
		found = at.base <= offset
		c.next, c.pos = at.base, at.pos
		return false
	})
	if err == nil && !found {
		err = engine.ErrNotFound
	}
	c.buf, c.file, c.end = c.buf[:0], place.File, place.Pos+place.Bytes
	if err == nil {
		// While the iterator keeps the file from being removed.
		err = c.fill(ctx, x, record.HeaderLen)
	}
	return err
}

// take returns the batch at the cursor, which goes on to the next.
func (c *logCursor) take(ctx context.Context, x *datafile.Index) ([]byte, error) {
	if err := c.fill(ctx, x, record.HeaderLen); err != nil {
		return nil, err
	}
	h, err := record.ReadHeader(c.buf)
	if err != nil {
		return nil, &engine.ErrDamaged{Path: fmt.Sprintf("data file %016x", uint64(c.file)), Off: c.pos, Reason: err.Error()}
	}
	if err := c.fill(ctx, x, h.Size()); err != nil {
		return nil, err
	}
	batch := c.buf[:h.Size()]
	c.buf = c.buf[h.Size():]
	c.pos += int64(h.Size())
	c.next = h.LastOffset() + 1
	return batch, nil
}

// fill makes buf hold n bytes at least. It fails with engine.ErrNotFound at the
// end of the extent, and when the file has gone.
func (c *logCursor) fill(ctx context.Context, x *datafile.Index, n int) error {
	if len(c.buf) >= n {
		return nil
	}
	if c.pos+int64(n) > c.end {
		return engine.ErrNotFound
	}
	size := int(min(c.end-c.pos, int64(max(n, readAhead))))
	if size > cap(c.mem) || cap(c.mem) > readAhead && size <= readAhead {
		c.mem = make([]byte, max(size, min(readAhead, 2*cap(c.mem))))
	}
	buf := c.mem[:size]
	c.buf = buf[:copy(buf, c.buf)]
	if err := x.Read(ctx, c.file, c.pos+int64(len(c.buf)), buf[len(c.buf):]); err != nil {
		return err
	}
	c.buf = buf
	return nil
}
