package main

import (
	"fmt"
	"slices"
	"sync"
)

// ledger is what the clients know of one partition, against which what the
// broker serves is checked: which record stands at which offset, because its
// producer was told so or a consumer was shown it, and what may be missing or
// doubled.
type ledger struct {
	partition  int32
	idempotent []bool // by producer

	mu       sync.Mutex
	at       []place         // by offset: what was promised to stand there
	next     []uint64        // by producer: the sequence that the log has to go on with
	verified int64           // offsets below are checked for order
	unknown  map[ident]error // records whose producer was not told whether they are stored
	acked    int64           // records acknowledged
	missing  int64           // records of unknown that are not stored
	repeats  int64           // copies that a producer without idempotence has made
}

// place is what was promised to stand at an offset.
type place struct {
	id  ident
	who witness
}

// witness is who knows what stands at an offset.
type witness uint8

const (
	nobody witness = iota
	producer
	consumer
	reader // the check itself, in an earlier round
)

var witnessWords = [...]string{"nobody knew of", "was acknowledged", "was consumed", "was read in an earlier round"}

func newLedger(partition int32, idempotent []bool) *ledger {
	return &ledger{
		partition: partition, idempotent: idempotent,
		next: make([]uint64, len(idempotent)), unknown: map[ident]error{},
	}
}

// brokenf is a promise that the broker has not kept in this partition.
func (l *ledger) brokenf(format string, args ...any) error {
	return fmt.Errorf("partition %d: "+format, append([]any{l.partition}, args...)...)
}

// acknowledge notes that a producer was told that its record is at offset. A
// negative offset says only that it is stored.
func (l *ledger) acknowledge(offset int64, id ident) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked++
	if offset < 0 {
		return nil
	}
	return l.promise(offset, id, producer)
}

// consume notes that a consumer was shown a record.
func (l *ledger) consume(offset int64, id ident) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.promise(offset, id, consumer)
}

// lose notes that a producer was not told whether its record is stored.
func (l *ledger) lose(id ident, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown[id] = err
}

// promise notes what stands at an offset. Every later look must find the same.
func (l *ledger) promise(offset int64, id ident, who witness) error {
	if n := offset + 1 - int64(len(l.at)); n > 0 {
		l.at = append(l.at, make([]place, n)...)
	}
	known := &l.at[offset]
	switch {
	case known.who == nobody:
		*known = place{id, who}
	case known.id != id:
		return l.brokenf("at offset %d %v %s, now %v %s", offset, known.id, witnessWords[known.who], id, witnessWords[who])
	case who < known.who: // an acknowledgement weighs most
		known.who = who
	}
	return nil
}

// end is the lowest high watermark that keeps every promise so far.
func (l *ledger) end() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.at))
}

// verify checks a record that is read in the order of offsets. What was
// checked before may be read again.
func (l *ledger) verify(offset int64, id ident) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.promise(offset, id, reader); err != nil {
		return err
	}
	if offset < l.verified {
		return nil
	}
	if offset != l.verified {
		return l.brokenf("checked out of order: offset %d after %d", offset, l.verified-1)
	}
	l.verified++
	return l.follow(offset, id)
}

// follow checks that a record is its producer's next.
func (l *ledger) follow(offset int64, id ident) error {
	p := id.producer()
	if p < 0 || p >= len(l.next) {
		return l.brokenf("offset %d holds a record of producer %d, which does not exist", offset, p)
	}
	next, got := &l.next[p], id.sequence()
	switch {
	case got >= *next:
		if err := l.skip(p, *next, got); err != nil {
			return fmt.Errorf("%w; offset %d holds %v", err, offset, id)
		}
		*next = got + 1
	case l.idempotent[p]:
		return l.brokenf("offset %d holds %v again, or out of order: %d was next", offset, id, *next)
	default:
		l.repeats++
	}
	return nil
}

// skip checks that nobody was promised the records from sequence from up to to.
func (l *ledger) skip(p int, from, to uint64) error {
	for s := from; s < to; s++ {
		id := newIdent(p, s)
		if _, ok := l.unknown[id]; !ok {
			return l.brokenf("%v is lost or out of order", id)
		}
		l.missing++
	}
	return nil
}

// complete checks that everything is stored, once all producers have ended
// and all was verified. sent are the records sent, by producer.
func (l *ledger) complete(sent []uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.at[l.verified:], func(p place) bool { return p.who != nobody }); i >= 0 {
		offset := l.verified + int64(i)
		return l.brokenf("%v at offset %d %s and is lost", l.at[offset].id, offset, witnessWords[l.at[offset].who])
	}
	for p, n := range sent {
		if err := l.skip(p, l.next[p], n); err != nil {
			return err
		}
	}
	return nil
}

// counts are what a ledger has counted.
type counts struct {
	Acked   int64 `json:"acked"`   // records acknowledged
	Stored  int64 `json:"stored"`  // records read back and checked
	Unknown int64 `json:"unknown"` // records that the client gave up without an answer
	Missing int64 `json:"missing"` // of these, not stored
	Repeats int64 `json:"repeats"` // copies made by the producer without idempotence
}

func (l *ledger) count(sum *counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum.Acked += l.acked
	sum.Stored += l.verified
	sum.Unknown += int64(len(l.unknown))
	sum.Missing += l.missing
	sum.Repeats += l.repeats
}
