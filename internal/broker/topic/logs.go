// Package topic holds the pure state of topics: the logs of a shard with
// their producers (Logs), and the catalogue of topics of the cluster
// (Catalog, in shard 0).
//
// Both change only through Apply methods, which refuse nothing that was decided
// upon this state. The Decide methods say what Apply would be right to do now.
package topic

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// EpochStart says where a leader epoch's first batch went.
type EpochStart struct {
	Epoch uint32
	Start int64
}

// Log is one partition's durable state.
type Log struct {
	ID        datafile.LogID
	Topic     ID
	Partition int32
	Start     int64 // first offset that can be read
	Next      int64 // offset of the next record
	Epochs    []EpochStart
	producers map[int64]*producer
}

// Logs are the logs of a shard.
type Logs struct {
	byID    map[datafile.LogID]*Log
	byTopic map[ID]map[int32]datafile.LogID
	next    datafile.LogID // the next id to give; ids are never used twice
	aging   aging
}

// NewLogs returns the state of an empty shard.
func NewLogs() *Logs {
	return &Logs{byID: map[datafile.LogID]*Log{}, byTopic: map[ID]map[int32]datafile.LogID{}, next: 1}
}

// Get returns a log, nil if there is none.
func (s *Logs) Get(id datafile.LogID) *Log { return s.byID[id] }

// Find returns the log id of a partition, 0 if the shard does not hold it.
func (s *Logs) Find(t ID, partition int32) datafile.LogID { return s.byTopic[t][partition] }

// HasFrom says whether the shard holds one of the topic's partitions from
// index from on.
func (s *Logs) HasFrom(t ID, from int32) bool {
	if from == 0 {
		return len(s.byTopic[t]) > 0
	}
	for p := range s.byTopic[t] {
		if p >= from {
			return true
		}
	}
	return false
}

// Len is the number of logs.
func (s *Logs) Len() int { return len(s.byID) }

// IDs returns all log ids, sorted.
func (s *Logs) IDs() []datafile.LogID {
	ids := make([]datafile.LogID, 0, len(s.byID))
	for id := range s.byID {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(a, b int) bool { return ids[a] < ids[b] })
	return ids
}

// Topics returns the ids of all topics of which the shard holds a part, sorted.
func (s *Logs) Topics() []ID {
	ids := make([]ID, 0, len(s.byTopic))
	for id := range s.byTopic {
		ids = append(ids, id)
	}
	sortIDs(ids)
	return ids
}

// DecideOpen returns the entry that opens the partitions which are not open
// yet; ok is false when all are.
func (s *Logs) DecideOpen(t ID, partitions []int32) (e Opened, ok bool) {
	e = Opened{Topic: t, First: s.next}
	for _, p := range partitions {
		if s.Find(t, p) == 0 {
			e.Partitions = append(e.Partitions, p)
		}
	}
	return e, len(e.Partitions) > 0
}

// Batch is what the state needs to know of a batch that is to be appended.
type Batch struct {
	Count         int64 // records
	ProducerID    int64 // -1: none
	ProducerEpoch int16
	FirstSequence int32
}

// Outcome of DecideAppend.
type Outcome uint8

// The outcomes of DecideAppend.
const (
	Accepted           Outcome = iota // log the entry
	Duplicate                         // it is there already; Appended.Base says where
	SequenceOutOfOrder                // a gap, or older than the window
	StaleEpoch                        // a later producer epoch was seen
)

// Knows says whether the log remembers a producer.
func (l *Log) Knows(producerID int64) bool { return l.producers[producerID] != nil }

// DecideAppend says whether a batch may be appended, and the entry if so.
func (l *Log) DecideAppend(id datafile.LogID, b Batch) (Appended, Outcome) {
	e := Appended{
		Log: id, Base: l.Next, Count: b.Count,
		ProducerID: b.ProducerID, ProducerEpoch: b.ProducerEpoch, FirstSequence: b.FirstSequence,
	}
	if b.ProducerID < 0 {
		return e, Accepted
	}
	v, base := l.producers[b.ProducerID].check(b.ProducerEpoch, b.FirstSequence, lastSequence(b.FirstSequence, b.Count))
	switch v {
	case duplicate:
		e.Base = base
		return e, Duplicate
	case outOfOrder:
		return e, SequenceOutOfOrder
	case staleEpoch:
		return e, StaleEpoch
	}
	return e, Accepted
}

