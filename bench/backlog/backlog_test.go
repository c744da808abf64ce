package main

import (
	"testing"
	"time"
)

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
