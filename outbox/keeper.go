package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/internal/safeguard"
)

// A keeper gets the leases of a relay's share of the buckets, renews them and gives
// up what is above the share. Workers borrow buckets from it.
//
// A lease is used until this process's monotonic clock says that it may be over,
// counted from before the statement was sent that acquired or renewed it: the
// database counts from a later moment. A tenth is kept back for clocks that go at
// different speeds. Whatever the clocks do, the token at the delete decides.
type keeper struct {
	store   *store
	owner   string
	length  time.Duration // of a lease
	changed *signal       // raised when there are further buckets
	failed  func(err error)
	watch   watch // only run uses it

	mu    sync.Mutex
	held  map[int]*lease
	renew time.Time // when to renew next
}

// A lease is of a bucket that this relay holds.
type lease struct {
	bucket int
	token  int64
	epochs epochs          // of the ids, read under the token
	ctx    context.Context // ends with the lease
	end    context.CancelFunc
	timer  *time.Timer // ends it, unless it is renewed

	// The rest is guarded by the keeper.
	until   time.Time
	busy    bool // a worker has it
	leaving bool // it is to be given up
}

func newKeeper(s *store, length time.Duration, failed func(error)) *keeper {
	return &keeper{store: s, owner: newOwner(length), length: length, changed: newSignal(), failed: failed, watch: watch{length: length}, held: map[int]*lease{}}
}

// run keeps the leases until ctx ends. It does not give them up.
func (k *keeper) run(ctx context.Context) {
	pause := min(max(k.length/20, 5*time.Millisecond), 500*time.Millisecond)
	for ctx.Err() == nil {
		if err := k.step(ctx); err != nil && ctx.Err() == nil {
			k.failed(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// step renews what is to be renewed, and takes or gives up buckets.
func (k *keeper) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.length/3)
	defer cancel()
	if err := k.renewAll(ctx); err != nil {
		return err
	}
	rows, err := k.store.leases(ctx)
	if err != nil {
		return err
	}
	relays, err := k.store.relays(ctx)
	if err != nil {
		return err
	}
	k.compare(rows)
	live := k.watch.look(rows, relays, time.Now())
	share := (Buckets + max(live, 1) - 1) / max(live, 1)
	return errors.Join(k.giveUp(ctx, share), k.take(ctx, rows, share))
}

// renewAll extends all leases, every third of their length.
func (k *keeper) renewAll(ctx context.Context) error {
	if time.Now().Before(k.renew) {
		return nil
	}
	if err := k.store.beat(ctx, k.owner, 2*k.length); err != nil {
		return err
	}
	leases := k.all()
	if len(leases) == 0 {
		k.renew = time.Now().Add(k.length / 3)
		return nil
	}
	sent := time.Now()
	all, err := k.store.renew(ctx, k.owner, leases, k.length)
	if err != nil {
		return err
	}
	if !all { // those that are still ours were renewed; see which
		rows, err := k.store.leases(ctx)
		if err != nil {
			return err
		}
		k.compare(rows)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range leases {
		if k.held[l.bucket] == l {
			k.extend(l, sent)
		}
	}
	k.renew = sent.Add(k.length / 3)
	return nil
}

// extend notes that a lease was made or renewed by a statement sent at a moment.
func (k *keeper) extend(l *lease, sent time.Time) {
	l.until = sent.Add(k.length - k.length/10)
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(l.until), func() { k.expire(l) })
		return
	}
	l.timer.Reset(time.Until(l.until))
}

// expire ends a lease that was not renewed in time.
func (k *keeper) expire(l *lease) {
	k.mu.Lock()
	over := !time.Now().Before(l.until)
	k.mu.Unlock()
	if over {
		k.drop(l)
	}
}

// drop ends the use of a lease that is over, or lost.
func (k *keeper) drop(l *lease) {
	if safeguard.Removed(safeguard.Fence) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[l.bucket] == l {
		delete(k.held, l.bucket)
	}
	l.timer.Stop()
	l.end()
}

// compare drops what the rows say is somebody else's.
func (k *keeper) compare(rows []leaseRow) {
	for _, l := range k.all() {
		ours := slices.ContainsFunc(rows, func(r leaseRow) bool {
			return r.bucket == l.bucket && r.owner == k.owner && r.token == l.token
		})
		if !ours {
			k.drop(l)
		}
	}
}

// giveUp releases what is above the share, as soon as no worker has it.
func (k *keeper) giveUp(ctx context.Context, share int) error {
	if safeguard.Removed(safeguard.Fence) {
		return nil
	}
	var idle []*lease
	held := k.all()
	k.mu.Lock()
	for i, l := range held {
		if l.leaving = i >= share; l.leaving && !l.busy {
			idle = append(idle, l)
		}
	}
	k.mu.Unlock()
	for _, l := range idle {
		k.drop(l) // first, so that no worker begins with it
		if err := k.store.release(ctx, k.owner, l); err != nil {
			return err
		}
	}
	return nil
}

// take acquires free buckets up to the share. One that is this relay's own in its row only
// was acquired by a statement whose answer was lost.
func (k *keeper) take(ctx context.Context, rows []leaseRow, share int) error {
	held := k.all()
	want := share - len(held)
	rows = slices.DeleteFunc(rows, func(r leaseRow) bool {
		return slices.ContainsFunc(held, func(l *lease) bool { return l.bucket == r.bucket })
	})
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for _, r := range rows {
		if want <= 0 {
			return nil
		}
		if !r.over && r.owner != k.owner {
			continue
		}
		sent := time.Now()
		ok, err := k.store.acquire(ctx, r, k.owner, k.length)
		if err != nil {
			return err
		}
		if ok {
			epochs, err := k.store.epochs(ctx) // a new one takes the token away
			if err != nil {
				return err
			}
			want--
			k.add(r.bucket, r.token+1, epochs, sent)
		}
	}
	return nil
}

// add begins the use of a bucket.
func (k *keeper) add(bucket int, token int64, es epochs, sent time.Time) {
	l := &lease{bucket: bucket, token: token, epochs: es}
	l.ctx, l.end = context.WithCancel(context.Background())
	k.mu.Lock()
	if old := k.held[bucket]; old != nil {
		old.timer.Stop()
		old.end()
	}
	k.held[bucket] = l
	k.extend(l, sent)
	k.mu.Unlock()
	k.changed.raise()
}

// all are the leases that are held, by bucket.
func (k *keeper) all() (out []*lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for b := range Buckets {
		if l := k.held[b]; l != nil {
			out = append(out, l)
		}
	}
	return out
}

// borrow lends the buckets that a worker may use now. It must give each back.
func (k *keeper) borrow(worker, workers int) (out []*lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	for b := worker; b < Buckets; b += workers {
		if l := k.held[b]; l != nil && !l.leaving && !l.busy && now.Before(l.until) {
			l.busy = true
			out = append(out, l)
		}
	}
	return out
}

// giveBack ends a worker's use of buckets.
func (k *keeper) giveBack(leases []*lease) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range leases {
		l.busy = false
	}
}
