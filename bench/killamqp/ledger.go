package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
)

// message names a message: the n-th of a publisher.
type message struct {
	publisher uint32
	n         uint64
}

// encode is the body: publisher, number, filling of a length that follows from
// both, checksum.
func (m message) encode() []byte {
	b := make([]byte, 12, 12+int(m.n%900)+4)
	binary.BigEndian.PutUint32(b, m.publisher)
	binary.BigEndian.PutUint64(b[4:], m.n)
	for i := range m.n % 900 {
		b = append(b, byte(m.n+i))
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

var errBody = errors.New("a message whose body is not what was sent")

func decode(b []byte) (message, error) {
	if len(b) < 16 || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return message{}, errBody
	}
	return message{binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])}, nil
}

// ledger knows what the broker has promised. The first broken promise stays.
type ledger struct {
	mu        sync.Mutex
	sent      map[uint32]uint64 // numbers up to here may exist
	confirmed map[message]bool
	queues    map[string]*account
	err       error
}

// account is what came out of a queue.
type account struct {
	seen     map[message]*state
	newest   map[uint32]uint64 // of each publisher, of those that came first
	again    int
	settled  int
	returned int
	letters  int   // dead ones
	closes   int64 // channels that were closed with messages in hand, which counts as giving them back
}

type state struct {
	returns  int64 // how often it was given back, at most
	acked    bool  // an acknowledgement was sent
	answered bool  // and followed by an answered method
	rejected bool  // it was rejected, and has not come again
	dead     bool  // it came as a dead letter
}

func newLedger(queues ...string) *ledger {
	l := &ledger{sent: map[uint32]uint64{}, confirmed: map[message]bool{}, queues: map[string]*account{}}
	for _, q := range queues {
		l.queues[q] = &account{seen: map[message]*state{}, newest: map[uint32]uint64{}}
	}
	return l
}

// broken notes a broken promise. mu is held.
func (l *ledger) broken(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

func (l *ledger) failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// next is the number of a publisher's next message.
func (l *ledger) next(publisher uint32) message {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[publisher]++
	return message{publisher, l.sent[publisher]}
}

func (l *ledger) confirm(ms ...message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range ms {
		l.confirmed[m] = true
	}
}

// deliver takes in that a message came. count is its delivery count, -1 if the
// queue tells none.
func (l *ledger) deliver(queue string, m message, redelivered bool, count int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[queue]
	if m.n == 0 || m.n > l.sent[m.publisher] {
		l.broken("%s: message %v came and was never sent", queue, m)
		return
	}
	s := q.seen[m]
	switch {
	case s == nil && redelivered:
		// It may have been on its way when the broker died.
		s = &state{}
		q.seen[m] = s
	case s == nil:
		if q.newest[m.publisher] >= m.n {
			l.broken("%s: message %v came first after message %d of its publisher", queue, m, q.newest[m.publisher])
		}
		q.newest[m.publisher] = m.n
		s = &state{}
		q.seen[m] = s
	case s.answered:
		l.broken("%s: message %v came back, though its acknowledgement was followed by an answer", queue, m)
	case !redelivered:
		l.broken("%s: message %v came again and does not say so", queue, m)
	default:
		q.again++
	}
	if count > s.returns+q.closes {
		l.broken("%s: message %v says that it was given back %d times, it was %d times, and %d channels were closed", queue, m, count, s.returns, q.closes)
	}
	if s.dead {
		l.broken("%s: message %v came back, and is a dead letter too", queue, m)
	}
	s.acked, s.rejected = false, false
}

// reject says that a message is about to be rejected.
func (l *ledger) reject(queue string, m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues[queue].seen[m].rejected = true
}

// dead takes in that a message came as a dead letter of a queue: once, and only if
// its rejection was the last that happened to it there.
func (l *ledger) dead(queue string, m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.queues[queue].seen[m]
	switch {
	case s == nil || !s.rejected:
		l.broken("%s: message %v is a dead letter, and was not rejected", queue, m)
	case s.dead:
		l.broken("%s: message %v is a dead letter twice", queue, m)
	default:
		s.dead = true
		l.queues[queue].letters++
	}
}

// undead counts the messages that were rejected, and have come neither again nor as
// dead letters.
func (l *ledger) undead(queue string) (n int, example message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, s := range l.queues[queue].seen {
		if s.rejected && !s.dead {
			n, example = n+1, m
		}
	}
	return n, example
}

func (l *ledger) ack(queue string, ms []message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range ms {
		l.queues[queue].seen[m].acked = true
	}
}

// answered says that a method was answered after the acknowledgements.
func (l *ledger) answered(queue string, ms []message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range ms {
		if s := l.queues[queue].seen[m]; s.acked && !s.answered {
			s.answered = true
			l.queues[queue].settled++
		}
	}
}

// giveBack says that a message is about to be given back. It reports false when
// that was done often enough.
func (l *ledger) giveBack(queue string, m message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.queues[queue].seen[m]
	if s.returns >= 3 {
		return false
	}
	s.returns++
	l.queues[queue].returned++
	return true
}

// closing says that a consumer is about to close its channel.
func (l *ledger) closing(queue string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues[queue].closes++
}

// missing counts the confirmed messages that never came out of a queue.
func (l *ledger) missing(queue string) (n int, example message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m := range l.confirmed {
		if l.queues[queue].seen[m] == nil {
			n, example = n+1, m
		}
	}
	return n, example
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := fmt.Sprintf("%d confirmed", len(l.confirmed))
	for _, name := range []string{classicQueue, quorumQueue} {
		q := l.queues[name]
		s += fmt.Sprintf("; %s: %d came, %d again, %d settled, %d given back, %d dead letters", name, len(q.seen), q.again, q.settled, q.returned, q.letters)
	}
	return s
}
