// Package lane is what the implementations of bus have in common: messages wait
// in lanes, in each of which one is handled after the other, or several that wait at
// once. A message whose handler fails is handed to it again, after a pause, before
// those behind it.
package lane

import (
	"context"
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
)

// A Source is what messages come by, a connection or a partition, while it is
// ours.
type Source struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup // messages with handlers; added to under mu, before ended
}

// NewSource makes a source whose messages' contexts end with ctx or with End.
func NewSource(ctx context.Context) *Source {
	s := &Source{}
	s.ctx, s.cancel = context.WithCancel(ctx)
	return s
}

// End ends the contexts of its messages and waits until none of them is being
// handled. Those that wait in lanes are dropped when their turn comes.
func (s *Source) End() {
	s.cancel()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.running.Wait()
}

// begin says that a message of it is about to be handled, unless it has ended.
func (s *Source) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.ctx.Err() != nil {
		return false
	}
	s.running.Add(1)
	return true
}

// An Item is a message in a lane.
type Item struct {
	Delivery bus.Delivery
	From     *Source
	// Ack is called once, when the handler is done with it.
	Ack func()
	// AckEarly is called instead of Ack, and before the handler, while a demonstration
	// has removed the order of the two. It returns when the message is acknowledged.
	AckEarly func()
	// Left is called once, when the message leaves the lane, whether it was handled or
	// not.
	Left func()
}

// A Runner calls the handler of a subscription.
type Runner struct {
	handle             bus.Handler
	batch              int
	retryMin, retryMax time.Duration
}

// NewRunner is the runner of a subscription and its handler.
func NewRunner(s bus.Subscription, h bus.Handler) *Runner {
	r := &Runner{h, max(s.Batch, 1), s.RetryMin, s.RetryMax}
	if r.retryMin <= 0 {
		r.retryMin = 100 * time.Millisecond
	}
	if r.retryMax <= 0 {
		r.retryMax = 30 * time.Second
	}
	r.retryMax = max(r.retryMax, r.retryMin)
	return r
}

// run takes items that stand one behind the other through, together as long as that
// works, which it says, and then one by one.
func (r *Runner) run(items []*Item) (together bool) {
	for len(items) > 1 {
		done, err := r.together(items)
		items = items[done:]
		if err != nil {
			for _, it := range items {
				r.alone(it)
			}
			return false
		}
	}
	for _, it := range items {
		r.alone(it)
	}
	return true
}

var (
	errEnded   = errors.New("lane: a source has ended")
	errNothing = errors.New("lane: the handler has done nothing")
)

// together hands several items to the handler. Those that are done leave; if there is
// an error the others are to be handled alone.
func (r *Runner) together(items []*Item) (done int, err error) {
	ctx, finish, ok := begin(items)
	defer finish()
	if !ok {
		return 0, errEnded
	}
	early := safeguard.Removed(safeguard.AckOrder)
	ds := make([]*bus.Delivery, len(items))
	for n, it := range items {
		if early {
			it.AckEarly()
		}
		d := it.Delivery // the handler's own, which it may change
		d.Attempt = 1
		ds[n] = &d
	}
	if done, err = r.call(ctx, ds); done == 0 && err == nil {
		err = errNothing
	}
	for _, it := range items[:done] {
		if !early {
			it.Ack()
		}
		it.Left()
	}
	return done, err
}

// begin says that items are about to be handled, unless a source of theirs has ended.
// ctx ends with the first that does. finish must be called in any case.
func begin(items []*Item) (ctx context.Context, finish func(), ok bool) {
	first := items[0].From
	ctx, cancel := context.WithCancel(first.ctx)
	ends := []func(){cancel}
	finish = func() {
		for _, end := range ends {
			end()
		}
	}
	for n, it := range items {
		if !it.From.begin() {
			return ctx, finish, false
		}
		ends = append(ends, it.From.running.Done)
		if it.From != first && it.From != items[n-1].From {
			stop := context.AfterFunc(it.From.ctx, cancel)
			ends = append(ends, func() { stop() })
		}
	}
	return ctx, finish, true
}

// alone takes one item through, or drops it if its source has ended.
func (r *Runner) alone(it *Item) {
	defer it.Left()
	if !it.From.begin() {
		return
	}
	defer it.From.running.Done()
	early := safeguard.Removed(safeguard.AckOrder)
	if early {
		it.AckEarly()
	}
	if r.untilDone(it) && !early {
		it.Ack()
	}
}

