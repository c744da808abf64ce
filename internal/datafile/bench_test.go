package datafile

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// One slot with a message for each of 1000 of 10,000 logs.
func BenchmarkAdd(b *testing.B) {
	const logs, inSlot = 10_000, 1000
	b.ReportAllocs()
	var x *Index
	slot := make([]Extent, inSlot)
	next := make([]int64, logs)
	var pos, at int64
	for i := 0; b.Loop(); i++ {
		if i%128 == 0 { // a new file, as after 128 MiB
			b.StopTimer()
			x = New(Config{})
			clear(next)
			pos = 0
			b.StartTimer()
		}
		for j := range slot {
			log := at % logs
			slot[j] = Extent{Log: LogID(log), Base: next[log], Count: 1, Pos: pos, Bytes: 1000}
			next[log]++
			pos += 1000
			at++
		}
		must(b, x.Add(1, slot))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/inSlot, "ns/extent")
}

// One log that is written alone: everything merges.
func BenchmarkAddMerged(b *testing.B) {
	x := New(Config{})
	slot := make([]Extent, 1)
	var pos, file int64 = 0, 1
	b.ReportAllocs()
	for i := int64(0); b.Loop(); i++ {
		if pos > 128<<20 {
			file++
			pos = 0
		}
		slot[0] = Extent{Log: 1, Base: i, Count: 1, Pos: pos, Bytes: 1000}
		pos += 1000
		must(b, x.Add(engine.FileID(file), slot))
	}
}

// find looks up one extent of a random log.
func find(b *testing.B, f *filler, r *rand.Rand) {
	log := r.IntN(len(f.next))
	it := f.x.Find(LogID(log+1), r.Int64N(f.next[log]), math.MaxInt64)
	if !it.Next() {
		b.Fatal(it.Err())
	}
	it.Close()
}

func BenchmarkFindRAM(b *testing.B) {
	f := newFiller(b, 10_000)
	f.file(b, 1, 12)
	r := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		find(b, f, r)
	}
}

func benchmarkFindIdx(b *testing.B, cache int64) {
	f := newFiller(b, 10_000)
	f.x = New(Config{Blobs: f.x.cfg.Blobs, CacheBytes: cache})
	for id := uint64(1); id <= 8; id++ {
		f.closed(b, id, 12)
	}
	r := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		find(b, f, r)
	}
}

func BenchmarkFindIdxCached(b *testing.B)   { benchmarkFindIdx(b, 64<<20) }
func BenchmarkFindIdxUncached(b *testing.B) { benchmarkFindIdx(b, pageBytes) }

// A consumer that is far behind walks a log over eight files.
func BenchmarkWalkIdx(b *testing.B) {
	f := newFiller(b, 100)
	for id := uint64(1); id <= 8; id++ {
		f.closed(b, id, 1200)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := 0
		it := f.x.Find(LogID(i%100+1), 0, math.MaxInt64)
		for it.Next() {
			n++
		}
		it.Close()
		if n != 9600 {
			b.Fatal(n, it.Err())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/9600, "ns/extent")
}

func BenchmarkBuildIdx(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		f := newFiller(b, 10_000)
		f.file(b, 1, 12)
		f.x.Seal(1)
		b.StartTimer()
		must(b, f.x.BuildIdx(context.Background(), 1))
	}
}

// A start with 10 GB in 80 files.
func BenchmarkLoad(b *testing.B) {
	const files = 80
	f := newFiller(b, 10_000)
	for id := uint64(1); id <= files; id++ {
		f.closed(b, id, 12)
	}
	b.ReportAllocs()
	for b.Loop() {
		x := New(f.x.cfg)
		for id := uint64(1); id <= files; id++ {
			must(b, x.Load(journalFile(id)))
		}
		x.Close()
	}
}

// Ten messages of each of 10,000 logs in eight files are killed, one by one, in
// the order of arrival, and then the owner is asked about what was touched.
func BenchmarkKill(b *testing.B) {
	const logs, files, rounds = 10_000, 8, 12
	f := newFiller(b, logs)
	for id := uint64(1); id <= files; id++ {
		f.closed(b, id, rounds)
	}
	f.x.cfg.Live = func(_ LogID, from, to int64) bool { return (to-1)/rounds*rounds+10 < to }
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		x := New(f.x.cfg)
		for id := uint64(1); id <= files; id++ {
			must(b, x.Load(journalFile(id)))
		}
		b.StartTimer()
		for file := range int64(files) {
			for i := range int64(10) {
				for log := range LogID(logs) {
					x.Kill(log+1, file*rounds+i, file*rounds+i+1)
				}
			}
		}
		if dead := x.DeadFiles(); len(dead) != 0 {
			b.Fatal(dead)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(10*logs*files), "ns/kill")
}

// A start with 80 files, of which eleven twelfths are dead, in 80 ranges for each
// of 10,000 logs. Every second file is dead altogether.
func BenchmarkKillAtStart(b *testing.B) {
	const logs, files, rounds = 10_000, 80, 12
	f := newFiller(b, logs)
	for id := uint64(1); id <= files; id++ {
		f.closed(b, id, rounds)
	}
	f.x.cfg.Live = func(_ LogID, from, to int64) bool { return from/(2*rounds)*(2*rounds)+2 > from }
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		x := New(f.x.cfg)
		for id := uint64(1); id <= files; id++ {
			must(b, x.Load(journalFile(id)))
		}
		b.StartTimer()
		for log := range LogID(logs) {
			for at := int64(0); at < files*rounds; at += 2 * rounds {
				x.Kill(log+1, at+2, at+rounds/2)
				x.Kill(log+1, at+rounds/2, at+2*rounds)
			}
		}
		if dead := x.DeadFiles(); len(dead) != files/2 {
			b.Fatal(dead)
		}
	}
}

// Two files with 32 MiB of 1 KB batches of 1000 logs each, read from the
// memory of the test and written to a file.
func BenchmarkRewrite(b *testing.B) {
	h := newHouse(b)
	logs := make([]LogID, 1000)
	for i := range logs {
		logs[i] = LogID(i + 1)
	}
	for file := engine.FileID(1); file <= 2; file++ {
		for range 32 {
			h.write(b, file, 1024, logs...)
		}
		h.close(b, file)
	}
	b.ReportAllocs()
	b.SetBytes(2 * 32 * 1000 * 1024)
	for i := uint64(1); b.Loop(); i++ {
		id := RewrittenFile(i)
		if _, err := h.Rewrite(context.Background(), id, []engine.FileID{1, 2}); err != nil {
			b.Fatal(err)
		}
		if gone, err := h.Remove(id); !gone || err != nil {
			b.Fatal(fmt.Sprint(gone, err))
		}
	}
}
