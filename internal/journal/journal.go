// Package journal turns entries into slots and slots back into entries: group
// commit, recovery, checkpoints. It knows what a slot's head looks like and
// which log its data belongs to; what an entry means is the Machine's
// business.
//
// DESIGN.md in this folder tells why it is built this way.
package journal

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

// Waiter is told when everything that was decided before it is durable and
// published. Durable is called exactly once, from a goroutine of the journal,
// and must not block. err is not nil when the journal failed or was closed:
// then nobody knows whether the change survives.
type Waiter interface{ Durable(err error) }

// Point is a place between two slots in what was added: a slot and all before
// it. Points are of one Journal and grow.
type Point uint64

// Data is a run of bytes that belongs to a log.
type Data struct {
	Log     datafile.LogID
	Base    int64  // first offset
	Count   int64  // offsets covered
	MaxTime int64  // largest timestamp, ms
	Bytes   []byte // must stay unchanged until the slot is published
}

// Committed is a slot that has become durable.
type Committed struct {
	Slot    engine.Slot
	Extents []datafile.Extent // where the slot's data is now, by log and offset
	Notes   []any             // what Add was given, in order
	Time    int64             // ms; of the slot's last entry
}

// What an entry and an extent take in a head beside their bytes, at most.
const (
	entryOverhead  = 32
	extentOverhead = 48
)

// SlotMargin is how much smaller than Traits.SlotBytesMax the data of one Add
// must be, to leave room for the head.
const SlotMargin = 4096

// ErrClosed is what waiters get that come after Close.
var ErrClosed = errors.New("journal closed")

// Journal is the writing side of a shard's log. Add and Attach have one
// caller, the sequencer.
type Journal struct {
	shard   engine.Shard
	traits  engine.Traits
	publish func(Committed)
	inline  bool

	mu       sync.Mutex
	room     sync.Cond // the open slot has room again, or the journal failed
	work     sync.Cond // there is something to write, or to stop for
	todo     sync.Cond // there is something to publish, or to stop for
	open     *slot
	inflight []*slot // closed and not yet published, oldest first
	idle     bool    // the publisher has nothing in hand
	closed   bool
	err      error
	spare    []*slot
	failed   chan struct{} // closed with err
	done     sync.WaitGroup

	durable atomic.Uint64 // number of the last durable slot
	bytes   atomic.Int64  // head bytes written, for the checkpointer
	stats   Stats
	headBuf []byte
}

// Stats counts what the journal has written.
type Stats struct {
	Slots   atomic.Uint64
	Entries atomic.Uint64
	Bytes   atomic.Uint64 // head and data
	// Syncs is how long the engine took to make a slot durable.
	Syncs Latency
}

// slot is the slot that is being filled, or in flight.
type slot struct {
	point      Point
	base, last int64 // ms
	count      int
	entries    []byte
	data       []Data
	bytes      int64
	notes      []any
	waiters    []Waiter
	ticket     engine.Ticket
	handed     time.Time // to the engine
	published  bool      // durable and in the view; its waiters are being told
	exts       []datafile.Extent
	pieces     [][]byte
}

func (s *slot) empty() bool { return s.count == 0 }

func newJournal(shard engine.Shard, traits engine.Traits, last engine.SlotNo, inline bool) *Journal {
	j := &Journal{shard: shard, traits: traits, inline: inline, open: &slot{point: 1}, idle: true, failed: make(chan struct{})}
	j.room.L, j.work.L, j.todo.L = &j.mu, &j.mu, &j.mu
	j.durable.Store(uint64(last))
	return j
}

// Start begins writing. publish is called for each slot, in order, before the
// slot's waiters; it must not call back into Add. With Options.Inline there
// are no goroutines, and Flush does the work.
func (j *Journal) Start(publish func(Committed)) {
	j.publish = publish
	if j.inline {
		return
	}
	j.done.Add(2)
	go j.writer()
	go j.publisher()
}

// Stats are running totals.
func (j *Journal) Stats() *Stats { return &j.stats }

// Last is the number of the last durable slot.
func (j *Journal) Last() engine.SlotNo { return engine.SlotNo(j.durable.Load()) }

// Failed is closed when a write or sync has failed: nothing more will become
// durable.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err is the failure that stopped the journal, or nil.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Add puts an entry, and all the data that belongs to it, into the open slot:
// they survive together or not at all. It copies e.Body and data, and keeps
// what data's Bytes point to. note is handed to publish with the slot. It
// waits while the open slot is full. The slot is what it returns.
func (j *Journal) Add(e Entry, note any, data ...Data) Point {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := int64(len(e.Body)) + entryOverhead
	for i := range data {
		size += int64(len(data[i].Bytes)) + extentOverhead
	}
	for (j.open.bytes >= j.traits.SlotBytesSoft || !j.open.empty() && j.open.bytes+size > j.traits.SlotBytesMax) &&
		j.err == nil && !j.closed {
		if j.inline {
			j.flushLocked()
			continue
		}
		j.room.Wait()
	}
	s := j.open
	if s.empty() {
		s.base = e.Time
	}
	s.last = e.Time
	s.entries = appendEntry(s.entries, s.base, e)
	s.count++
	s.bytes += size
	s.data = append(s.data, data...)
	if note != nil {
		s.notes = append(s.notes, note)
	}
	if s.count == 1 && !j.inline {
		j.work.Signal()
	}
	return s.point
}

