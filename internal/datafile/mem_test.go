package datafile

import (
	"context"
	"math"
	"runtime"
	"testing"
)

// heap is how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemory measures the heap of an Index over a million extents of one
// message in closed files, 10,000 logs with 100 each, and what one more closed
// file takes; ten million extents in 80 files are to take less than 60 MB,
// with a full page cache and an open file.
func TestMemory(t *testing.T) {
	const logs, rounds, files = 10_000, 12, 8
	const target, targetFiles = 60_000_000, 80
	f := newFiller(t, logs)
	before := heap()
	f.closed(t, 1, rounds)
	first := heap()
	for id := uint64(2); id <= files; id++ {
		f.closed(t, id, rounds)
	}
	closed := heap()
	f.file(t, files+1, rounds)
	open := heap()
	fillCache(t, f.x)
	full := heap()

	perFile := (closed - first) / (files - 1)
	perSpan := perFile / logs
	perOpen := (open - closed) / (logs * rounds)
	// The cache of one process does not grow beyond its size.
	cache := max(full-open, 16<<20)
	all := (first - before) + perFile*(targetFiles-1) + (open - closed) + cache
	t.Logf("first file %d KB, each further one %d KB (%d bytes a log), open file %d bytes an extent, cache %d KB; %d files: %.1f MB",
		(first-before)>>10, perFile>>10, perSpan, perOpen, cache>>10, targetFiles, float64(all)/1e6)
	if perSpan > 40 {
		t.Errorf("a log takes %d bytes in each closed file", perSpan)
	}
	if perOpen > 40 {
		t.Errorf("an extent of an open file takes %d bytes", perOpen)
	}
	if all > target {
		t.Errorf("10 million extents would take %d bytes", all)
	}
	runtime.KeepAlive(f)
}

// Where a log has holes, a span takes 12 bytes more, and no log of a shard
// takes more than a few before it has any.
func TestMemoryOfHoles(t *testing.T) {
	const logs, rounds, files = 10_000, 4, 8
	f := newFiller(t, logs)
	f.x.cfg.Live = func(LogID, int64, int64) bool { return true }
	for id := uint64(1); id <= files; id++ {
		f.closed(t, id, rounds)
	}
	before := heap()
	for log := range LogID(logs) {
		for at := int64(0); at < files*rounds; at += rounds {
			f.x.Kill(log+1, at+1, at+2)
		}
	}
	f.x.DeadFiles()
	if per := (heap() - before) / (logs * files); per > 16 {
		t.Errorf("a span takes %d bytes more", per)
	}
	runtime.KeepAlive(f)
}

// fillCache reads every page of all .idx blobs.
func fillCache(t testing.TB, x *Index) {
	t.Helper()
	for _, id := range x.logIDs() {
		if n := len(collect(t, x.Find(id, 0, math.MaxInt64))); n == 0 {
			t.Fatalf("log %d has nothing", id)
		}
	}
}

// Extents in RAM take 24 bytes and a little, however they grew.
func TestOpenFileIsCompact(t *testing.T) {
	f := newFiller(t, 1000)
	before := heap()
	f.file(t, 1, 200)
	if per := (heap() - before) / 200_000; per > 32 {
		t.Errorf("%d bytes an extent", per)
	}
	runtime.KeepAlive(f)
}

// Building an .idx lets go of the extents.
func TestBuildIdxFreesMemory(t *testing.T) {
	f := newFiller(t, 100)
	f.closed(t, 1, 1)
	before := heap()
	f.file(t, 2, 2000)
	f.x.Seal(2)
	full := heap()
	must(t, f.x.BuildIdx(context.Background(), 2))
	if left, had := heap()-before, full-before; left > had/20 {
		t.Errorf("%d bytes of %d are left", left, had)
	}
	runtime.KeepAlive(f)
}

// A log whose records die as fast as they come has one span in the file that
// is written to, and none once the file is sealed.
func TestConsumedAtOnce(t *testing.T) {
	const n = 100_000
	x := New(Config{Blobs: newBlobs(t)})
	before := heap()
	for i := range int64(n) {
		must(t, x.Add(1, []Extent{{Log: 1, Base: i, Count: 1, Pos: i * 100, Bytes: 100}}))
		x.SetStart(1, i+1)
	}
	if per := (heap() - before) / n; per > 32 {
		t.Errorf("%d bytes an extent", per)
	}
	if u := x.Files()[0]; u.Live != 0 || len(x.logs[1].spans) != 1 {
		t.Errorf("%+v, %d spans", u, len(x.logs[1].spans))
	}
	x.Seal(1)
	if dead := x.DeadFiles(); len(dead) != 1 || len(x.logs[1].spans) != 0 {
		t.Errorf("dead: %v, %d spans", dead, len(x.logs[1].spans))
	}
	must(t, x.Add(2, []Extent{{Log: 1, Base: n, Count: 1, Bytes: 100}}))
	if got := collect(t, x.Find(1, 0, math.MaxInt64)); len(got) != 1 || got[0].File != 2 {
		t.Errorf("got %+v", got)
	}
}
