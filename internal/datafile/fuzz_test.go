package datafile

import (
	"bytes"
	"context"
	"math"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// readWhole returns the blob that a file of a few extents has.
func readWhole(t testing.TB, blobs dirBlobs, name string) (b []byte) {
	blobs.change(t, name, func(p []byte) []byte { b = p; return p })
	return b
}

func idxSeed(t testing.TB, seed uint64, n int) []byte {
	x := New(Config{Blobs: newBlobs(t), MergeBytes: 1})
	must(t, x.Add(1, randomExtents(seed, n)))
	x.Seal(1)
	must(t, x.BuildIdx(context.Background(), 1))
	return readWhole(t, x.cfg.Blobs.(dirBlobs), idxName(0, 1))
}

// reseal makes the checksums right, so that what is behind them is reached.
func reseal(b []byte) {
	if len(b) < pageBytes {
		return
	}
	le.PutUint32(b[12:], headerSum(b[:pageBytes]))
	for no := 1; (no+1)*pageBytes <= len(b); no++ {
		p := b[no*pageBytes : (no+1)*pageBytes]
		le.PutUint32(p, pageSum(1, uint64(no), p))
	}
}

// FuzzIdx loads any bytes as an .idx, as they are and with all checksums made
// right, and looks everything up. It may fail, but neither panic nor hang nor
// take more memory than the blob is worth.
func FuzzIdx(f *testing.F) {
	f.Add(idxSeed(f, 1, 3), false)
	f.Add(idxSeed(f, 2, 900), true)
	// Five pages: header, block, fence, directory, trailer.
	small := idxSeed(f, 11, 3)
	for _, at := range []int{
		pageBytes + 6,        // extents in the block
		pageBytes + 8,        // the first of them
		2*pageBytes - 1,      // its restart
		2*pageBytes + 8,      // the fence
		3*pageBytes + 8 + 15, // first offset of a line in the directory
		3*pageBytes + 8 + 27, // its count
		3*pageBytes + 8 + 32, // its block
		4*pageBytes + 8,      // blocks
		4*pageBytes + 16,     // entries
	} {
		b := bytes.Clone(small)
		b[at] = 0xff
		f.Add(b, true)
	}
	// Six pages: the fifth has the shares.
	blobs := newBlobs(f)
	thinIdx(f, blobs, 10)
	thin := readWhole(f, blobs, idxName(0, 1))
	for _, at := range []int{0, 4*pageBytes + 8, 4*pageBytes + 12, 4*pageBytes + 16, 5*pageBytes + 20} {
		b := bytes.Clone(thin)
		b[at] ^= 0x7f
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, good bool) {
		if good {
			reseal(b)
		}
		x := New(Config{Blobs: memBlobs{blobs: map[string][]byte{idxName(0, 1): b}}})
		if x.Load(1) != nil {
			return
		}
		for log := range x.logs {
			n := 0
			for _, it := range []*Iter{
				x.Find(log, 0, math.MaxInt64), x.Find(log, 1000, 2000), x.FindTime(log, 50, math.MaxInt64, 1<<40), x.FindMaxTime(log, 1, 1<<20),
			} {
				for it.Next() {
					if n++; n > len(b) {
						t.Fatalf("more extents than bytes")
					}
					if p := it.Place(); p.Log != log || p.check() != nil {
						t.Fatalf("bad extent %+v of log %d", p, log)
					}
				}
				it.Close()
			}
			_, _ = x.Bytes(log, 17)
			x.Kill(log, 3, 30)
			if size := x.Size(log); size < 0 || size == 0 && len(x.logs[log].spans) > 0 {
				t.Fatalf("log %d has %d live bytes", log, size)
			}
		}
	})
}

// FuzzBlock reads any bytes as a block whose checksum was right.
func FuzzBlock(f *testing.F) {
	f.Add(idxSeed(f, 3, 600)[pageBytes:2*pageBytes], uint64(1), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, log uint64, offset int64) {
		page := make([]byte, pageBytes)
		copy(page, b)
		r, ok := newBlockReader(page, int(le.Uint16(page[6:])))
		if !ok || !r.seek(LogID(log), offset) {
			return
		}
		for range pageBytes {
			e, more, ok := r.next()
			if !more || !ok {
				return
			}
			if err := e.check(); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("a block without an end")
	})
}

func dataSeed(t testing.TB) []byte {
	h := newHouse(t)
	for range 3 {
		h.write(t, 1, 60, 1, 2)
	}
	h.close(t, 1)
	_, err := h.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1})
	must(t, err)
	return readWhole(t, h.blobs, dataName(0, RewrittenFile(1)))
}

// FuzzData goes through any bytes as a rewritten file; with good set, the
// checksums of its frames are made right on the way.
func FuzzData(f *testing.F) {
	b := dataSeed(f)
	f.Add(b, false)
	f.Add(b, true)
	f.Add(b[:len(b)-frameBytes], true)
	f.Fuzz(func(t *testing.T, b []byte, good bool) {
		id := RewrittenFile(1)
		if good {
			resealFrames(b)
		}
		x := New(Config{Blobs: memBlobs{blobs: map[string][]byte{dataName(0, id): b}}})
		n, sum := 0, int64(0)
		err := x.scanData(context.Background(), id, func(e Extent) error {
			n, sum = n+1, sum+e.Bytes
			return e.check()
		})
		if sum+int64(n)*frameBytes > int64(len(b)) {
			t.Fatalf("%d extents of %d bytes in a file of %d", n, sum, len(b))
		}
		if err == nil && pageBytes+sum+int64(n+1)*frameBytes != int64(len(b)) {
			t.Fatalf("accepted, but %d extents of %d bytes do not make %d", n, sum, len(b))
		}
	})
}

func resealFrames(b []byte) {
	if len(b) < pageBytes+frameBytes {
		return
	}
	le.PutUint32(b[12:], headerSum(b[:pageBytes]))
	seal := func(p []byte) Extent {
		f, _ := getFrame(p)
		f.put(p)
		return f.extent
	}
	seal(b[len(b)-frameBytes:])
	for pos := int64(pageBytes); pos+frameBytes <= int64(len(b)); {
		pos += frameBytes + seal(b[pos:pos+frameBytes]).Bytes
	}
}
