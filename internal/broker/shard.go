package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
)

// shard is one totally ordered log: its sequencer's state, its journal, and
// the view's side of it.
type shard struct {
	id     engine.ShardID
	b      *Broker
	eng    engine.Shard
	traits engine.Traits
	j      *journal.Journal
	cps    *journal.Checkpoints
	index  *datafile.Index
	inbox  *inbox

	// Owned by the sequencer.
	d       *durable
	now     int64     // ms; never goes back
	read    time.Time // what the clock said last
	groups  *group.Machine
	prekeys *prekey.Machine
	replies map[group.Token]func(group.Body, error) // of commands that are not answered yet
	scratch []byte
	token   atomic.Uint64 // the last one given
	certain struct {      // see roomToStore; the sequencer's
		asks  int
		bytes int64
	}
	full atomic.Bool // the last append was refused for want of space

	producersMax int

	refused   atomic.Int64 // bytes of the last message that the full disk had no room for
	leftovers atomic.Bool  // clear has something left to do
	q         queues

	// Owned by the publisher.
	parts    map[datafile.LogID]*Partition
	held     map[TopicID][]*Partition // the same, by topic
	openFile engine.FileID
	routes   *route.Table // the view of exchanges

	settledMu sync.Mutex
	settled   map[datafile.LogID]*queue.SettledSet // what of queues' logs is dead

	mover    *mover
	puller   *puller
	maintain maintenance

	// With Config.Inline only: see Broker.Recovered.
	recoveredSlot  engine.SlotNo
	recoveredState []byte
	stopped        sync.WaitGroup
}

// entry is a fact that knows its own encoding.
type entry interface{ Append(dst []byte) []byte }

// log makes a fact part of the state and of the open slot. What Apply gets is
// the decoded encoding, as in recovery. note goes to the publisher; it must
// not change any more.
func (s *shard) log(typ uint16, x entry, d *journal.Data, note any) {
	s.scratch = x.Append(s.scratch[:0])
	e := journal.Entry{Type: typ, Version: entryVersion, Time: s.now, Epoch: s.eng.Epoch(), Body: s.scratch}
	if err := s.d.Apply(e); err != nil {
		panic(fmt.Sprintf("a decided entry does not apply: %v", err))
	}
	if d == nil {
		s.j.Add(e, note)
		return
	}
	s.j.Add(e, note, *d)
}

// need says how much a command may take of the reserve of a full disk.
type need uint8

const (
	toStore  need = iota // records: nothing of it
	toCommit             // offsets, groups, topics, producer ids: half of it
	toFree               // deletions and retention: nearly all, since they make room
	toRead               // nothing is logged
)

// room returns an error when the disk is too full for a command that stores
// about size bytes.
func (s *shard) room(n need, size int64) error {
	if n == toRead {
		return nil
	}
	keep := s.traits.ReserveBytes
	switch n {
	case toCommit:
		keep /= 2
	case toFree:
		keep /= 16
	}
	fits := func() bool {
		pending := s.j.Pending() // first: a slot that is written meanwhile counts twice, not never
		return s.eng.Room()-pending-size > keep
	}
	if fits() {
		return nil
	}
	// What is written goes on meanwhile, up to the end of what is there.
	if s.eng.Await(); !s.eng.Scarce() || fits() {
		return nil
	}
	return errf(StorageFull, "the disk is full")
}

// roomToStore is room(toStore, size) on the sequencer, which asks for each of
// very many small batches. What is certain to be there is looked up for some of
// them at once.
func (s *shard) roomToStore(size int64) error {
	cost := size + roomOverhead
	if s.certain.asks > 0 && cost <= s.certain.bytes {
		s.certain.asks--
		s.certain.bytes -= cost
		return nil
	}
	if err := s.room(toStore, size); err != nil {
		return err
	}
	pending := s.j.Pending()
	s.certain.asks, s.certain.bytes = roomAsks, s.eng.Room()-pending-s.traits.ReserveBytes-cost
	return nil
}

const (
	roomAsks     = 16      // how many may go by one look at what room there is
	roomOverhead = 8 << 10 // what one of them takes beside its records, at most: the end of a page, heads
)

// tick moves the shard's time on; it never goes back.
func (s *shard) tick() int64 {
	read := s.b.cfg.Now()
	if !s.read.IsZero() {
		// While the wall clock is behind, what has passed still counts.
		// Sub is by the monotonic clock where there is one.
		if passed := read.Sub(s.read); passed >= time.Millisecond {
			s.now += passed.Milliseconds()
			s.read = s.read.Add(passed.Truncate(time.Millisecond))
		} else if passed < 0 {
			s.read = read
		}
	} else {
		s.read = read
	}
	s.now = max(s.now, s.d.now, read.UnixMilli())
	return s.now
}

// sequence is the sequencer: the one goroutine that decides. shutdown stops
// it.
func (s *shard) sequence() {
	defer s.stopped.Done()
	var batch [2][]command
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		closed := s.inbox.take(&batch)
		if len(batch[control])+len(batch[data]) == 0 {
			if closed {
				return
			}
			s.sleep(timer)
			continue
		}
		began := time.Now()
		s.decideAll(&batch)
		s.stood(time.Since(began))
		s.fireTimers()
	}
}

// decideAll decides what was taken from the inbox, control before data.
func (s *shard) decideAll(batch *[2][]command) {
	for l := range batch {
		for i, c := range batch[l] {
			c.decide(s, s.tick())
			batch[l][i] = nil
		}
		batch[l] = batch[l][:0]
	}
}