// Point returns the point that everything added so far lies before.
func (j *Journal) Point() Point {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open.empty() {
		return j.open.point - 1
	}
	return j.open.point
}

// Told returns a point up to which everything is durable and published, and all
// that waited for it was told.
func (j *Journal) Told() Point {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.told()
}

// told is Told. j.mu is held.
func (j *Journal) told() Point {
	if len(j.inflight) > 0 {
		return j.inflight[0].point - 1
	}
	return j.open.point - 1
}

// Attach has w told when everything added so far is durable: at once when it
// already is.
func (j *Journal) Attach(w Waiter) { j.AttachAt(math.MaxUint64, w) }

// AttachAt has w told when everything up to p is durable: at once when it
// already is. Those that wait for the same or for earlier points are told before
// it, in the order in which they were attached.
func (j *Journal) AttachAt(p Point, w Waiter) {
	j.mu.Lock()
	if mutant.On(mutant.ReplyBeforeDurable) {
		j.mu.Unlock()
		w.Durable(nil)
		return
	}
	err := j.err
	if err == nil && j.closed {
		err = ErrClosed
	}
	if s := j.upTo(p); s != nil && err == nil {
		s.waiters = append(s.waiters, w)
		j.mu.Unlock()
		return
	}
	j.mu.Unlock()
	w.Durable(err)
}

// upTo is the last slot up to p that holds anything and of which not all waiters
// have been told, nil if there is none. j.mu is held.
func (j *Journal) upTo(p Point) *slot {
	if p >= j.open.point && !j.open.empty() {
		return j.open
	}
	for i := len(j.inflight) - 1; i >= 0; i-- {
		if s := j.inflight[i]; s.point <= p {
			return s
		}
	}
	return nil
}

// Flush writes and publishes everything added so far. Only with
// Options.Inline.
func (j *Journal) Flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flushLocked()
	return j.err
}

func (j *Journal) flushLocked() {
	if j.open.empty() || j.err != nil {
		return
	}
	s := j.take()
	j.unlocked(func() {
		j.write(s)
		j.finish(s)
	})
}

// unlocked calls fn without j.mu, which is held before and after, also when fn
// panics: the panic is what is to be seen.
func (j *Journal) unlocked(fn func()) {
	j.mu.Unlock()
	defer j.mu.Lock()
	fn()
}

// take closes the open slot. j.mu is held.
func (j *Journal) take() *slot {
	s := j.open
	if n := len(j.spare); n > 0 {
		j.open, j.spare = j.spare[n-1], j.spare[:n-1]
	} else {
		j.open = &slot{}
	}
	j.open.point = s.point + 1
	j.inflight = append(j.inflight, s)
	j.room.Broadcast()
	return s
}

// writer is the goroutine that appends slots. Close stops it.
func (j *Journal) writer() {
	defer j.done.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for (j.open.empty() || j.unpublished() > j.traits.Pipeline) && !j.closed && j.err == nil {
			j.work.Wait()
		}
		if j.err != nil || j.open.empty() {
			j.todo.Signal()
			return
		}
		s := j.take()
		j.mu.Unlock()
		j.write(s)
		j.mu.Lock()
		if j.idle && len(j.inflight) == 1 && j.open.empty() {
			// Nothing to write meanwhile: save a wake-up.
			j.idle = false
			j.mu.Unlock()
			j.finish(s)
			j.mu.Lock()
			j.idle = true
			continue
		}
		j.todo.Signal()
	}
}

// publisher is the goroutine that makes durable slots visible. It ends after
// the writer.
func (j *Journal) publisher() {
	defer j.done.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		for !j.idle || len(j.inflight) == 0 || j.inflight[0].ticket == nil {
			if (j.closed && j.open.empty() && len(j.inflight) == 0) || (j.err != nil && len(j.inflight) == 0) {
				return
			}
			j.todo.Wait()
		}
		s := j.inflight[0]
		j.idle = false
		j.mu.Unlock()
		j.finish(s)
		j.mu.Lock()
		j.idle = true
		j.work.Signal()
	}
}

