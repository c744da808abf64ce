package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
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

// damage changes one byte of each file that matches a pattern below the folder.
// The broker must not have it open.
func (f *fixture) damage(pattern string, at func(b []byte) int) (n int) {
	f.t.Helper()
	names, err := filepath.Glob(filepath.Join(f.dir, pattern))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.t.Fatal(err)
		}
		i := at(b)
		if i < 0 {
			continue
		}
		b[i] ^= 1
		if err := os.WriteFile(name, b, 0o600); err != nil {
			f.t.Fatal(err)
		}
		n++
	}
	return n
}

// TestSpoiltIndexIsMadeAgain: a damaged block of an .idx is noticed by who reads
// it, and background work makes the .idx again, of journal files and of
// rewritten ones.
func TestSpoiltIndexIsMadeAgain(t *testing.T) {
	for _, rewritten := range []bool{false, true} {
		t.Run(fmt.Sprintf("rewritten=%t", rewritten), func(t *testing.T) {
			f := newFixture(t, 1)
			f.close()
			f.fileBytes = 256 << 10
			f.open()
			p := f.create("t", 1, nil).Partitions[0]
			gone := f.create("gone", 1, nil)
			other := p
			if rewritten {
				other = gone.Partitions[0]
			}
			for i := range 40 {
				f.append(p, f.batch(-1, -1, -1, fmt.Sprint(i)))
				f.append(other, f.batch(-1, -1, -1, strings.Repeat("x", 20_000)))
			}
			if err := f.DeleteTopic(context.Background(), gone.ID); err != nil {
				t.Fatal(err)
			}
			f.maintain()
			p = f.partition("t", 0)
			want := f.read(p, 0)
			if f.blobs("0000/idx/") == 0 || (f.Rewritten() > 0) != rewritten {
				t.Fatalf("%d rewritten files, %d .idx", f.Rewritten(), f.blobs("0000/idx/"))
			}
			f.close()
			if n := f.damage("blobs/0000/idx/*", func([]byte) int { return 4096 + 20 }); n == 0 {
				t.Fatal("no .idx to damage")
			}
			f.open()
			p = f.partition("t", 0)
			failed := 0
			for offset := range p.Bounds().HighWatermark {
				plan, err := f.Plan(context.Background(), p, offset, offset+1, 4096, true)
				plan.Close()
				if err != nil {
					failed++
				}
			}
			if failed == 0 {
				t.Fatal("a damaged .idx serves reads")
			}
			_ = f.Maintain(context.Background(), true) // retention may meet it first, and says so
			f.maintain()
			if got := f.read(p, 0); !maps.Equal(got, want) {
				t.Fatalf("%d records after the .idx were made again, %d before", len(got), len(want))
			}
		})
	}
}

// TestChangedOffsetIsNotServed: the checksum of a batch does not cover its
// offset. A batch whose offset is not the one that the index names is damage.
func TestChangedOffsetIsNotServed(t *testing.T) {
	f := newFixture(t, 1)
	p := f.create("t", 1, nil).Partitions[0]
	for i := range 20 {
		f.append(p, f.batch(9, 0, int32(i), fmt.Sprintf("value %d", i)))
	}
	f.close()
	// The last byte of the base offset of the batch with offset 7.
	changed := f.damage("shard-0000/journal/*", func(b []byte) int {
		i := bytes.Index(b, []byte("value 7"))
		if i < 0 {
			return -1
		}
		base := bytes.LastIndex(b[:i], []byte{0, 0, 0, 0, 0, 0, 0, 7, 0, 0})
		return base + 7
	})
	if changed != 1 {
		t.Fatalf("%d files changed", changed)
	}
	f.open()
	p = f.partition("t", 0)
	// The first time it is met under way; then it is known, and the response
	// ends before it.
	ctx := context.Background()
	for round := range 2 {
		for _, from := range []int64{0, 6, 7} {
			_, err := f.fetch(p, from)
			if damaged := kindOf(err) == broker.Damaged; damaged != (round == 0 && from == 0 || from == 7) {
				t.Errorf("round %d, from offset %d: %v", round, from, err)
			}
		}
	}
	plan, err := f.Plan(ctx, p, 0, 20, 1<<20, true)
	if err != nil || !plan.Cut() {
		t.Fatalf("%+v, %v", plan, err)
	}
	plan.Close()
	if n, err := f.fetch(p, 8); err != nil || n == 0 {
		t.Errorf("what is whole: %d bytes, %v", n, err)
	}
}

// fetch reads what a fetch from offset on gets, and returns how many bytes it is.
func (f *fixture) fetch(p *broker.Partition, offset int64) (int64, error) {
	plan, err := f.Plan(context.Background(), p, offset, p.Bounds().HighWatermark, 1<<20, true)
	if err != nil {
		return 0, err
	}
	defer plan.Close()
	return plan.WriteTo(io.Discard)
}

// TestShortenedFileIsDamage: a file that ends too soon is told as damage, and
// what it still holds is served.
func TestShortenedFileIsDamage(t *testing.T) {
	f := newFixture(t, 1)
	p := f.create("t", 1, nil).Partitions[0]
	for i := range 20 {
		f.append(p, f.batch(9, 0, int32(i), strings.Repeat("x", 30_000)))
	}
	names, err := filepath.Glob(filepath.Join(f.dir, "shard-0000/journal/*"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	const kept = 300_000
	if err := os.Truncate(names[0], kept); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fetch(p, 0); kindOf(err) != broker.Damaged {
		t.Errorf("the first time: %v", err)
	}
	if n, err := f.fetch(p, 0); err != nil || n < kept/2 || n > kept {
		t.Errorf("then: %d bytes, %v", n, err)
	}
	if _, err := f.fetch(p, 19); kindOf(err) != broker.Damaged {
		t.Errorf("what is gone: %v", err)
	}
	f.Abandon() // it cannot be closed in order
	f.eng.Close()
	f.Broker = nil
}
