package main

import (
	"strings"
	"testing"
	"time"
)

// TestVerdict: one goal that is missed is enough, before the restart or after.
func TestVerdict(t *testing.T) {
	has := func(bytes int64) memory { return memory{Resident: bytes} }
	for _, c := range []struct {
		idle, backlog, restarted, settled int64
		missed                            int
	}{
		{49e6, 149e6, 149e6, 149e6, 0},
		{50e6, 1, 1, 1, 1},
		{1, 150e6, 1, 1, 1},
		{1, 1, 150e6, 1, 1},
		{1, 1, 1, 150e6, 1},
		{50e6, 150e6, 150e6, 150e6, 2},
	} {
		r := result{Idle: has(c.idle), Backlog: has(c.backlog), Restarted: has(c.restarted), Settled: has(c.settled)}
		text, met := r.verdict()
		if met != (c.missed == 0) || strings.Count(text, "MISSED") != c.missed {
			t.Errorf("%+v: %v, %q", c, met, text)
		}
	}
}

// TestBacklog is the measurement with few messages.
func TestBacklog(t *testing.T) {
	opt := options{
		messages: 20_000, partitions: 400, topics: 4, valueBytes: 100, rate: 100,
		steady: time.Second, rewrite: time.Second, dir: t.TempDir(),
	}
	if err := opt.check(); err != nil {
		t.Fatal(err)
	}
	res, err := run(t.Context(), opt, func(what any) { t.Log(what) })
	if err != nil {
		t.Fatal(err)
	}
	if res.Steady.Produce.Count == 0 || len(res.DrainColdMillis) != drains || res.StartMillis <= 0 ||
		res.Idle.Resident <= 0 || res.Rewritten.HeapInUse <= 0 {
		t.Fatalf("nothing was measured: %+v", res)
	}
}
