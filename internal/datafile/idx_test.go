package datafile

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

func journalFile(n uint64) engine.FileID { return engine.FileID(n) }

// A block gives back what was put in, and seeks to it.
func TestBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := randomExtents(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 600).Draw(t, "n"))
		var w blockWriter
		w.reset()
		n := 0
		for n < len(in) && w.add(in[n]) {
			n++
		}
		page := w.finish()
		sealPage(page, 7, 3, kindBlock, w.n)
		records, reason := checkPage(page, 7, 3, kindBlock)
		if reason != "" || records != n {
			t.Fatalf("%d records of %d: %s", records, n, reason)
		}
		r, ok := newBlockReader(page, records)
		if !ok {
			t.Fatal("bad restarts")
		}
		for i, want := range in[:n] {
			if got, more, ok := r.next(); got != want || !more || !ok {
				t.Fatalf("extent %d is %+v, want %+v", i, got, want)
			}
		}
		if _, more, ok := r.next(); more || !ok {
			t.Fatal("no end")
		}
		want := rapid.SampledFrom(in[:n]).Draw(t, "sought")
		if !r.seek(want.Log, want.Base) {
			t.Fatal("seek")
		}
		for i := 0; ; i++ {
			got, more, ok := r.next()
			if !more || !ok || i >= restartEvery {
				t.Fatalf("%+v not found in %d steps", want, i)
			}
			if got == want {
				break
			}
		}
	})
}

// In an .idx of many blocks every offset is found, in any way.
func TestManyBlocks(t *testing.T) {
	in := randomExtents(5, 70_000)
	x := New(Config{Blobs: newBlobs(t), CacheBytes: 8 * pageBytes, MergeBytes: 1})
	must(t, x.Add(1, in))
	x.Seal(1)
	must(t, x.BuildIdx(context.Background(), 1))
	y := New(x.cfg)
	must(t, y.Load(1))
	byLog := make(map[LogID][]Extent)
	for _, e := range in {
		byLog[e.Log] = append(byLog[e.Log], e)
	}
	if len(byLog) < 3 || y.files[1].idx.blocks <= fencesPerPage {
		t.Fatalf("%d logs in %d blocks are too few", len(byLog), y.files[1].idx.blocks)
	}
	r := rand.New(rand.NewPCG(9, 9))
	for _, ix := range []*Index{x, y} {
		for log, all := range byLog {
			if got := collect(t, ix.Find(log, 0, math.MaxInt64)); len(got) != len(all) || got[0].Extent != all[0] {
				t.Fatalf("log %d: %d extents, want %d", log, len(got), len(all))
			}
			for range 300 {
				checkManyBlocks(t, ix, log, all, r)
			}
		}
	}
}

func checkManyBlocks(t *testing.T, x *Index, log LogID, all []Extent, r *rand.Rand) {
	t.Helper()
	i := r.IntN(len(all))
	from := all[i].Base + r.Int64N(all[i].Count)
	it := x.Find(log, from, math.MaxInt64)
	for _, want := range all[i:min(i+40, len(all))] {
		if !it.Next() || it.Place().Extent != want {
			t.Fatalf("from %d: got %+v, %v; want %+v", from, it.Place(), it.Err(), want)
		}
	}
	it.Close()

	to := min(from+r.Int64N(1<<20), all[len(all)-1].End())
	inside := slices.Clone(all[i:])
	inside = slices.DeleteFunc(inside, func(e Extent) bool { return e.Base >= to })
	since := int64(1)<<41 - r.Int64N(1<<r.IntN(41))
	young := slices.DeleteFunc(slices.Clone(inside), func(e Extent) bool { return e.MaxTime < since })
	got := collect(t, x.FindTime(log, from, to, since))
	if !slices.EqualFunc(got, young, func(p Place, e Extent) bool { return p.Extent == e }) {
		t.Fatalf("FindTime(%d, %d, %d): %d extents, want %d", from, to, since, len(got), len(young))
	}
	if len(inside) == 0 {
		return
	}
	top := slices.MaxFunc(inside, func(a, b Extent) int { return int(a.MaxTime - b.MaxTime) })
	it = x.FindMaxTime(log, from, to)
	if !it.Next() || it.Place().Extent != inside[slices.IndexFunc(inside, func(e Extent) bool { return e.MaxTime == top.MaxTime })] {
		t.Fatalf("FindMaxTime(%d, %d) = %+v, want %+v", from, to, it.Place(), top)
	}
	it.Close()
}

