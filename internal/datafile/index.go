package datafile

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Config is what an Index is built from.
type Config struct {
	Shard   engine.ShardID
	Journal engine.Shard // for its ReadAt
	Blobs   engine.BlobStore

	// Verify checks that data is what the extent says: whole, undamaged
	// record batches with these offsets. Rewrite calls it for every extent
	// that it copies, and cannot do without. It must not keep data.
	Verify func(e Extent, data []byte) error
	// Live reports whether any offset in [from, to) of log is live, from what
	// is durable: what is dead once stays dead, as is what lies below the start
	// of the log and what was never used. An offset must count as live before
	// Add is called with it. Of a log that was deleted nothing is live. Load,
	// DeadFiles, Candidates, Rewrite and Gap call it, on their caller's
	// goroutine and without locks of the Index. Nil means that all offsets from
	// the log's start on are live.
	Live func(log LogID, from, to int64) bool
	// Split returns the first record batch of data as an extent: Base, Count,
	// Bytes and MaxTime. data has passed Verify and is what e says, the batches
	// of an extent or the last ones of it. Rewrite uses it to leave the dead
	// batches of an extent out where only a part is live; nil has it copy such
	// an extent whole. What it cuts off has to pass Verify. It must not keep
	// data.
	Split func(e Extent, data []byte) (Extent, error)
	// Wait is called before Rewrite reads or writes n bytes, n at most
	// about 1 MiB, and returns once it may. Nil never waits.
	Wait func(ctx context.Context, n int) error

	MergeBytes        int64 // largest extent that Add makes of several; 0 means 64 KiB
	RewriteMergeBytes int64 // the same for Rewrite; 0 means 1 MiB
	WindowBytes       int64 // memory for what Rewrite reads at once, or one extent if that is larger; 0 means 8 MiB
	CacheBytes        int64 // memory for pages of .idx blobs; 0 means 16 MiB
	OpenMax           int   // blobs kept open for reading; 0 means 128
}

func (c *Config) withDefaults() {
	for _, d := range []struct {
		v    *int64
		init int64
	}{{&c.MergeBytes, 64 << 10}, {&c.RewriteMergeBytes, 1 << 20}, {&c.WindowBytes, 8 << 20}, {&c.CacheBytes, 16 << 20}} {
		if *d.v == 0 {
			*d.v = d.init
		}
	}
	if c.OpenMax == 0 {
		c.OpenMax = 128
	}
}

// Index says where the bytes of each log of one shard lie. All methods may be
// called from any goroutine, except that Add has one caller at a time.
type Index struct {
	cfg   Config
	store *store

	mu      sync.RWMutex // no I/O is done while it is held
	logs    map[LogID]*logSpans
	files   map[engine.FileID]*file
	slots   []*file // what span.file counts; nil where free
	order   []*file // in log order: for every log, offsets grow along it
	pending map[engine.FileID]*rewritten

	suspects []suspect // spans that may have died; see reap

	epoch  *epoch   // current
	epochs []*epoch // earlier ones that may still have iterators
}

// logSpans is what RAM keeps of a log. Readers keep the slice while the lock
// is not held: append to it, or put another in its place.
type logSpans struct {
	start  int64 // all below are dead
	spans  []span
	shares []share // of each span; nil until something above the start has died
}

// span is what a file has of a log.
type span struct {
	first   int64 // offset
	maxTime int64 // ms
	count   uint32
	bytes   uint32
	file    uint32 // in Index.slots
	at      uint32 // inMem|number in file.mem, or the block of the .idx where it begins
}

const inMem = 1 << 31

func (s *span) next() int64 { return s.first + int64(s.count) }

// live is how many bytes of the span are live when the log starts at start:
// exact for a span that is wholly live or dead, and in proportion to its
// offsets for the one that the start falls into.
func (s *span) live(start int64) int64 {
	switch {
	case start <= s.first:
		return int64(s.bytes)
	case start >= s.next():
		return 0
	}
	left := uint64(s.next() - start)
	return int64((uint64(s.bytes)*left + uint64(s.count) - 1) / uint64(s.count))
}

