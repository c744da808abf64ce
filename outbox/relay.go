package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/waxwing-mq/waxwing/bus"
)

// A Relay publishes the events of an outbox: it reads a batch in the order of ids,
// publishes it, waits until the broker has it and then deletes it. No transaction
// is open while it publishes. Any number of relays, in any number of processes,
// share the buckets of a database among them: each bucket has one relay at a time,
// by a lease. What a relay has sent but not deleted when its lease ends, or it
// dies, its successor sends again: a duplicate with the same value of
// bus.HeaderSequence, which an inbox skips.
//
// It uses up to Workers + 2 connections of the database at once, and holds up to
// Workers times 32 MiB of messages.
type Relay struct {
	store  *store
	to     bus.Publisher
	source string
	tracer trace.Tracer
	wake   *signal
	now    func() time.Time
	relayOptions

	running atomic.Bool
	metrics *metrics

	// Of the run that is under way.
	keeper *keeper
	floor  *floor
}

// A RelayOption changes what NewRelay makes.
type RelayOption func(*relayOptions)

type relayOptions struct {
	lease            time.Duration
	batch            int
	workers          int
	pollMin, pollMax time.Duration
	backMin, backMax time.Duration
	log              *slog.Logger
}

// Lease is for how long a relay that is heard of no more keeps its buckets, by
// default 10 s. It is renewed each third of that.
func Lease(d time.Duration) RelayOption { return func(o *relayOptions) { o.lease = d } }

// BatchSize is up to how many events of a bucket are read, published and deleted at
// once, by default 500.
func BatchSize(n int) RelayOption { return func(o *relayOptions) { o.batch = n } }

// Workers is how many batches are under way at once, each of other buckets, by
// default 2 and at most Buckets.
func Workers(n int) RelayOption { return func(o *relayOptions) { o.workers = n } }

// Poll bounds how long a relay waits before it looks again, unless Wake calls it: by
// default 5 ms and 1 s. It waits shortest after it found something, and twice as
// long each time after it did not.
func Poll(shortest, longest time.Duration) RelayOption {
	return func(o *relayOptions) { o.pollMin, o.pollMax = shortest, longest }
}

// Backoff bounds how long a relay waits before it tries again what failed: by
// default 100 ms, which doubles each time, and 5 s.
func Backoff(shortest, longest time.Duration) RelayOption {
	return func(o *relayOptions) { o.backMin, o.backMax = shortest, longest }
}

// Logger is where a relay says what fails, by default slog's default.
func Logger(l *slog.Logger) RelayOption { return func(o *relayOptions) { o.log = l } }

// NewRelay is a relay that publishes to a bus. It does nothing before Run. Its
// clock, for ages and for spans, is the outbox's.
func NewRelay[TX any](o *Outbox[TX], to bus.Publisher, opts ...RelayOption) *Relay {
	r := &Relay{store: o.store(), to: to, source: o.source, tracer: o.tracer, wake: o.wake, now: o.now, relayOptions: relayOptions{
		lease: 10 * time.Second, batch: 500, workers: 2,
		pollMin: 5 * time.Millisecond, pollMax: time.Second,
		backMin: 100 * time.Millisecond, backMax: 5 * time.Second,
		log: slog.Default(),
	}}
	for _, opt := range opts {
		opt(&r.relayOptions)
	}
	r.batch, r.workers = max(r.batch, 1), min(max(r.workers, 1), Buckets)
	r.metrics = newMetrics(r)
	return r
}

// errRunning is what a second Run at the same time returns.
var errRunning = errors.New("outbox: the relay runs already")

// Run publishes until ctx ends, then finishes the batches under way, for five
// seconds at most, hands its buckets to other relays and returns nil. It returns an
// error only if it cannot begin, as when the tables are missing. Later on it logs
// what fails, counts it, and tries again.
func (r *Relay) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return errRunning
	}
	defer r.running.Store(false)
	if err := r.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("outbox: relay: %w", err)
	}
	hard, cancel := r.outlive(ctx)
	defer cancel()
	r.work(ctx, hard)
	return r.end(hard)
}

// begin makes what a run needs.
func (r *Relay) begin(ctx context.Context) (err error) {
	if err := r.store.prepare(ctx); err != nil {
		return err
	}
	keeper := newKeeper(r.store, r.lease, func(err error) { r.failed("lease", err) })
	r.floor = &floor{store: r.store, log: r.log}
	r.metrics.mu.Lock()
	r.keeper = keeper
	r.metrics.mu.Unlock()
	return nil
}

// grace is how long a batch may take after the end of Run's context.
const grace = 5 * time.Second

// outlive is a context for batches under way, which ends a while after ctx.
func (r *Relay) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(grace):
			cancel()
		case <-hard.Done():
		}
	})
	return hard, func() { stop(); cancel() }
}

// work runs the workers until ctx ends, and what they need until they have ended.
func (r *Relay) work(ctx, hard context.Context) {
	needed, done := context.WithCancel(hard)
	var workers, others sync.WaitGroup
	others.Go(func() { r.keeper.run(needed) })
	others.Go(func() { r.floor.run(needed, func(err error) { r.failed("floor", err) }) })
	for n := range r.workers {
		workers.Go(func() { newWorker(r, n).run(ctx, hard) })
	}
	workers.Wait()
	done()
	others.Wait()
}

// end gives up the leases, so that others take over at once.
func (r *Relay) end(hard context.Context) error {
	for _, l := range r.keeper.all() {
		r.keeper.drop(l)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hard), grace)
	defer cancel()
	if err := r.store.leave(ctx, r.keeper.owner); err != nil {
		r.failed("lease", err) // they expire
	}
	return nil
}

// failed logs and counts what went wrong with the database or the broker.
func (r *Relay) failed(step string, err error) {
	r.metrics.failures.WithLabelValues(step).Inc()
	r.log.Warn("outbox: relay: "+step+" failed, will be tried again", "error", err)
}
