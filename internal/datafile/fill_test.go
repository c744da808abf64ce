package datafile

import (
	"context"
	"math/rand/v2"
	"testing"
)

// filler makes files for an Index, round-robin over logs, without any data
// behind the extents.
type filler struct {
	x    *Index
	next []int64 // by log
	pos  int64
	slot []Extent
}

func newFiller(t testing.TB, logs int) *filler {
	return &filler{
		x:    New(Config{Blobs: newBlobs(t), Journal: newJournal(), Verify: verifyBatches}),
		next: make([]int64, logs),
	}
}

// file fills a journal file with rounds of one message for each log.
func (f *filler) file(t testing.TB, id uint64, rounds int) {
	t.Helper()
	f.pos = 0
	for range rounds {
		f.slot = f.slot[:0]
		f.pos += 4096 // of slot head
		for log := range f.next {
			f.slot = append(f.slot, Extent{
				Log: LogID(log + 1), Base: f.next[log], Count: 1, Pos: f.pos, Bytes: 1000, MaxTime: 1_700_000_000_000 + f.pos>>10,
			})
			f.next[log]++
			f.pos += 1000
		}
		must(t, f.x.Add(journalFile(id), f.slot))
	}
}

// closed does the same and closes the file.
func (f *filler) closed(t testing.TB, id uint64, rounds int) {
	t.Helper()
	f.file(t, id, rounds)
	f.x.Seal(journalFile(id))
	must(t, f.x.BuildIdx(context.Background(), journalFile(id)))
}

// randomExtents makes sorted extents of a few logs, with gaps, that fill many
// blocks.
func randomExtents(seed uint64, n int) []Extent {
	r := rand.New(rand.NewPCG(seed, 1))
	var all []Extent
	log, base := LogID(r.IntN(3)), int64(0)
	pos := int64(0)
	for range n {
		if r.IntN(n/5+1) == 0 {
			log, base = log+1+LogID(r.IntN(1<<20)), 0
		}
		if r.IntN(50) == 0 {
			base += r.Int64N(1 << 20)
		}
		e := Extent{Log: log, Base: base, Count: 1 + r.Int64N(100), Pos: pos, Bytes: 1 + r.Int64N(1000), MaxTime: r.Int64N(1 << 41)}
		if r.IntN(100) == 0 {
			e.MaxTime = -1
		}
		base, pos = e.End(), pos+e.Bytes+r.Int64N(1000)
		all = append(all, e)
	}
	return all
}