// A flipped bit anywhere in an .idx is found by the first who looks there.
func TestDamagedIdx(t *testing.T) {
	in := randomExtents(6, 20_000)
	x := New(Config{Blobs: newBlobs(t), MergeBytes: 1})
	must(t, x.Add(1, in))
	x.Seal(1)
	must(t, x.BuildIdx(context.Background(), 1))
	blobs, name := x.cfg.Blobs.(dirBlobs), idxName(0, 1)
	pages := map[string]int{"header": 0, "block": 1 + int(x.files[1].idx.blocks)/2, "fence": 1 + int(x.files[1].idx.blocks)}
	blobs.change(t, name, func(b []byte) []byte {
		pages["directory"] = len(b)/pageBytes - 2
		pages["trailer"] = len(b)/pageBytes - 1
		return b
	})
	for what, page := range pages {
		for _, at := range []int{0, 9, 4 + pageBytes/2, pageBytes - 1} {
			flip := func(b []byte) []byte { b[page*pageBytes+at] ^= 0x10; return b }
			blobs.change(t, name, flip)
			err := readAll(New(x.cfg), in)
			var d *engine.ErrDamaged
			if !errors.As(err, &d) && !(what == "header" && errors.Is(err, engine.ErrNewer)) {
				t.Errorf("%s, byte %d: got %v", what, at, err)
			}
			blobs.change(t, name, flip)
		}
	}
	must(t, readAll(New(x.cfg), in))
	for _, cut := range []int{0, 1, pageBytes - 1, pageBytes, 5 * pageBytes} {
		var whole []byte
		blobs.change(t, name, func(b []byte) []byte { whole = slices.Clone(b); return b[:cut] })
		var d *engine.ErrDamaged
		if err := readAll(New(x.cfg), in); !errors.As(err, &d) {
			t.Errorf("cut to %d bytes: got %v", cut, err)
		}
		blobs.change(t, name, func([]byte) []byte { return whole })
	}
	must(t, blobs.Delete(name))
	if err := New(x.cfg).Load(1); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("no blob: got %v", err)
	}
}

