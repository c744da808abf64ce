package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// chunkBytes is how much of a file is in memory at once while it is sent.
const chunkBytes = 256 << 10

var chunks = sync.Pool{New: func() any { b := make([]byte, chunkBytes); return &b }}

// Plan is what a fetch returns of one partition: whole batches, still in
// their files. It belongs to one goroutine and must be closed.
type Plan struct {
	b      *Broker
	index  *datafile.Index
	pin    *datafile.Pin
	pieces []piece
	bytes  int64
	end    int64 // the offset after the last one that is planned
	cut    bool
}

// piece is a run of bytes of a file, and the offsets that its batches lie
// within.
type piece struct {
	file      engine.FileID
	pos       int64
	n         int64
	base, end int64
}

// Bytes is the length of the plan, exactly what WriteTo writes; 0 if there is
// nothing to send.
func (p *Plan) Bytes() int64 { return p.bytes }

// Cut says whether the byte limit, and not the end of what there is, ended the
// plan: there is more, be the limit met exactly or not.
func (p *Plan) Cut() bool { return p.cut }

// WriteTo copies the planned bytes to w, holding one chunk in memory at a
// time. What is not the batches that the index names it does not write: the
// error is Damaged. It implements io.WriterTo.
func (p *Plan) WriteTo(w io.Writer) (int64, error) {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	var done int64
	for _, x := range p.pieces {
		n, err := p.writePiece(w, x, *buf)
		done += n
		if err != nil {
			return done, p.b.readError(err)
		}
	}
	return done, nil
}