// file is one journal or rewritten file.
type file struct {
	id      engine.FileID
	slot    uint32
	mem     []memSpan // until the .idx is there
	idx     *idx      // from then on
	total   int64     // bytes of all its extents
	live    int64     // the sum of logSpans.live
	spans   int       // spans that refer to it
	sealed  bool
	hollow  bool   // has spans that Seal must look at: they died while it was written to
	busy    bool   // an .idx is being built, or a Rewrite reads it
	spoilt  bool   // a read found its .idx damaged
	retired uint64 // number of the epoch in which Remove was first called
	pins    atomic.Int32
}

// memSpan holds the extents of one span in RAM.
type memSpan struct {
	log   LogID
	first int64
	exts  []memExtent
}

// memExtent is an extent in 24 bytes.
type memExtent struct {
	maxTime int64
	rel     uint32 // base - memSpan.first
	count   uint32
	pos     uint32
	bytes   uint32
}

func (m *memSpan) extent(i int) Extent {
	x := m.exts[i]
	return Extent{
		Log: m.log, Base: m.first + int64(x.rel), Count: int64(x.count),
		Pos: int64(x.pos), Bytes: int64(x.bytes), MaxTime: x.maxTime,
	}
}

func (m *memSpan) end(i int) int64 { return m.first + int64(m.exts[i].rel) + int64(m.exts[i].count) }

// add appends e, as part of the extent before it if that lies directly before
// it and both together are not larger than merge.
func (m *memSpan) add(e Extent, merge int64) {
	if n := len(m.exts); n > 0 {
		x := &m.exts[n-1]
		if m.end(n-1) == e.Base && int64(x.pos)+int64(x.bytes) == e.Pos &&
			int64(x.bytes)+e.Bytes <= merge && int64(x.count)+e.Count <= MaxExtentCount {
			x.count += uint32(e.Count)
			x.bytes += uint32(e.Bytes)
			x.maxTime = max(x.maxTime, e.MaxTime)
			return
		}
	}
	m.exts = appendTight(m.exts, memExtent{
		maxTime: e.MaxTime, rel: uint32(e.Base - m.first), count: uint32(e.Count),
		pos: uint32(e.Pos), bytes: uint32(e.Bytes),
	})
}

// appendTight is append for the many small slices of an index: it leaves an
// eighth of the space free at most, not half.
func appendTight[T any](s []T, v T) []T {
	if len(s) == cap(s) {
		t := make([]T, len(s), len(s)+len(s)/8+1)
		copy(t, s)
		s = t
	}
	return append(s, v)
}

// New makes an empty Index.
func New(cfg Config) *Index {
	cfg.withDefaults()
	return &Index{
		cfg:     cfg,
		store:   newStore(cfg.Blobs, cfg.CacheBytes, cfg.OpenMax),
		logs:    make(map[LogID]*logSpans),
		files:   make(map[engine.FileID]*file),
		pending: make(map[engine.FileID]*rewritten),
		epoch:   &epoch{n: 1},
	}
}

// Close closes the blobs that are open for reading. No method may be called
// after it.
func (x *Index) Close() { x.store.close() }

// Add takes the extents of the next durable slot, which lie in file. Each log's
// extents come in the order of their offsets, above all earlier ones. An
// extent that begins where the last one of its log ends, in bytes and in
// offsets, is merged with it. On an error the extents before the bad one have
// been added. Add keeps no reference to extents.
//
// When a shard is opened, extents in which nothing is live are left out. They
// may be out of order: a rewrite passes over a dead file, and a crash may keep
// it from being removed.
func (x *Index) Add(id engine.FileID, extents []Extent) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.files[id]
	if f == nil {
		f = x.newFile(id, len(x.order))
	}
	if f.sealed {
		return fmt.Errorf("datafile: %s is sealed", fileName(x.cfg.Shard, id))
	}
	for i := range extents {
		if err := x.add(f, extents[i]); err != nil {
			return fmt.Errorf("datafile: %s: %w", fileName(x.cfg.Shard, id), err)
		}
	}
	return nil
}

