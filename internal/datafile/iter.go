package datafile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// epoch counts the iterators that began in it. A file that nothing refers to
// any more is removed once no iterator is left from before that moment.
type epoch struct {
	n       uint64
	readers atomic.Int64
}

// Iter walks the extents of a log in the order of their offsets, as they lay
// when it was made. It belongs to one goroutine. The files that it names can
// be read until Close, or until the Pin from Detach is closed.
type Iter struct {
	x     *Index
	epoch *epoch // nil once closed
	log   LogID
	next  int64 // lowest offset that is still wanted
	to    int64 // and the end of what is wanted
	since int64 // extents with a smaller MaxTime are left out
	spans []span
	at    int // number of the next span

	in   idxCursor // where it is in an .idx
	buf  [8]Place  // read ahead
	n, i int       // buf[i:n] is still to come

	place   Place
	files   []*file // those that place has named
	filebuf [4]*file
	err     error
}

// idxCursor is a position in the .idx of a span.
type idxCursor struct {
	idx    *idx // nil: not in an .idx
	file   *file
	end    int64 // where the span ends
	no     uint32
	block  blockReader
	opened bool // block is block no
	exact  bool // block no is known to be the right one or behind it
}

// Find returns an iterator over the extents of log that reach into [from,
// to): the first covers from, or is the next above. The last may reach beyond
// to, and the first may begin before from. What is added or dies later is not
// taken notice of. A log that is not known has no extents.
func (x *Index) Find(log LogID, from, to int64) *Iter {
	it := &Iter{x: x, log: log, since: math.MinInt64}
	it.files = it.filebuf[:0]
	x.mu.RLock()
	defer x.mu.RUnlock()
	it.epoch = x.epoch
	it.epoch.readers.Add(1)
	if l := x.logs[log]; l != nil && len(l.spans) > 0 {
		it.spans = l.spans
		from = max(from, l.start)
		// Above it an extent could still grow, and be met twice.
		to = min(to, l.spans[len(l.spans)-1].next())
	}
	it.rewind(from, to, math.MinInt64)
	return it
}

// rewind starts again, with other bounds inside the first ones. The lock is
// held, or nobody else has the iterator yet.
func (it *Iter) rewind(from, to, since int64) {
	it.next, it.to, it.since = from, to, since
	it.n, it.i, it.in = 0, 0, idxCursor{}
	it.at = sort.Search(len(it.spans), func(i int) bool { return it.spans[i].next() > from })
}

// Next goes to the next extent. It reports false at the end and when reading
// an .idx failed; Err tells which.
func (it *Iter) Next() bool {
	for it.i == it.n {
		it.i, it.n = 0, 0
		if it.err != nil || it.epoch == nil || (it.in.idx == nil && !it.enterSpan()) {
			return false
		}
		if it.in.idx != nil {
			it.readIdx()
			it.spoil()
		}
	}
	it.place = it.buf[it.i]
	it.i++
	return true
}

// Place is the extent that Next went to.
func (it *Iter) Place() Place { return it.place }

// Err is what stopped the iterator early: nil, *engine.ErrDamaged, or an error
// of the BlobStore.
func (it *Iter) Err() error { return it.err }

// Close ends the iterator. It may be called twice.
func (it *Iter) Close() {
	if it.epoch != nil {
		it.epoch.readers.Add(-1)
		it.epoch = nil
	}
}

// Detach ends the iterator and returns a Pin on the files that it has named.
func (it *Iter) Detach() *Pin {
	p := &Pin{}
	if it.epoch != nil { // so none of the files has been removed
		p.files = append(p.files, it.files...)
		for _, f := range p.files {
			f.pins.Add(1)
		}
	}
	it.Close()
	return p
}

// Pin keeps files from being removed. It should not be held for long: the
// disk space of a dead file comes back when nobody holds it.
type Pin struct{ files []*file }

// Close lets go of the files. It may be called twice.
func (p *Pin) Close() {
	for _, f := range p.files {
		f.pins.Add(-1)
	}
	p.files = nil
}

// enterSpan goes to the next span that has something: it fills the buffer from
// RAM, or sets the cursor into the .idx. It reports false at the end.
func (it *Iter) enterSpan() bool {
	x := it.x
	x.mu.RLock()
	defer x.mu.RUnlock()
	for ; it.at < len(it.spans) && it.next < it.to; it.at++ {
		s := &it.spans[it.at]
		if s.first >= it.to {
			break
		}
		if s.next() <= it.next || s.maxTime < it.since {
			continue
		}
		it.next = max(it.next, s.first) // below lies what has been let go of
		f := x.slots[s.file]
		if s.at&inMem == 0 || f.mem == nil {
			it.enterIdx(f, s)
			return true
		}
		if it.readMem(f, &f.mem[s.at&^inMem], s.next()) {
			return true
		}
	}
	return false
}

