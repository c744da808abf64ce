package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// What clients can make the server hold is counted against four budgets, each
// a quarter of Config.MemoryMax: small frames, large frames, requests in their
// decoded form, and responses up to the moment when they are written.
//
// Two rules keep any of them from being a way to stop the server:
//
//   - Nobody waits for memory while holding some of the same budget, and the
//     budgets are taken in the order above. So nobody waits in a circle, and a
//     kind of request or response cannot take what the others need: not large
//     frames the memory of small ones, not unread responses that of requests.
//   - Memory that waits for the client (for the rest of a frame, for a reader
//     of a response, for the data of a fetch) is a loan. While others wait for
//     memory, a loan that is behind is called in: its client loses the
//     connection, a fetch is answered early. So what a client holds it must
//     keep moving, and what does not move costs others little more than
//     loanGrace. While nobody waits, nobody is hurried.
//
// A client's address plays no part: behind one there may be a whole site, and
// in IPv6 a whole site may be had by one client.

const (
	// memoryWait is how long a request or a response waits for memory.
	memoryWait = 30 * time.Second
	// A loan is behind if for loanGrace it has not moved as fast as would move
	// all of it in loanTime. When many wait there is less patience with each:
	// together they are to wait for about loanTime, so that those in front of
	// the queue, who may be no better, do not keep the others waiting for
	// longer than memoryWait.
	loanGrace    = time.Second
	loanGraceMin = 250 * time.Millisecond
	loanTime     = 10 * time.Second
	// pressEvery is how often loans are looked at while somebody waits.
	pressEvery = 50 * time.Millisecond
)

// budget is a number of bytes that all connections share.
type budget struct {
	total int64
	free  *semaphore.Weighted

	mu      sync.Mutex
	wanted  int64 // by those who wait
	waiting int
	loans   map[*loan]struct{}
	timer   *time.Timer // calls press while somebody waits
}

func newBudget(total int64) *budget {
	b := &budget{total: total, free: semaphore.NewWeighted(total), loans: map[*loan]struct{}{}}
	b.timer = time.AfterFunc(time.Hour, b.press)
	b.timer.Stop()
	return b
}

// share is what somebody has taken of a budget. The zero value is nothing.
type share struct {
	of *budget
	n  int64
}

// take takes n bytes. It waits while too much is in use, until ctx ends or
// memoryWait has passed. More than the whole budget can be had by one at a
// time.
func (b *budget) take(ctx context.Context, n int64) (share, error) {
	s := share{b, min(n, b.total)}
	if b.free.TryAcquire(s.n) {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, memoryWait)
	defer cancel()
	b.wait(s.n)
	defer b.waited(s.n)
	if err := b.free.Acquire(ctx, s.n); err != nil {
		return share{}, fmt.Errorf("no memory for %d bytes: %w", n, err)
	}
	return s, nil
}

// grow adds n bytes, if nobody has to wait for that.
func (s *share) grow(n int64) bool {
	if n > s.of.total-s.n || !s.of.free.TryAcquire(n) {
		return false
	}
	s.n += n
	return true
}

// shrink gives back what is above n bytes.
func (s *share) shrink(n int64) {
	if n < s.n {
		s.of.free.Release(s.n - n)
		s.n = n
	}
}

// giveBack ends the share. It may be called again.
func (s *share) giveBack() {
	if s.of != nil {
		s.of.free.Release(s.n)
		*s = share{}
	}
}

// loan is a share, or memory besides it, that waits for its client.
type loan struct {
	of     *budget
	n      int64
	moved  atomic.Int64 // bytes that went over the wire
	callIn func()       // must not block; called once at most

	// When it was last looked at and not behind, and what had moved then.
	// Guarded by of.mu.
	seen      time.Time
	seenMoved int64
}

// lend says that s waits for its client from now on, until end. callIn makes
// its owner give it back soon.
func (s *share) lend(callIn func()) *loan {
	l := &loan{of: s.of, n: s.n, seen: time.Now(), callIn: callIn}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.of.loans[l] = struct{}{}
	return l
}

func (l *loan) move(n int64) { l.moved.Add(n) }

// end says that the memory does not wait for the client any more.
func (l *loan) end() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	delete(l.of.loans, l)
}

// behind looks at a loan. of.mu is held.
func (l *loan) behind(now time.Time, grace time.Duration) bool {
	took, moved := now.Sub(l.seen), l.moved.Load()
	if float64(moved-l.seenMoved) < float64(l.n)*float64(took)/float64(loanTime) {
		return took >= grace
	}
	l.seen, l.seenMoved = now, moved
	return false
}

// wait counts somebody who waits for n bytes.
func (b *budget) wait(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted += n
	if b.waiting++; b.waiting == 1 {
		b.timer.Reset(pressEvery)
	}
}

func (b *budget) waited(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted -= n
	b.waiting--
}

// press calls in loans that are behind, the largest first, until those who
// wait have enough.
func (b *budget) press() {
	b.mu.Lock()
	var called []*loan
	if b.waiting > 0 {
		called = b.latest()
		b.timer.Reset(pressEvery)
	}
	b.mu.Unlock()
	for _, l := range called {
		l.callIn()
	}
}

// latest takes the loans that are to be called in off the list. mu is held.
func (b *budget) latest() []*loan {
	now := time.Now()
	grace := max(loanGraceMin, min(loanGrace, loanTime/time.Duration(b.waiting)))
	var late []*loan
	for l := range b.loans {
		if l.behind(now, grace) {
			late = append(late, l)
		}
	}
	slices.SortFunc(late, func(a, b *loan) int { return cmp.Compare(b.n, a.n) })
	var got int64
	for i, l := range late {
		if got >= b.wanted {
			return late[:i]
		}
		got += l.n
		delete(b.loans, l)
	}
	return late
}
