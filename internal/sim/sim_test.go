package sim

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

var (
	seeds = flag.Int("seeds", 16, "how many seeds to run")
	first = flag.Uint64("first", 1, "the first seed")
	trace = flag.Bool("steps", false, "print what happens, step by step")
)

// TestSeeds runs each seed twice, with one shard or with three, and compares
// the traces. Each runs on one goroutine, as many at a time as there are CPUs.
func TestSeeds(t *testing.T) {
	var mu sync.Mutex
	var sum Report
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	if *trace {
		g.SetLimit(1)
	}
	var failed atomic.Bool
	for i := range uint64(*seeds) {
		if failed.Load() {
			break
		}
		g.Go(func() error {
			r, err := twice(*first + i)
			if err != nil {
				failed.Store(true)
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(&r)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d seeds, each twice: %d batches acknowledged, %d crashes, %d recoveries, %d more crashed in recovery, %d states compared, %d checkpoints spoilt, %d appends refused on a full disk, %d messages confirmed, %d settled, %d delivered, %d one-time keys given out",
		*seeds, sum.Acked, sum.Crashes, sum.Recoveries, sum.TornOpens, sum.Compared, sum.Checkpoints, sum.Refused, sum.Confirmed, sum.Settled, sum.Delivered, sum.Given)
	if *seeds >= 16 && (sum.Acked == 0 || sum.Crashes == 0 || sum.TornOpens == 0 || sum.Compared == 0 || sum.Checkpoints == 0 || sum.Refused == 0 || sum.Confirmed == 0 || sum.Settled == 0 || sum.Delivered == 0 || sum.Given == 0) {
		t.Error("the simulation does not reach what it is for")
	}
}

// twice runs a seed, and again.
func twice(seed uint64) (Report, error) {
	opt := Options{Seed: seed, Shards: 1, Steps: 400}
	if seed%2 == 0 {
		opt.Shards = 3
	}
	if *trace {
		opt.Log = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	}
	r, err := Run(opt)
	if err != nil {
		return r, err
	}
	again, err := Run(opt)
	if err != nil || again.Hash != r.Hash {
		return r, fmt.Errorf("seed %d: a second run differs (%v)", seed, err)
	}
	return r, nil
}

func (sum *Report) add(r *Report) {
	sum.Acked += r.Acked
	sum.Crashes += r.Crashes
	sum.Recoveries += r.Recoveries
	sum.TornOpens += r.TornOpens
	sum.Compared += r.Compared
	sum.Checkpoints += r.Checkpoints
	sum.Refused += r.Refused
	sum.Confirmed += r.Confirmed
	sum.Settled += r.Settled
	sum.Delivered += r.Delivered
	sum.Given += r.Given
}