func (p *Plan) writePiece(w io.Writer, x piece, buf []byte) (done int64, err error) {
	check := batchCheck{next: x.base, end: x.end}
	for done < x.n {
		b, pos := buf[:min(x.n-done, chunkBytes)], x.pos+done
		if err := p.index.Read(context.Background(), x.file, pos, b); err != nil {
			if isDamage(err) {
				from, _ := check.suspect()
				p.b.damage.note(x.file, x.pos+from, pos+int64(len(b)))
			}
			return done, err
		}
		err := check.pass(b)
		if err == nil && done+int64(len(b)) == x.n {
			err = check.done()
		}
		if err != nil {
			from, to := check.suspect()
			p.b.damage.note(x.file, x.pos+from, x.pos+to)
			return done, damagedAt(x.file, x.pos+from, err)
		}
		n, err := w.Write(b)
		done += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Close lets go of the files. It may be called twice.
func (p *Plan) Close() {
	if p.pin != nil {
		p.pin.Close()
		p.pin = nil
	}
}

func (p *Plan) add(x piece) {
	if x.n == 0 {
		return
	}
	p.bytes += x.n
	p.end = x.end
	if k := len(p.pieces); k > 0 {
		if last := &p.pieces[k-1]; last.file == x.file && last.pos+last.n == x.pos {
			last.n += x.n
			last.end = x.end
			return
		}
	}
	p.pieces = append(p.pieces, x)
}

// Plan chooses what a fetch of p from offset on returns: the batch that holds
// offset and those after it that end at or below upTo (exclusive), up to
// maxBytes. With oneAtLeast the first batch comes even if it is larger.
func (b *Broker) Plan(ctx context.Context, p *Partition, offset, upTo, maxBytes int64, oneAtLeast bool) (Plan, error) {
	x := p.shard.index
	plan := Plan{b: b, index: x}
	it := x.Find(p.log, offset, upTo)
	err := plan.choose(ctx, it, offset, upTo, maxBytes, oneAtLeast)
	if err == nil {
		err = plan.avoidDamage()
	}
	if err != nil {
		it.Close()
		return Plan{}, b.readError(err)
	}
	plan.cut = plan.cut || plan.bytes > 0 && plan.bytes >= maxBytes && plan.end < upTo
	plan.pin = it.Detach()
	return plan, nil
}

// avoidDamage ends the plan before what is known to be damaged. It fails if
// nothing is left then.
func (p *Plan) avoidDamage() error {
	i, x := p.b.damage.first(p.pieces)
	if i < 0 {
		return nil
	}
	for _, gone := range p.pieces[i:] {
		p.bytes -= gone.n
	}
	bad := p.pieces[i]
	p.pieces = p.pieces[:i]
	if bad.n = x.pos - bad.pos; bad.n > 0 { // it ends with a batch: so damage is noted
		p.pieces = append(p.pieces, bad)
		p.bytes += bad.n
	}
	if p.bytes == 0 {
		return errf(Damaged, "data file %016x is damaged between offset %d and %d", uint64(x.file), x.pos, x.pos+x.n)
	}
	p.cut = true
	return nil
}

func (p *Plan) choose(ctx context.Context, it *datafile.Iter, offset, upTo, maxBytes int64, oneAtLeast bool) error {
	for (p.bytes == 0 || p.bytes < maxBytes) && it.Next() {
		e := it.Place()
		whole := e.Base >= offset && e.End() <= upTo && p.bytes+e.Bytes <= maxBytes
		if whole {
			p.add(piece{e.File, e.Pos, e.Bytes, e.Base, e.End()})
			continue
		}
		// The edges of a fetch need not be the edges of an extent.
		more, err := p.chooseWithin(ctx, e, offset, upTo, maxBytes, oneAtLeast)
		if err != nil || !more {
			return err
		}
	}
	return it.Err()
}

// chooseWithin takes the batches of one extent that are wanted. It reports
// false when the plan is full.
func (p *Plan) chooseWithin(ctx context.Context, e datafile.Place, offset, upTo, maxBytes int64, oneAtLeast bool) (more bool, err error) {
	more = true
	err = walkBatches(ctx, p.index, e, func(at batchAt) bool {
		switch {
		case at.last < offset:
			return true
		case at.last >= upTo:
			more = false
		case p.bytes+at.size > maxBytes && (p.bytes > 0 || !oneAtLeast):
			more, p.cut = false, true
		default:
			p.add(piece{e.File, at.pos, at.size, at.base, at.last + 1})
		}
		return more
	})
	return more, err
}

// batchAt is the header of a batch and where it lies.
type batchAt struct {
	pos, size  int64
	base, last int64 // offsets
	maxTime    int64
	epoch      int32
}

// walkBatches calls fn for each batch of an extent until it returns false. It
// reads headers, a chunk at a time where batches are small, and checks that
// their offsets are those of the extent.
func walkBatches(ctx context.Context, x *datafile.Index, e datafile.Place, fn func(batchAt) bool) error {
	buf := chunks.Get().(*[]byte)
	defer chunks.Put(buf)
	end := e.Pos + e.Bytes
	next := e.Base
	var have []byte // what is in memory of the extent, from pos on
	for pos := e.Pos; pos < end; {
		if len(have) < record.HeaderLen {
			have = (*buf)[:min(end-pos, 16<<10)]
			if err := x.Read(ctx, e.File, pos, have); err != nil {
				return err
			}
		}
		at, err := readBatchAt(have)
		if err == nil && (pos+at.size > end || at.base < next || at.last >= e.End()) {
			err = errNotBatches
		}
		if err != nil {
			return damagedAt(e.File, pos, err)
		}
		at.pos = pos
		if !fn(at) {
			return nil
		}
		next = at.last + 1
		pos += at.size
		have = have[min(at.size, int64(len(have))):]
	}
	return nil
}

// readBatchAt reads the head of a batch.
func readBatchAt(b []byte) (batchAt, error) {
	if len(b) < record.HeaderLen {
		return batchAt{}, errors.New("an extent ends within a batch")
	}
	be := binary.BigEndian
	at := batchAt{
		size:    12 + int64(int32(be.Uint32(b[8:]))),
		base:    int64(be.Uint64(b)),
		epoch:   int32(be.Uint32(b[12:])),
		maxTime: int64(be.Uint64(b[35:])),
	}
	at.last = at.base + int64(int32(be.Uint32(b[23:])))
	if at.size < record.HeaderLen || at.last < at.base {
		return batchAt{}, errors.New("not a record batch")
	}
	return at, nil
}

// FindTime finds the first record of p, in log order, with a timestamp at or
// above since (ms).
func (b *Broker) FindTime(ctx context.Context, p *Partition, since int64) (_ Found, err error) {
	defer func() { err = b.readError(err) }()
	bounds := p.Bounds()
	it := p.shard.index.FindTime(p.log, bounds.Start, bounds.HighWatermark, since)
	defer it.Close()
	return findRecord(ctx, p.shard.index, it, bounds, since)
}

// FindMaxTime finds the first record of p with the largest timestamp.
func (b *Broker) FindMaxTime(ctx context.Context, p *Partition) (_ Found, err error) {
	defer func() { err = b.readError(err) }()
	bounds := p.Bounds()
	it := p.shard.index.FindMaxTime(p.log, bounds.Start, bounds.HighWatermark)
	defer it.Close()
	if !it.Next() {
		return Found{Offset: -1, Timestamp: -1, Epoch: -1}, it.Err()
	}
	largest := it.Place().MaxTime
	again := p.shard.index.FindTime(p.log, it.Place().Base, bounds.HighWatermark, largest)
	defer again.Close()
	found, err := findRecord(ctx, p.shard.index, again, bounds, largest)
	if err != nil || found.Offset >= 0 {
		return found, err
	}
	// The youngest extent holds records without a timestamp, whose age counts
	// from when they came. Look at the batches themselves.
	if largest, err = largestTime(ctx, p.shard.index, p.log, bounds); err != nil || largest < 0 {
		return found, err
	}
	slow := p.shard.index.FindTime(p.log, bounds.Start, bounds.HighWatermark, largest)
	defer slow.Close()
	return findRecord(ctx, p.shard.index, slow, bounds, largest)
}

// largestTime is the largest timestamp in the headers of all batches.
func largestTime(ctx context.Context, x *datafile.Index, log datafile.LogID, bounds Bounds) (int64, error) {
	largest := int64(-1)
	it := x.Find(log, bounds.Start, bounds.HighWatermark)
	defer it.Close()
	for it.Next() {
		err := walkBatches(ctx, x, it.Place(), func(at batchAt) bool {
			if at.last >= bounds.Start {
				largest = max(largest, at.maxTime)
			}
			return true
		})
		if err != nil {
			return -1, err
		}
	}
	return largest, it.Err()
}

// findRecord looks through the extents of it for a record with a timestamp
// at or above since.
func findRecord(ctx context.Context, x *datafile.Index, it *datafile.Iter, bounds Bounds, since int64) (Found, error) {
	found := Found{Offset: -1, Timestamp: -1, Epoch: -1}
	for it.Next() && found.Offset < 0 {
		var inner error
		err := walkBatches(ctx, x, it.Place(), func(at batchAt) bool {
			if at.maxTime >= since && at.last >= bounds.Start {
				inner = findInBatch(ctx, x, it.Place().File, at, bounds.Start, since, &found)
			}
			return inner == nil && found.Offset < 0
		})
		if err := errors.Join(err, inner); err != nil {
			return found, err
		}
	}
	return found, it.Err()
}

func findInBatch(ctx context.Context, x *datafile.Index, file engine.FileID, at batchAt, start, since int64, found *Found) error {
	buf := make([]byte, at.size)
	if err := x.Read(ctx, file, at.pos, buf); err != nil {
		return err
	}
	return record.Iterate(buf, func(r record.Record) bool {
		if r.Timestamp >= since && r.Offset >= start {
			*found = Found{Offset: r.Offset, Timestamp: r.Timestamp, Epoch: at.epoch}
			return false
		}
		return true
	})
}

// PartitionBytes is about how many bytes of p can be read.
func (b *Broker) PartitionBytes(p *Partition) int64 { return p.shard.index.Size(p.log) }

// verifyBatches checks that data is what the index says of it: whole batches
// with these offsets, and undamaged.
func verifyBatches(e datafile.Extent, data []byte) error {
	next := e.Base
	for len(data) > 0 {
		h, err := record.ReadHeader(data)
		if err != nil {
			return err
		}
		if h.BaseOffset < next || h.LastOffset() >= e.End() || h.Size() > len(data) {
			return fmt.Errorf("batch at offset %d is not within %d and %d", h.BaseOffset, next, e.End())
		}
		if !record.VerifyCRC(data[:h.Size()]) {
			return fmt.Errorf("batch at offset %d fails its checksum", h.BaseOffset)
		}
		next = h.LastOffset() + 1
		data = data[h.Size():]
	}
	return nil
}