// untilDone calls the handler until it is done with an item. It says whether that came
// before the source ended.
func (r *Runner) untilDone(it *Item) bool {
	ctx := it.From.ctx
	for attempt := 1; ; attempt++ {
		d := it.Delivery // the handler's own, which it may change
		d.Attempt = attempt
		if done, _ := r.call(ctx, []*bus.Delivery{&d}); done > 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(Backoff(r.retryMin, r.retryMax, attempt)):
		}
	}
}

// call calls the handler.
func (r *Runner) call(ctx context.Context, ds []*bus.Delivery) (done int, err error) {
	for range ds {
		if err := killpoint.At(ctx, killpoint.Delivery, killpoint.Before); err != nil {
			return 0, err
		}
	}
	done, err = r.handle(ctx, ds)
	for n := range done {
		if err := killpoint.At(ctx, killpoint.Delivery, killpoint.After); err != nil {
			return n, err
		}
	}
	return done, err
}

// Backoff is the pause after the nth failure in a row, from 1: it doubles from
// least to most, and is then shortened by up to a half by chance, but not below
// least.
func Backoff(least, most time.Duration, nth int) time.Duration {
	d := most
	if doubled := least << min(nth-1, 40); nth <= 40 && doubled > 0 && doubled < most {
		d = doubled
	}
	return max(least, d-rand.N(d/2+1))
}

// A Lane holds messages, without a limit of its own, and has them handled in the
// order in which they were put.
type Lane struct {
	mu     sync.Mutex
	queue  []*Item
	closed bool
	wake   chan struct{} // holds one if the queue may have something, or it was closed
	idle   chan struct{} // closed when its goroutine has ended
}

// NewLane starts a lane. Close ends it.
func NewLane(r *Runner) *Lane {
	l := &Lane{wake: make(chan struct{}, 1), idle: make(chan struct{})}
	go func() {
		defer close(l.idle)
		most := r.batch
		for items := l.next(most); items != nil; items = l.next(most) {
			// What has failed together costs twice: where that is often, batches are small.
			if r.run(items) {
				most = min(most+1, r.batch)
			} else {
				most = max(most/2, 1)
			}
		}
	}()
	return l
}

// Put puts a message at the end.
func (l *Lane) Put(it *Item) {
	l.mu.Lock()
	l.queue = append(l.queue, it)
	l.mu.Unlock()
	l.signal()
}

// Close ends the lane when its queue is empty, which it soon is if the sources of
// what is in it have ended.
func (l *Lane) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
}

// Wait waits until the lane has ended after Close.
func (l *Lane) Wait() { <-l.idle }

func (l *Lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// next waits until there is something in the queue, and takes up to so many out; nil
// says that the lane is closed and empty.
func (l *Lane) next(most int) []*Item {
	for {
		l.mu.Lock()
		if n := min(len(l.queue), most); n > 0 {
			items := slices.Clone(l.queue[:n])
			clear(l.queue[:n])
			l.queue = l.queue[n:]
			l.mu.Unlock()
			return items
		}
		closed := l.closed
		l.mu.Unlock()
		if closed {
			return nil
		}
		<-l.wake
	}
}

// Lanes are several, of which each key has one.
type Lanes struct {
	seed  maphash.Seed
	lanes []*Lane
}

// NewLanes starts n lanes, at least one.
func NewLanes(r *Runner, n int) *Lanes {
	ls := &Lanes{seed: maphash.MakeSeed(), lanes: make([]*Lane, max(n, 1))}
	for i := range ls.lanes {
		ls.lanes[i] = NewLane(r)
	}
	return ls
}

// Of is the lane of a key. Messages without one are spread by a number of
// theirs.
func (ls *Lanes) Of(key string, number uint64) *Lane {
	if key != "" {
		number = maphash.String(ls.seed, key)
	}
	return ls.lanes[number%uint64(len(ls.lanes))]
}

// Close ends all, as Lane's Close and Wait do.
func (ls *Lanes) Close() {
	for _, l := range ls.lanes {
		l.Close()
	}
	for _, l := range ls.lanes {
		l.Wait()
	}
}