// sleep waits for a command or for the next timer. A sleep that took much
// longer than asked for means that the process or the machine stood still.
func (s *shard) sleep(timer *time.Timer) {
	wait := s.untilTimers()
	timer.Reset(wait)
	began := time.Now()
	select {
	case <-s.inbox.wake:
	case <-timer.C:
	}
	s.stood(time.Since(began) - wait)
	s.fireTimers()
}

// stood is told how long the shard did not listen: that time counts against
// no session.
func (s *shard) stood(d time.Duration) {
	if d > stoodStill {
		s.groups.Resume(d)
		s.q.machine.Resume(d)
	}
}

// stoodStill is the lateness above which time is not counted against
// sessions.
const stoodStill = 2 * time.Second

// published takes a durable slot into the view. It runs on the journal's
// publisher.
func (s *shard) published(c journal.Committed) {
	if c.Slot.File != s.openFile {
		if s.openFile != 0 {
			s.seal(s.openFile)
		}
		s.openFile = c.Slot.File
	}
	if err := s.index.Add(c.Slot.File, c.Extents); err != nil {
		panic(fmt.Sprintf("a durable slot does not fit the index: %v", err))
	}
	for _, note := range c.Notes {
		s.show(note)
	}
	epoch := uint32(s.eng.Epoch())
	for _, e := range c.Extents {
		if p := s.parts[e.Log]; p != nil {
			p.bytesIn.Add(uint64(e.Bytes))
			p.advance(e.Base, e.Base+e.Count, epoch)
		}
	}
}

// seal says that a journal file is complete: its .idx can be built.
func (s *shard) seal(id engine.FileID) {
	s.index.Seal(id)
	s.maintain.kick()
}

// show takes a fact into the view.
func (s *shard) show(note any) {
	switch e := note.(type) {
	case *topic.Opened:
		for i, index := range e.Partitions {
			s.showPartition(TopicID(e.Topic), index, e.First+datafile.LogID(i), nil)
		}
	case *topic.Dropped:
		s.hidePartitions(TopicID(e.Topic), 0)
	case *topic.Closed:
		s.hidePartitions(TopicID(e.Topic), e.From)
	case *topic.Started:
		s.index.SetStart(e.Log, e.Start)
		if p := s.parts[e.Log]; p != nil {
			p.begin(e.Start)
		}
	case *topic.Created:
		s.b.flat.add(e.Name)
		s.b.showTopic(TopicID(e.ID), e.Name, e.Settings, len(e.Shards))
	case *topic.Deleted:
		if t, ok := s.b.TopicByID(TopicID(e.ID)); ok {
			s.b.flat.remove(t.Name)
		}
		s.b.hideTopic(TopicID(e.ID))
	case *topic.Grown:
		s.b.growTopic(TopicID(e.ID), len(e.Shards))
	case *topic.Configured:
		s.b.reconfigure(TopicID(e.ID), e.Settings)
	case routeEntries:
		s.showRoutes(e)
	case accessEntries:
		if err := s.b.access.Apply(e...); err != nil {
			panic(fmt.Sprintf("a durable entry does not fit the users: %v", err))
		}
	case *queueNote:
		s.showQueues(e)
	}
}

// showPartition puts an opened partition into the view; l is its state after
// recovery, nil for a new one.
func (s *shard) showPartition(t TopicID, index int32, log datafile.LogID, l *topic.Log) {
	p := &Partition{topic: t, index: index, shard: s, log: log}
	if l != nil {
		p.start.Store(l.Start)
		p.next.Store(l.Next)
		p.found = l.Next
		p.epochs = append(p.epochs, l.Epochs...)
	}
	s.parts[log] = p
	s.held[t] = append(s.held[t], p)
	v := s.b.view
	v.mu.Lock()
	v.parts[partitionKey{t, index}] = p
	v.mu.Unlock()
}

// hidePartitions forgets this shard's logs of a topic's partitions from index
// from on.
func (s *shard) hidePartitions(t TopicID, from int32) {
	var kept, gone []*Partition
	for _, p := range s.held[t] {
		if p.index < from {
			kept = append(kept, p)
		} else {
			gone = append(gone, p)
		}
	}
	if s.held[t] = kept; len(kept) == 0 {
		delete(s.held, t)
	}
	v := s.b.view
	v.mu.Lock()
	for _, p := range gone {
		delete(v.parts, partitionKey{t, p.index})
	}
	v.mu.Unlock()
	for _, p := range gone {
		p.deleted.Store(true)
		delete(s.parts, p.log)
		s.index.Drop(p.log)
		p.watch.wake()
	}
	s.maintain.kick()
}

// call has decide run on the shard's sequencer and waits until what it
// decided is durable. The closure decides and logs; it must not block.
func call[T any](ctx context.Context, s *shard, decide func(now int64) (T, error)) (T, error) {
	c := &callCommand[T]{do: decide, done: make(chan struct{})}
	if !s.inbox.put(ctx, control, c, 0) {
		return c.value, errf(Stopping, "the broker is shutting down")
	}
	if s.b.cfg.Inline {
		s.decideInline()
		s.j.Flush()
	}
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

type callCommand[T any] struct {
	do    func(now int64) (T, error)
	value T
	err   error
	done  chan struct{}
}

func (c *callCommand[T]) decide(s *shard, now int64) {
	c.value, c.err = c.do(now)
	s.j.Attach(c)
}

func (c *callCommand[T]) refuse(err error) {
	c.err = err
	close(c.done)
}

// Durable implements journal.Waiter.
func (c *callCommand[T]) Durable(err error) {
	if err != nil {
		c.err = errf(Failed, "the log failed: %v", err)
	}
	close(c.done)
}
