package sim

import (
	"flag"
	"fmt"
	"testing"
)

var (
	seeds = flag.Int("seeds", 24, "how many seeds to run")
	first = flag.Uint64("first", 1, "the first seed")
	trace = flag.Bool("steps", false, "print what happens, step by step")
)

// TestSeeds runs each seed twice, with one shard or with three, and compares
// the traces.
func TestSeeds(t *testing.T) {
	var sum Report
	for i := range uint64(*seeds) {
		opt := Options{Seed: *first + i, Shards: 1, Steps: 400}
		if opt.Seed%2 == 0 {
			opt.Shards = 3
		}
		if *trace {
			opt.Log = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
		}
		r, err := Run(opt)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Run(opt)
		if err != nil || again.Hash != r.Hash {
			t.Fatalf("seed %d: a second run differs (%v)", opt.Seed, err)
		}
		sum.Acked += r.Acked
		sum.Crashes += r.Crashes
		sum.Recoveries += r.Recoveries
		sum.TornOpens += r.TornOpens
		sum.Compared += r.Compared
		sum.Checkpoints += r.Checkpoints
		sum.Refused += r.Refused
		sum.Confirmed += r.Confirmed
		sum.Settled += r.Settled
	}
	t.Logf("%d seeds, each twice: %d batches acknowledged, %d crashes, %d recoveries, %d more crashed in recovery, %d states compared, %d checkpoints spoilt, %d appends refused on a full disk, %d messages confirmed, %d settled",
		*seeds, sum.Acked, sum.Crashes, sum.Recoveries, sum.TornOpens, sum.Compared, sum.Checkpoints, sum.Refused, sum.Confirmed, sum.Settled)
	if *seeds >= 20 && (sum.Acked == 0 || sum.Crashes == 0 || sum.TornOpens == 0 || sum.Compared == 0 || sum.Checkpoints == 0 || sum.Refused == 0 || sum.Confirmed == 0 || sum.Settled == 0) {
		t.Error("the simulation does not reach what it is for")
	}
}
