package datafile

import (
	"encoding/binary"
	"math"
	"sort"
)

// A block is a page of extents, sorted by log and then offset:
//
//	8                                         4096-2r
//	+--------+--------+--------+-- … --+--------+----------------------+
//	| extent | extent | extent |       | zeros  | r restarts, uint16   |
//	+--------+--------+--------+-- … --+--------+----------------------+
//
// Each extent is written as the difference to the one before it. Every 16th,
// from the first on, is a restart: it is written as the difference to an
// extent of zeros, and its position in the page stands in the table at the
// end. So a search reads the table and at most 16 extents. An extent is
//
//	uvarint  log - previous log
//	uvarint  same log: base - previous end; another log: base
//	uvarint  count
//	varint   pos - where the previous extent ends in the file
//	uvarint  bytes
//	varint   max time - previous max time
const (
	restartEvery   = 16
	maxExtentSpace = 3*binary.MaxVarintLen64 + 3*binary.MaxVarintLen32
)

func appendExtent(dst []byte, prev, e Extent) []byte {
	base := e.Base
	if e.Log == prev.Log {
		base -= prev.End()
	}
	dst = binary.AppendUvarint(dst, uint64(e.Log-prev.Log))
	dst = binary.AppendUvarint(dst, uint64(base))
	dst = binary.AppendUvarint(dst, uint64(e.Count))
	dst = binary.AppendVarint(dst, e.Pos-(prev.Pos+prev.Bytes))
	dst = binary.AppendUvarint(dst, uint64(e.Bytes))
	return binary.AppendVarint(dst, e.MaxTime-prev.MaxTime)
}

// varints reads varints from the front of p; after the first bad one every
// value is zero and p is nil.
type varints struct{ p []byte }

func (v *varints) unsigned() uint64 {
	x, n := binary.Uvarint(v.p)
	if n <= 0 {
		v.p = nil
		return 0
	}
	v.p = v.p[n:]
	return x
}

func (v *varints) signed() int64 {
	x, n := binary.Varint(v.p)
	if n <= 0 {
		v.p = nil
		return 0
	}
	v.p = v.p[n:]
	return x
}

// decodeExtent reads the extent at the front of p. n is how many bytes it
// took, or 0 if there is no valid extent.
func decodeExtent(p []byte, prev Extent) (e Extent, n int) {
	v := varints{p}
	dlog, base := v.unsigned(), v.unsigned()
	if base > math.MaxInt64 || uint64(prev.Log) > math.MaxUint64-dlog {
		return Extent{}, 0
	}
	e.Log, e.Base = prev.Log+LogID(dlog), int64(base)
	if dlog == 0 {
		if e.Base > math.MaxInt64-prev.End() {
			return Extent{}, 0
		}
		e.Base += prev.End()
	}
	count := v.unsigned()
	dpos := v.signed()
	size := v.unsigned()
	if count > MaxExtentCount || size > MaxFileBytes || dpos > MaxFileBytes || dpos < -2*MaxFileBytes {
		return Extent{}, 0
	}
	e.Count, e.Bytes = int64(count), int64(size)
	e.Pos = prev.Pos + prev.Bytes + dpos
	e.MaxTime = prev.MaxTime + v.signed()
	if v.p == nil || e.check() != nil {
		return Extent{}, 0
	}
	return e, len(p) - len(v.p)
}

// blockWriter fills one block.
type blockWriter struct {
	page     [pageBytes]byte
	off      int // where the next extent goes
	n        int
	restarts []uint16
	first    Extent
	prev     Extent
	maxTime  int64
}

func (w *blockWriter) reset() {
	*w = blockWriter{off: pageHeadBytes, restarts: w.restarts[:0], maxTime: math.MinInt64}
}

// add reports false, and does nothing, if the block is full.
func (w *blockWriter) add(e Extent) bool {
	var space [maxExtentSpace]byte
	restart := w.n%restartEvery == 0
	prev := w.prev
	table := 2 * len(w.restarts)
	if restart {
		prev = Extent{}
		table += 2
	}
	enc := appendExtent(space[:0], prev, e)
	if w.off+len(enc)+table > pageBytes {
		return false
	}
	if restart {
		w.restarts = append(w.restarts, uint16(w.off))
	}
	if w.n == 0 {
		w.first = e
	}
	w.off += copy(w.page[w.off:], enc)
	w.n++
	w.prev = e
	w.maxTime = max(w.maxTime, e.MaxTime)
	return true
}

// finish writes the table of restarts and returns the page without its head.
func (w *blockWriter) finish() []byte {
	at := pageBytes - 2*len(w.restarts)
	for i, r := range w.restarts {
		le.PutUint16(w.page[at+2*i:], r)
	}
	return w.page[:]
}

// blockReader walks the extents of one block. The zero value is no block.
type blockReader struct {
	page  []byte
	n     int // extents in the block
	table int // where the restarts begin
	i     int // number of the next extent
	off   int // its position
	prev  Extent
}

// newBlockReader reads a page whose checksum was checked; n is its number of
// extents. It reports false if the table of restarts is not what a
// blockWriter makes.
func newBlockReader(page []byte, n int) (blockReader, bool) {
	restarts := (n + restartEvery - 1) / restartEvery
	r := blockReader{page: page, n: n, table: pageBytes - 2*restarts, off: pageHeadBytes}
	if n == 0 || r.table <= pageHeadBytes {
		return blockReader{}, false
	}
	last := 0
	for i := range restarts {
		at := r.restart(i)
		if at < pageHeadBytes || at >= r.table || at <= last || (i == 0 && at != pageHeadBytes) {
			return blockReader{}, false
		}
		last = at
	}
	return r, true
}

func (r *blockReader) restart(i int) int { return int(le.Uint16(r.page[r.table+2*i:])) }

// seek goes to the last restart at or below (log, offset); what is wanted
// follows there if the block has it.
func (r *blockReader) seek(log LogID, offset int64) (ok bool) {
	ok = true
	restarts := (pageBytes - r.table) / 2
	i := sort.Search(restarts, func(i int) bool {
		e, n := decodeExtent(r.page[r.restart(i):r.table], Extent{})
		ok = ok && n > 0
		return e.Log > log || (e.Log == log && e.Base > offset)
	})
	i = max(i-1, 0)
	r.i, r.off, r.prev = i*restartEvery, r.restart(i), Extent{}
	return ok
}

// next returns the next extent. more is false at the end of the block, ok is
// false if the block is damaged.
func (r *blockReader) next() (e Extent, more, ok bool) {
	if r.i == r.n {
		return Extent{}, false, true
	}
	if r.i%restartEvery == 0 {
		if r.restart(r.i/restartEvery) != r.off {
			return Extent{}, false, false
		}
		r.prev = Extent{}
	}
	e, n := decodeExtent(r.page[r.off:r.table], r.prev)
	if n == 0 {
		return Extent{}, false, false
	}
	r.i++
	r.off += n
	r.prev = e
	return e, true, true
}