// ApplyAppended takes an appended batch in. epoch is the leader epoch under
// which it was decided, now its time in ms.
func (s *Logs) ApplyAppended(e *Appended, epoch uint32, now int64) error {
	l := s.byID[e.Log]
	if l == nil || l.Next != e.Base {
		return fmt.Errorf("append to log %d at offset %d does not fit the state", e.Log, e.Base)
	}
	if n := len(l.Epochs); n == 0 || l.Epochs[n-1].Epoch != epoch {
		l.Epochs = append(l.Epochs, EpochStart{epoch, e.Base})
	}
	l.Next += e.Count
	if e.ProducerID < 0 {
		return nil
	}
	p := l.producers[e.ProducerID]
	if p == nil {
		if l.producers == nil {
			l.producers = map[int64]*producer{}
		}
		p = &producer{log: l, id: e.ProducerID}
		l.producers[e.ProducerID] = p
	} else {
		s.aging.remove(p)
	}
	s.aging.add(p)
	if p.epoch != e.ProducerEpoch {
		p.n = 0
	}
	p.epoch, p.time = e.ProducerEpoch, now
	p.push(batch{e.FirstSequence, lastSequence(e.FirstSequence, e.Count), e.Base})
	return nil
}

// ApplyOpened takes opened logs in.
func (s *Logs) ApplyOpened(e *Opened) error {
	end := e.First + datafile.LogID(len(e.Partitions))
	if e.First != s.next || end < e.First {
		return fmt.Errorf("logs that begin with %d do not fit the state", e.First)
	}
	parts := s.byTopic[e.Topic]
	if parts == nil {
		parts = make(map[int32]datafile.LogID, len(e.Partitions))
		s.byTopic[e.Topic] = parts
	}
	s.next = end
	for i, p := range e.Partitions {
		if parts[p] != 0 {
			return fmt.Errorf("partition %d of topic %x is opened twice", p, e.Topic)
		}
		id := e.First + datafile.LogID(i)
		s.byID[id] = &Log{ID: id, Topic: e.Topic, Partition: p}
		parts[p] = id
	}
	return nil
}

// ApplyDropped forgets a topic's logs.
func (s *Logs) ApplyDropped(e *Dropped) { s.drop(e.Topic, 0) }

// ApplyClosed forgets the logs of some of a topic's partitions.
func (s *Logs) ApplyClosed(e *Closed) { s.drop(e.Topic, e.From) }

func (s *Logs) drop(t ID, from int32) {
	parts := s.byTopic[t]
	for p, id := range parts {
		if p < from {
			continue
		}
		for _, pr := range s.byID[id].producers {
			s.aging.remove(pr)
		}
		delete(s.byID, id)
		delete(parts, p)
	}
	if len(parts) == 0 {
		delete(s.byTopic, t)
	}
}

// ApplyStarted moves a log's start.
func (s *Logs) ApplyStarted(e *Started) {
	l := s.byID[e.Log]
	if l == nil {
		return // dropped meanwhile
	}
	l.Start = e.Start
	for len(l.Epochs) > 1 && l.Epochs[1].Start <= e.Start {
		l.Epochs = l.Epochs[1:]
	}
}

// ApplyProducersExpired forgets idle producers.
func (s *Logs) ApplyProducersExpired(e *ProducersExpired) {
	for s.HasProducersBefore(e.Before) {
		s.forget(s.aging.oldest)
	}
}

// HasProducersBefore says whether ProducersExpired{before} would do anything.
func (s *Logs) HasProducersBefore(before int64) bool {
	return s.aging.oldest != nil && s.aging.oldest.time < before
}

func (s *Logs) forget(p *producer) {
	s.aging.remove(p)
	delete(p.log.producers, p.id)
	if len(p.log.producers) == 0 {
		p.log.producers = nil
	}
}