// write appends s to the engine.
func (j *Journal) write(s *slot) {
	slices.SortStableFunc(s.data, func(a, b Data) int { return cmp.Compare(a.Log, b.Log) })
	s.exts, s.pieces = s.exts[:0], s.pieces[:0]
	for _, d := range s.data {
		s.pieces = append(s.pieces, d.Bytes)
		if n := len(s.exts); n > 0 && s.exts[n-1].Log == d.Log && s.exts[n-1].Base+s.exts[n-1].Count == d.Base {
			last := &s.exts[n-1]
			last.Count += d.Count
			last.Bytes += int64(len(d.Bytes))
			last.MaxTime = max(last.MaxTime, d.MaxTime)
			continue
		}
		s.exts = append(s.exts, datafile.Extent{
			Log: d.Log, Base: d.Base, Count: d.Count, Bytes: int64(len(d.Bytes)), MaxTime: d.MaxTime,
		})
	}
	j.headBuf = appendHead(j.headBuf[:0], s.base, j.shard.Epoch(), s.count, s.entries, s.exts)
	if mutant.On(mutant.ViewBeforeDurable) {
		j.publish(Committed{Extents: s.exts, Notes: s.notes, Time: s.last})
	}
	s.handed = time.Now()
	t := j.shard.Append(j.headBuf, s.pieces, true)
	var err error
	if j.traits.Pipeline > 1 {
		j.headBuf = nil // the engine may still be reading it
	} else if _, err = t.Wait(); err == nil { // no slot may follow one that failed
		j.stats.Syncs.observe(time.Since(s.handed))
	}
	j.mu.Lock()
	s.ticket = t
	j.fail(err)
	j.mu.Unlock()
}

// fail stops the journal, if err is its first error. j.mu is held.
func (j *Journal) fail(err error) {
	if err == nil || j.err != nil {
		return
	}
	j.err = err
	close(j.failed)
	j.room.Broadcast()
	j.work.Broadcast()
	j.todo.Broadcast()
}

// finish waits for s, publishes it and tells its waiters.
func (j *Journal) finish(s *slot) {
	at, err := s.ticket.Wait()
	if err == nil && j.traits.Pipeline > 1 { // else write has done so
		j.stats.Syncs.observe(time.Since(s.handed))
	}
	if err == nil {
		err = j.Err() // a slot before it failed
	}
	if err == nil {
		pos := at.DataOff
		for i := range s.exts {
			s.exts[i].Pos = pos
			pos += s.exts[i].Bytes
		}
		j.durable.Store(uint64(at.No))
		j.stats.Slots.Add(1)
		j.stats.Entries.Add(uint64(s.count))
		j.stats.Bytes.Add(uint64(s.bytes))
		j.bytes.Add(s.bytes)
		j.publish(Committed{Slot: at, Extents: s.exts, Notes: s.notes, Time: s.last})
	}
	j.tell(s, err)
	j.recycle(s)
}

// tell tells the waiters of s, and those that come meanwhile. Only then is s no
// longer in flight, so all waiters of a journal are told in the order in which
// they were attached.
func (j *Journal) tell(s *slot, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail(err)
	s.published = err == nil
	j.work.Signal()
	var told []Waiter
	for len(s.waiters) > 0 {
		told, s.waiters = s.waiters, told[:0]
		j.unlocked(func() {
			for _, w := range told {
				w.Durable(err)
			}
			clear(told)
		})
	}
	s.waiters = told
	j.inflight = append(j.inflight[:0], j.inflight[1:]...)
	if err != nil {
		waiters := j.open.waiters
		j.open = &slot{point: j.open.point + 1}
		j.unlocked(func() {
			for _, w := range waiters {
				w.Durable(err)
			}
		})
	}
}

// recycle keeps s for a later slot, without what it holds on to.
func (j *Journal) recycle(s *slot) {
	if cap(s.entries) > 1<<20 || cap(s.data) > 1<<16 {
		return
	}
	clear(s.data)
	clear(s.notes)
	clear(s.pieces)
	*s = slot{entries: s.entries[:0], data: s.data[:0], notes: s.notes[:0],
		waiters: s.waiters[:0], pieces: s.pieces[:0], exts: s.exts[:0]}
	j.mu.Lock()
	if len(j.spare) < 4 {
		j.spare = append(j.spare, s)
	}
	j.mu.Unlock()
}

// Close writes what was added, tells all waiters, and stops. It does not
// release the engine's shard.
func (j *Journal) Close() error {
	if j.inline {
		err := j.Flush()
		j.mu.Lock()
		j.closed = true
		j.mu.Unlock()
		return err
	}
	j.mu.Lock()
	j.closed = true
	j.room.Broadcast()
	j.work.Broadcast()
	j.todo.Broadcast()
	j.mu.Unlock()
	j.done.Wait()
	return j.Err()
}

// unpublished counts the slots in flight that are not in the view yet. j.mu is
// held.
func (j *Journal) unpublished() (n int) {
	for _, s := range j.inflight {
		if !s.published {
			n++
		}
	}
	return n
}

// Pending is about how many bytes were added and not written yet.
func (j *Journal) Pending() (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.inflight {
		n += s.bytes
	}
	return n + j.open.bytes
}

// Busy says whether slots are being written now.
func (j *Journal) Busy() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.inflight) > 0 || !j.open.empty()
}

// Next is the number that the last slot will have once everything that was
// added is written.
func (j *Journal) Next() engine.SlotNo {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := engine.SlotNo(j.durable.Load()) + engine.SlotNo(j.unpublished())
	if !j.open.empty() {
		n++
	}
	return n
}