// readAll loads file 1 and reads every page of its .idx.
func readAll(x *Index, in []Extent) error {
	defer x.Close()
	if err := x.Load(1); err != nil {
		return err
	}
	for i, e := range in {
		if i > 0 && in[i-1].Log == e.Log {
			continue
		}
		for _, it := range []*Iter{x.Find(e.Log, 0, math.MaxInt64), x.FindTime(e.Log, 0, math.MaxInt64, 1<<40)} {
			for it.Next() {
			}
			it.Close()
			if err := it.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// A damaged .idx that is found when it is used is repaired in place.
func TestRebuildInPlace(t *testing.T) {
	in := randomExtents(7, 20_000)
	x := New(Config{Blobs: newBlobs(t), MergeBytes: 1, OpenMax: 1})
	must(t, x.Add(1, in))
	x.Seal(1)
	ctx := context.Background()
	must(t, x.BuildIdx(ctx, 1))
	last := in[len(in)-1]
	if got := collect(t, x.Find(last.Log, last.Base, math.MaxInt64)); len(got) != 1 || len(x.Spoilt()) > 0 {
		t.Fatalf("before the damage: %+v, spoilt: %v", got, x.Spoilt())
	}
	x.store.cache = newPageCache(x.cfg.CacheBytes)
	x.Close() // no blob is open
	x.cfg.Blobs.(dirBlobs).change(t, idxName(0, 1), func(b []byte) []byte {
		b[int(x.files[1].idx.blocks)*pageBytes+77] ^= 1
		return b
	})
	it := x.Find(last.Log, last.Base, math.MaxInt64)
	var d *engine.ErrDamaged
	if it.Next() || !errors.As(it.Err(), &d) {
		t.Fatalf("a damaged block was read: %v", it.Err())
	}
	it.Close()
	if got := x.Spoilt(); !slices.Equal(got, []engine.FileID{1}) {
		t.Fatalf("spoilt: %v", got)
	}
	broken := errors.New("no slots")
	if err := x.Rebuild(ctx, 1, func(func([]Extent) error) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	must(t, x.Rebuild(ctx, 1, func(add func([]Extent) error) error { return add(in) }))
	if got := collect(t, x.Find(last.Log, last.Base, math.MaxInt64)); len(got) != 1 || got[0].Extent != last {
		t.Fatalf("after the repair: %+v", got)
	}
	if got := x.Spoilt(); len(got) > 0 {
		t.Fatalf("spoilt after the repair: %v", got)
	}
}

// thinIdx writes an .idx of file 1 with n logs, of which every third has holes,
// and returns its directory.
func thinIdx(t testing.TB, blobs dirBlobs, n int) []entry {
	t.Helper()
	b, err := blobs.Create(idxName(0, 1))
	must(t, err)
	w, err := newIdxWriter(b, 1)
	must(t, err)
	pos := int64(0)
	for log := range LogID(n) {
		r := logRun{holes: log%3 == 0, live: 40 + int64(log)%9}
		for i := range int64(4) {
			must(t, w.add(Extent{Log: log, Base: 20 * i, Count: 10 + int64(log%3), Pos: pos, Bytes: 100}, false, r))
			pos += 100
		}
	}
	_, err = w.finish()
	must(t, err)
	must(t, b.Commit())
	return w.dir
}

// How much of a line was live is in the shares, and as before they existed all
// of it if there is none.
func TestShares(t *testing.T) {
	blobs := newBlobs(t)
	want := thinIdx(t, blobs, 3000)
	for i, e := range want {
		if held := 4 * (10 + uint32(i%3)); e.count != 70+uint32(i%3) || (i%3 == 0) != (e.live == held) || (i%3 != 0 && e.live != e.count) {
			t.Fatalf("line %d: %+v", i, e)
		}
	}
	s := newStore(blobs, 1<<20, 4)
	read := func() ([]entry, error) {
		s.close()
		ix, tr, err := s.openIdx(idxName(0, 1), 1)
		if err != nil {
			return nil, err
		}
		return s.directory(ix, tr)
	}
	if got, err := read(); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	blobs.change(t, idxName(0, 1), func(b []byte) []byte { b[len(b)-2*pageBytes+50] ^= 1; return b })
	var d *engine.ErrDamaged
	if _, err := read(); !errors.As(err, &d) {
		t.Errorf("a damaged share: %v", err)
	}
	for what, bad := range map[string][2]uint32{"no line": {3000, 1}, "nothing": {2999, 0}, "all": {2999, 71}, "again": {0, 1}} {
		blobs.change(t, idxName(0, 1), func(b []byte) []byte {
			p := b[len(b)-2*pageBytes : len(b)-pageBytes]
			last := p[pageHeadBytes+shareBytes*(int(le.Uint16(p[6:]))-1):]
			le.PutUint32(last, bad[0])
			le.PutUint32(last[4:], bad[1])
			reseal(b)
			return b
		})
		if _, err := read(); !errors.As(err, &d) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// An .idx of version 1, which has no shares, is read.
func TestVersion1(t *testing.T) {
	f := newFiller(t, 3)
	f.closed(t, 1, 10)
	f.x.cfg.Blobs.(dirBlobs).change(t, idxName(0, 1), func(b []byte) []byte {
		b[8] = 1
		reseal(b)
		return b
	})
	x := New(f.x.cfg)
	must(t, x.Load(1))
	if got := collect(t, x.Find(2, 0, math.MaxInt64)); len(got) != 10 || x.Size(2) != 10_000 {
		t.Errorf("got %+v, %d bytes", got, x.Size(2))
	}
}

// The version is looked at before the checksum.
func TestNewerVersion(t *testing.T) {
	f := newFiller(t, 3)
	f.closed(t, 1, 10)
	newer := func(b []byte) []byte { b[8]++; return b }
	f.x.cfg.Blobs.(dirBlobs).change(t, idxName(0, 1), newer)
	if err := New(f.x.cfg).Load(1); !errors.Is(err, engine.ErrNewer) {
		t.Fatalf("got %v", err)
	}
}

// The offsets of a log may lie further apart than a line of the directory can
// say.
func TestWideGaps(t *testing.T) {
	x := New(Config{Blobs: newBlobs(t)})
	var in []Extent
	for i := range int64(20) {
		in = append(in, Extent{Log: 1, Base: i << 33, Count: 1 << 31, Pos: i * 100, Bytes: 100, MaxTime: i})
	}
	must(t, x.Add(1, in))
	x.Seal(1)
	must(t, x.BuildIdx(context.Background(), 1))
	y := New(x.cfg)
	must(t, y.Load(1))
	for _, ix := range []*Index{x, y} {
		got := collect(t, ix.Find(1, 0, math.MaxInt64))
		if !slices.EqualFunc(got, in, func(p Place, e Extent) bool { return p.Extent == e }) {
			t.Fatalf("got %+v", got)
		}
		if got := collect(t, ix.Find(1, 3<<33+1<<31, 5<<33)); len(got) != 1 || got[0].Extent != in[4] {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	good := Extent{Log: 1, Base: 10, Count: 5, Pos: 0, Bytes: 100}
	for what, bad := range map[string]Extent{
		"overlap":         {Log: 1, Base: 14, Count: 1, Pos: 100, Bytes: 10},
		"no offsets":      {Log: 1, Base: 15, Count: 0, Pos: 100, Bytes: 10},
		"too many":        {Log: 1, Base: 15, Count: 1 << 32, Pos: 100, Bytes: 10},
		"no bytes":        {Log: 1, Base: 15, Count: 1, Pos: 100, Bytes: 0},
		"negative":        {Log: 2, Base: -1, Count: 1, Pos: 100, Bytes: 10},
		"far":             {Log: 2, Base: 1, Count: 1, Pos: MaxFileBytes - 9, Bytes: 10},
		"offset overflow": {Log: 2, Base: math.MaxInt64, Count: 1, Pos: 100, Bytes: 10},
	} {
		x := New(Config{Blobs: newBlobs(t)})
		must(t, x.Add(1, []Extent{good}))
		if err := x.Add(1, []Extent{bad}); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// A file in which nothing is live is about to go, and needs no .idx.
func TestDeadFilesNeedNoIdx(t *testing.T) {
	x := New(Config{Blobs: newBlobs(t)})
	must(t, x.Add(1, []Extent{{Log: 1, Base: 0, Count: 10, Pos: 0, Bytes: 100}}))
	must(t, x.Add(2, []Extent{{Log: 1, Base: 10, Count: 10, Pos: 0, Bytes: 100}}))
	x.Seal(1)
	x.Seal(2)
	if got := x.Unindexed(); len(got) != 2 {
		t.Fatalf("unindexed: %v", got)
	}
	x.SetStart(1, 10)
	if got := x.Unindexed(); !slices.Equal(got, []engine.FileID{2}) {
		t.Fatalf("unindexed with file 1 dead: %v", got)
	}
	if gone, err := x.Remove(1); !gone || err != nil {
		t.Fatalf("removed: %v, %v", gone, err)
	}
}