// Producers is how many producers the logs remember, each log for itself.
func (s *Logs) Producers() int { return s.aging.n }

// DecideForget returns the entry that makes room for one more producer when
// the logs remember max of them: it forgets the oldest, a thousandth of all, so
// that it is not needed at each append. ok is false when there is room.
func (s *Logs) DecideForget(max int) (e ProducersForgotten, ok bool) {
	if s.aging.n < max {
		return e, false
	}
	for p := s.aging.oldest; p != nil && len(e.Producers) <= s.aging.n-max+max/1000; p = p.newer {
		e.Producers = append(e.Producers, ProducerOf{p.log.ID, p.id})
	}
	return e, true
}

// ApplyProducersForgotten forgets some producers.
func (s *Logs) ApplyProducersForgotten(e *ProducersForgotten) {
	for _, x := range e.Producers {
		if l := s.byID[x.Log]; l != nil && l.producers[x.ID] != nil {
			s.forget(l.producers[x.ID])
		}
	}
}

// Producer is what DescribeProducers shows of an idempotent producer.
type Producer struct {
	ID           int64
	Epoch        int16
	LastSequence int32
	LastTime     int64 // ms
}

// Producers lists a log's producers, by id.
func (l *Log) Producers() []Producer {
	out := make([]Producer, 0, len(l.producers))
	for id, p := range l.producers {
		out = append(out, Producer{id, p.epoch, p.lastBatch().last, p.time})
	}
	sort.Slice(out, func(a, b int) bool { return out[a].ID < out[b].ID })
	return out
}

// Snapshot appends the state.
func (s *Logs) Snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.next))
	dst = binary.AppendUvarint(dst, uint64(len(s.byID)))
	for _, id := range s.IDs() {
		l := s.byID[id]
		dst = binary.AppendUvarint(dst, uint64(id))
		dst = append(dst, l.Topic[:]...)
		dst = binary.AppendUvarint(dst, uint64(l.Partition))
		dst = binary.AppendVarint(dst, l.Start)
		dst = binary.AppendVarint(dst, l.Next)
		dst = binary.AppendUvarint(dst, uint64(len(l.Epochs)))
		for _, e := range l.Epochs {
			dst = binary.AppendUvarint(dst, uint64(e.Epoch))
			dst = binary.AppendVarint(dst, e.Start)
		}
		dst = appendProducers(dst, l.producers)
	}
	return dst
}

// Restore reads what Snapshot wrote.
func (s *Logs) Restore(r *enc.Reader) error {
	*s = *NewLogs()
	var all []*producer
	next, last := datafile.LogID(r.Uvarint()), datafile.LogID(0)
	s.next = next
	for n := r.Count(20); n > 0 && r.Err() == nil; n-- {
		l := readLog(r)
		if l.ID <= last || l.ID >= next || s.Find(l.Topic, l.Partition) != 0 {
			malformed(r)
			break
		}
		last = l.ID
		for _, p := range l.producers {
			all = append(all, p)
		}
		s.byID[l.ID] = l
		if s.byTopic[l.Topic] == nil {
			s.byTopic[l.Topic] = map[int32]datafile.LogID{}
		}
		s.byTopic[l.Topic][l.Partition] = l.ID
	}
	slices.SortFunc(all, func(a, b *producer) int {
		return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.log.ID, b.log.ID), cmp.Compare(a.id, b.id))
	})
	for _, p := range all {
		s.aging.add(p)
	}
	return r.Err()
}

func readLog(r *enc.Reader) *Log {
	l := &Log{ID: datafile.LogID(r.Uvarint())}
	copy(l.Topic[:], r.Take(16))
	l.Partition = int32(readUpTo(r, math.MaxInt32))
	l.Start, l.Next = r.Varint(), r.Varint()
	for k := r.Count(2); k > 0; k-- {
		l.Epochs = append(l.Epochs, EpochStart{uint32(readUpTo(r, math.MaxUint32)), r.Varint()})
	}
	l.producers = readProducers(r, l)
	return l
}