// readMem fills the buffer from RAM. It reports false if the span had nothing
// more; then the caller goes on to the next.
func (it *Iter) readMem(f *file, m *memSpan, end int64) bool {
	i := sort.Search(len(m.exts), func(i int) bool { return m.end(i) > it.next })
	for ; i < len(m.exts) && it.n < len(it.buf); i++ {
		e := m.extent(i)
		if e.Base >= it.to {
			break
		}
		it.next = e.End()
		it.push(f, e)
	}
	if it.n < len(it.buf) { // nothing is left in this span
		it.next = max(it.next, min(end, it.to))
	}
	return it.n > 0
}

func (it *Iter) push(f *file, e Extent) {
	if e.MaxTime < it.since {
		return
	}
	it.buf[it.n] = Place{File: f.id, Extent: e}
	it.n++
	for _, have := range it.files {
		if have == f {
			return
		}
	}
	it.files = append(it.files, f)
}

func (it *Iter) enterIdx(f *file, s *span) {
	it.in = idxCursor{idx: f.idx, file: f, end: s.next()}
	if s.at&inMem == 0 {
		it.in.no = s.at
	}
}

// readIdx fills the buffer from the .idx, and leaves it at the end of the span.
func (it *Iter) readIdx() {
	c := &it.in
	for it.n < len(it.buf) {
		e, ok := it.nextInIdx()
		if it.err != nil {
			return
		}
		if !ok || e.Base >= it.to {
			if !ok && it.since == math.MinInt64 && it.next < c.end {
				it.err = damaged(c.idx.name, 0, "log %d has no extents from offset %d to %d", it.log, it.next, c.end)
				return
			}
			it.next = max(it.next, min(c.end, it.to))
			it.in = idxCursor{}
			it.at++
			return
		}
		it.next = e.End()
		it.push(c.file, e)
	}
}

// spoil remembers a file whose .idx cannot be read, so that it is made again.
func (it *Iter) spoil() {
	var damaged *engine.ErrDamaged
	if it.err == nil || !errors.As(it.err, &damaged) && !errors.Is(it.err, engine.ErrNotFound) {
		return
	}
	it.x.mu.Lock()
	defer it.x.mu.Unlock()
	if f := it.in.file; f.idx == it.in.idx { // nobody has made a new one
		f.spoilt = true
	}
}

// nextInIdx returns the next extent of the span that is wanted.
func (it *Iter) nextInIdx() (Extent, bool) {
	c := &it.in
	for {
		if !c.opened && !it.openBlock() {
			return Extent{}, false
		}
		e, more, ok := c.block.next()
		switch {
		case !ok:
			it.err = damagedBlock(c.idx, c.no)
			return Extent{}, false
		case !more:
			it.leaveBlock()
		case e.Log > it.log || (e.Log == it.log && e.Base >= c.end):
			return Extent{}, false
		case e.Log == it.log && e.End() > it.next:
			c.exact = true
			return e, true
		}
	}
}

// openBlock opens the block at the cursor, or the next that may hold extents
// that are new enough. It reports false at the end of the log, and on an error.
func (it *Iter) openBlock() bool {
	c, s := &it.in, it.x.store
	for it.since != math.MinInt64 && c.no < c.idx.blocks {
		f, err := s.fence(c.idx, c.no)
		if err != nil {
			it.err = err
			return false
		}
		if f.log > it.log || (f.log == it.log && f.base >= min(c.end, it.to)) {
			return false
		}
		if f.maxTime >= it.since {
			break
		}
		c.no++
	}
	if c.no >= c.idx.blocks {
		return false
	}
	c.block, it.err = s.block(c.idx, c.no)
	if it.err == nil && !c.block.seek(it.log, it.next) {
		it.err = damagedBlock(c.idx, c.no)
	}
	c.opened = it.err == nil
	return c.opened
}

// leaveBlock goes to the next block. When the first one, which the span named,
// had nothing, the fences tell which one has.
func (it *Iter) leaveBlock() {
	c := &it.in
	c.opened = false
	from := c.no
	c.no++
	if c.exact {
		return
	}
	c.exact = true
	no, err := it.x.store.blockOf(c.idx, from, it.log, it.next)
	if err != nil {
		it.err = err
		c.no = c.idx.blocks
		return
	}
	c.no = max(c.no, no)
}

// Read fills p from file at pos. It fails with engine.ErrNotFound if the file
// has been removed; no file that an open Iter or Pin has named is.
func (x *Index) Read(ctx context.Context, id engine.FileID, pos int64, p []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if IsRewritten(id) {
		return x.store.read(dataName(x.cfg.Shard, id), p, pos)
	}
	n, err := x.cfg.Journal.ReadAt(id, p, pos)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged(fileName(x.cfg.Shard, id), pos, "%d bytes should be here, the file ends after %d", len(p), n)
	}
	return fmt.Errorf("reading %s at %d: %w", fileName(x.cfg.Shard, id), pos, err)
}
