package datafile

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Readers see every offset exactly once, with its bytes, while slots are
// added, files are sealed, indexed, rewritten and removed, and logs are
// trimmed and dropped.
func TestConcurrent(t *testing.T) {
	const logs, slots, perFile = 5, 1200, 40
	h := newHouse(t)
	h.cfg.MergeBytes, h.cfg.RewriteMergeBytes, h.cfg.WindowBytes = 700, 3000, 10_000
	var starts, ends [logs + 1]atomic.Int64
	var stop atomic.Bool
	errs := make(chan error, 10)
	var readers, owner sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for !stop.Load() {
				log := 1 + r.IntN(logs)
				start, end := starts[log].Load(), ends[log].Load()
				if err := readRange(h, LogID(log), start+r.Int64N(end-start+1), end, &starts[log]); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	sealed := make(chan engine.FileID, slots)
	owner.Go(func() {
		if err := maintain(h, sealed, &starts, &ends); err != nil {
			errs <- err
			for range sealed {
			}
		}
	})
	r := rand.New(rand.NewPCG(2, 2))
	file := engine.FileID(1)
	for i := range slots {
		for log := LogID(1); log <= logs; log++ {
			if r.IntN(3) > 0 {
				h.write(t, file, 100+r.IntN(200), log)
				ends[log].Store(h.next[log])
			}
		}
		h.write(t, file, 50, LogID(1000+i/100)) // a log that is dropped later
		if i%100 == 99 {
			h.Drop(LogID(1000 + i/100))
		}
		if i%perFile == perFile-1 {
			h.Seal(file)
			sealed <- file
			file++
		}
	}
	close(sealed)
	owner.Wait()
	stop.Store(true)
	readers.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	must(t, removeDead(h)) // what somebody was still reading
	if n := len(h.Files()); n > 12 {
		t.Errorf("%d files are left: the rewrite did not keep up", n)
	}
}

// Readers of queues see every message that is live, with its bytes, while
// messages are published, settled in any order, and moved together.
func TestConcurrentKills(t *testing.T) {
	const logs, slots, perFile = 4, 1500, 50
	q := newQueues(t)
	q.cfg.RewriteMergeBytes, q.cfg.WindowBytes = 2000, 10_000
	var stop atomic.Bool
	errs := make(chan error, 10)
	var others, owner sync.WaitGroup
	for i := range 2 {
		others.Go(func() {
			r := rand.New(rand.NewPCG(4, uint64(i)))
			for !stop.Load() {
				if err := q.readLive(LogID(1 + r.IntN(logs))); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	sealed := make(chan engine.FileID, slots)
	owner.Go(func() {
		var starts, ends [6]atomic.Int64 // nobody's
		if err := maintain(q.house, sealed, &starts, &ends); err != nil {
			errs <- err
			for range sealed {
			}
		}
	})
	r := rand.New(rand.NewPCG(5, 5))
	file := engine.FileID(1)
	for i := range slots {
		log := LogID(1 + r.IntN(logs))
		q.publish(t, file, 1+r.IntN(4), 100, log)
		for range 3 { // most are settled soon, some never
			if o := max(0, q.next[log]-1-r.Int64N(30)); o%50 != 0 && q.live(log, o, o+1) {
				q.settle(log, o, o+1)
			}
		}
		if i%perFile == perFile-1 {
			q.Seal(file)
			sealed <- file
			file++
		}
	}
	close(sealed)
	owner.Wait()
	stop.Store(true)
	others.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	for log := LogID(1); log <= logs; log++ {
		q.checkLive(t, log)
	}
}

// readLive finds and reads what is live of a log both before and after.
func (q *queues) readLive(log LogID) error {
	q.mu.RLock()
	end := q.ends[log]
	q.mu.RUnlock()
	it := q.Find(log, 0, end)
	var places []Place
	for it.Next() {
		places = append(places, it.Place())
	}
	if err := it.Err(); err != nil {
		return err
	}
	pin := it.Detach()
	defer pin.Close()
	next := int64(0)
	for _, p := range append(places, Place{Extent: Extent{Base: end}}) {
		if next < min(p.Base, end) && q.live(log, next, min(p.Base, end)) {
			return fmt.Errorf("log %d: nothing live was found from offset %d to %d", log, next, p.Base)
		}
		next = p.End()
		b := make([]byte, p.Bytes)
		if err := q.Read(context.Background(), p.File, p.Pos, b); p.Bytes > 0 && err != nil {
			return fmt.Errorf("%+v: %w", p, err)
		}
		if err := verifyBatches(p.Extent, b); err != nil {
			return fmt.Errorf("%+v: %w", p, err)
		}
	}
	return nil
}

// readRange walks a log and checks that nothing is missing or doubled.
func readRange(h *house, log LogID, from, to int64, start *atomic.Int64) error {
	it := h.Find(log, from, to)
	pin := (*Pin)(nil)
	var places []Place
	for it.Next() {
		places = append(places, it.Place())
	}
	err := it.Err()
	if err != nil {
		return err
	}
	pin = it.Detach()
	defer pin.Close()
	next := from
	for i, p := range places {
		// Only the first may begin elsewhere: below, or above after a trim.
		if (i == 0 && p.Base > max(from, start.Load())) || (i > 0 && p.Base != next) {
			return fmt.Errorf("log %d from %d to %d: %+v comes after %d", log, from, to, p, next)
		}
		next = p.End()
		b := make([]byte, p.Bytes)
		if err := h.Read(context.Background(), p.File, p.Pos, b); err != nil {
			return fmt.Errorf("%+v: %w", p, err)
		}
		if err := verifyBatches(p.Extent, b); err != nil {
			return fmt.Errorf("%+v: %w", p, err)
		}
	}
	if next < to && start.Load() < to {
		return fmt.Errorf("log %d from %d to %d: ended at %d", log, from, to, next)
	}
	return askAll(h, log, from, to)
}

func askAll(h *house, log LogID, from, to int64) error {
	for _, it := range []*Iter{h.FindTime(log, from, to, (from+to)/2), h.FindMaxTime(log, from, to)} {
		it.Next()
		err := it.Err()
		it.Close()
		if err != nil {
			return err
		}
	}
	h.Size(log)
	_, err := h.Bytes(log, from)
	return err
}

// maintain is the background worker: it indexes, trims, rewrites and removes.
func maintain(h *house, sealed <-chan engine.FileID, starts, ends *[6]atomic.Int64) error {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(3, 3))
	number := uint64(0)
	for range sealed {
		for _, id := range h.Unindexed() {
			if err := h.BuildIdx(ctx, id); err != nil {
				return err
			}
		}
		log := 1 + r.IntN(len(starts)-1)
		start, end := starts[log].Load(), ends[log].Load()
		start += r.Int64N(end - start + 1)
		starts[log].Store(start)
		h.SetStart(LogID(log), start)
		if files := h.Candidates(Policy{SmallFiles: 3, DeadShare: 0.2}); files != nil {
			number++
			if err := rewriteAndReplace(ctx, h, RewrittenFile(number), files); err != nil {
				return err
			}
		}
		if err := removeDead(h); err != nil {
			return err
		}
	}
	return removeDead(h)
}

func rewriteAndReplace(ctx context.Context, h *house, id engine.FileID, files []engine.FileID) error {
	res, err := h.Rewrite(ctx, id, files)
	if err != nil || res.Extents == 0 {
		return err
	}
	return h.Replace(files, id)
}

func removeDead(h *house) error {
	for _, id := range h.DeadFiles() {
		gone, err := h.Remove(id)
		if err != nil {
			return err
		}
		if gone && !IsRewritten(id) {
			if err := h.journal.Trim(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// With nobody reading, the memory of what is gone is let go of too.
func TestNothingIsLeft(t *testing.T) {
	h := twoFiles(t)
	must(t, rewriteAndReplace(context.Background(), h, RewrittenFile(1), []engine.FileID{1, 2}))
	for log := range LogID(4) {
		h.Drop(log)
	}
	must(t, removeDead(h))
	if len(h.files)+len(h.order)+len(h.logs)+len(h.pending)+len(h.epochs) > 0 {
		t.Errorf("%d files, %d logs, %d epochs are left", len(h.files), len(h.logs), len(h.epochs))
	}
	if left := h.blobsThere(t); len(left) > 0 {
		t.Errorf("blobs are left: %v", left)
	}
	if _, err := h.Bytes(1, math.MinInt64); err != nil {
		t.Error(err)
	}
}