func (x *Index) add(f *file, e Extent) error {
	if err := e.check(); err != nil {
		return err
	}
	l := x.log(e.Log)
	var s *span
	if n := len(l.spans); n > 0 {
		last := &l.spans[n-1]
		if e.Base < last.next() {
			return fmt.Errorf("log %d: offset %d comes after offset %d", e.Log, e.Base, last.next()-1)
		}
		if last.file == f.slot && fits(last.first, last.bytes, e) {
			s = last
			f.live -= l.live(n - 1)
		}
	}
	if s == nil {
		s = l.push(span{first: e.Base, maxTime: math.MinInt64, file: f.slot, at: inMem | uint32(len(f.mem))}, share{})
		f.mem = append(f.mem, memSpan{log: e.Log, first: e.Base})
		f.spans++
	}
	merge := x.cfg.MergeBytes
	if s.next() <= l.start {
		merge = 0 // so that an extent begins where the log does
	}
	f.mem[s.at&^inMem].add(e, merge)
	s.count = uint32(e.End() - s.first)
	s.bytes += uint32(e.Bytes)
	s.maxTime = max(s.maxTime, e.MaxTime)
	if l.shares != nil {
		h := &l.shares[len(l.shares)-1]
		h.live += uint32(max(0, e.End()-max(e.Base, l.start)))
		h.of += uint32(e.Count)
	}
	f.live += l.live(len(l.spans) - 1)
	f.total += e.Bytes
	return nil
}

// push appends a span and returns where it is.
func (l *logSpans) push(s span, h share) *span {
	l.spans = appendTight(l.spans, s)
	if l.shares != nil {
		l.shares = appendTight(l.shares, h)
	}
	return &l.spans[len(l.spans)-1]
}

// log returns the spans of a log, which it makes if there are none.
func (x *Index) log(id LogID) *logSpans {
	l := x.logs[id]
	if l == nil {
		l = &logSpans{}
		x.logs[id] = l
	}
	return l
}

// newFile registers a file as number at in log order.
func (x *Index) newFile(id engine.FileID, at int) *file {
	f := &file{id: id}
	x.files[id] = f
	x.order = append(x.order, nil)
	copy(x.order[at+1:], x.order[at:])
	x.order[at] = f
	for i, s := range x.slots {
		if s == nil {
			x.slots[i], f.slot = f, uint32(i)
			return f
		}
	}
	f.slot = uint32(len(x.slots))
	x.slots = append(x.slots, f)
	return f
}

// Seal says that file is closed: nothing will be added to it, and BuildIdx may
// write its .idx. A journal file is closed once a slot in a later one is
// durable; before that, recovery may still move its last slot. A file without
// extents may be sealed too.
func (x *Index) Seal(id engine.FileID) {
	x.mu.Lock()
	f := x.files[id]
	if f == nil {
		f = x.newFile(id, len(x.order))
	}
	f.sealed = true
	var mem []memSpan
	if f.hollow {
		f.hollow, mem = false, f.mem
	}
	x.mu.Unlock()
	for part := range slices.Chunk(mem, chunkLogs) {
		x.mu.Lock()
		for i := range part {
			x.sealSpan(&part[i])
		}
		x.mu.Unlock()
	}
}

// sealSpan looks at a span of a file that has just been sealed.
func (x *Index) sealSpan(m *memSpan) {
	l := x.logs[m.log]
	if l == nil {
		return
	}
	x.passStart(l)
	i := l.above(m.first)
	if l.shares != nil && i < len(l.spans) && l.spans[i].first == m.first && l.shares[i].killed {
		x.suspects = append(x.suspects, suspect{m.log, m.first})
	}
}
