package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: ", what)
		}
	}
}

// hastyFixture is a broker with goroutines of its own, to which nobody says
// when to do background work.
func hastyFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), fileBytes: 256 << 10, shards: 1, hasty: true, clock: &clock{now: time.Now()}}
	f.open()
	t.Cleanup(f.close)
	return f
}

// checkpoints are the names of the checkpoints.
func (f *fixture) checkpoints() string {
	f.t.Helper()
	names, err := f.eng.Blobs().List("0000/checkpoint/")
	if err != nil {
		f.t.Fatal(err)
	}
	return fmt.Sprint(names)
}

// TestMaintenanceRunsByItself: checkpoints, indexes, rewrites, retention and
// trimming come without anybody asking for them. At the end nobody writes any
// more, and the space of dead files is still given back.
func TestMaintenanceRunsByItself(t *testing.T) {
	f := hastyFixture(t)
	ctx := context.Background()
	big := strings.Repeat("x", 40_000)
	kept := f.create("kept", 1, nil).Partitions[0]
	gone := f.create("gone", 1, nil)
	before := f.checkpoints()
	for i := range 40 {
		f.append(gone.Partitions[0], f.batch(-1, -1, -1, big))
		f.append(kept, f.batch(9, 0, int32(i), fmt.Sprint(i)))
	}
	eventually(t, "a checkpoint of what was written", func() bool { return f.checkpoints() != before })
	eventually(t, "the .idx of closed files", func() bool { n, _ := f.files(); return n > 4 && f.blobs("0000/idx/") >= n-2 })

	if err := f.DeleteTopic(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "files rewritten and trimmed", func() bool { n, _ := f.files(); return n <= 3 })
	if f.blobs("0000/data/") == 0 {
		t.Fatal("what is live was not rewritten")
	}
	if got := f.read(kept, 0); len(got) != 40 || got[39] != "39" {
		t.Fatalf("%d records after a rewrite", len(got))
	}

	short := f.create("short", 1, map[string]string{"retention.ms": "50"}).Partitions[0]
	for range 20 {
		f.append(short, f.batch(-1, -1, -1, big))
	}
	eventually(t, "retention", func() bool { b := short.Bounds(); return b.Start == b.HighWatermark })
	eventually(t, "files trimmed while nobody writes", func() bool { n, _ := f.files(); return n <= 3 })
	if f.Err() != nil {
		t.Fatal(f.Err())
	}
}

// TestCheckpointDuringRewrite: a rewrite that takes long does not keep
// checkpoints from being made.
func TestCheckpointDuringRewrite(t *testing.T) {
	f := &fixture{t: t, dir: t.TempDir(), fileBytes: 256 << 10, shards: 1, inline: true, rewriting: true, clock: &clock{now: time.Now()}}
	f.open()
	t.Cleanup(f.close)
	p := f.create("t", 1, nil).Partitions[0]
	for i := range 3 {
		before := f.checkpoints()
		f.append(p, f.batch(9, 0, int32(i), "x"))
		if got := f.checkpoints(); got != before {
			t.Fatalf("a checkpoint came by itself: %s", got)
		}
		if err := f.Yield(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.checkpoints() == before {
			t.Fatal("no checkpoint between two reads of a rewrite")
		}
	}
}
