package datafile

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// house is an Index over a journal with real batches.
type house struct {
	*Index
	journal *journal
	blobs   dirBlobs
	next    map[LogID]int64
}

func newHouse(t testing.TB) *house {
	h := &house{journal: newJournal(), blobs: newBlobs(t), next: make(map[LogID]int64)}
	h.Index = New(Config{Journal: h.journal, Blobs: h.blobs, Verify: verifyBatches})
	return h
}

// write adds one batch of ten records to each log.
func (h *house) write(t fataler, file engine.FileID, size int, logs ...LogID) {
	t.Helper()
	var slot []Extent
	for _, log := range logs {
		b := makeBatch(h.next[log], 10, size, byte(h.next[log]))
		slot = append(slot, Extent{Log: log, Base: h.next[log], Count: 10, Pos: h.journal.write(file, b), Bytes: int64(len(b)), MaxTime: h.next[log]})
		h.next[log] += 10
	}
	h.journal.write(file, []byte("head"))
	must(t, h.Add(file, slot))
}

func (h *house) close(t fataler, file engine.FileID) {
	t.Helper()
	h.Seal(file)
	must(t, h.BuildIdx(context.Background(), file))
}

// twoFiles has logs 1 to 3 in files 1 and 2.
func twoFiles(t testing.TB) *house {
	h := newHouse(t)
	for file := engine.FileID(1); file <= 2; file++ {
		for range 50 {
			h.write(t, file, 500, 1, 2, 3)
		}
		h.close(t, file)
	}
	return h
}

func (h *house) blobsThere(t testing.TB) []string {
	t.Helper()
	names, err := h.blobs.List("")
	must(t, err)
	return names
}

func (h *house) flip(file engine.FileID, pos int64) {
	h.journal.mu.Lock()
	h.journal.files[file][pos] ^= 1
	h.journal.mu.Unlock()
}

// Damaged data is never copied and never left out: the rewrite fails, says
// where, and leaves everything as it was.
func TestRewriteDamage(t *testing.T) {
	h := twoFiles(t)
	before := h.blobsThere(t)
	it := h.Find(2, 700, 800)
	it.Next()
	at := it.Place()
	it.Close()
	h.flip(at.File, at.Pos+100)
	_, err := h.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1, 2})
	var d *engine.ErrDamaged
	if !errors.As(err, &d) || d.Off != at.Pos {
		t.Fatalf("got %v", err)
	}
	if after := h.blobsThere(t); !slices.Equal(after, before) {
		t.Fatalf("left %v", after)
	}
	h.flip(at.File, at.Pos+100)
	if _, err := h.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1, 2}); err != nil {
		t.Fatalf("once it is whole: %v", err)
	}
}

// A rewritten file tells by itself when it is damaged: frames, bytes, end.
func TestDamagedDataFile(t *testing.T) {
	ctx := context.Background()
	h := twoFiles(t)
	one := RewrittenFile(1)
	res, err := h.Rewrite(ctx, one, []engine.FileID{1, 2})
	must(t, err)
	if res.Extents != 3 || res.Logs != 3 || res.Bytes != 2*3*50*500 {
		t.Fatalf("%+v", res)
	}
	must(t, h.Replace([]engine.FileID{1, 2}, one))
	it := h.Find(2, 0, math.MaxInt64)
	it.Next()
	second := it.Place().Pos
	it.Close()
	end := int64(pageBytes) + 3*frameBytes + res.Bytes
	var d *engine.ErrDamaged
	for what, off := range map[string]int64{"header": 17, "frame": second - 20, "bytes": second + 2000, "base offset": second, "end": end + 8} {
		flip := func(b []byte) []byte { b[off] ^= 1; return b }
		h.blobs.change(t, dataName(0, one), flip)
		y := New(h.cfg)
		err := y.Load(one)
		if err == nil {
			_, err = y.Rewrite(ctx, RewrittenFile(2), []engine.FileID{one})
		}
		if !errors.As(err, &d) {
			t.Errorf("%s: got %v", what, err)
		}
		y.Close()
		scan := New(h.cfg).Rebuild(ctx, one, nil)
		if inData := what == "bytes" || what == "base offset"; inData != (scan == nil) {
			t.Errorf("%s: scan got %v", what, scan)
		}
		h.blobs.change(t, dataName(0, one), flip)
	}
	for _, cut := range []int64{0, 10, pageBytes, second, end, end + frameBytes - 1} {
		y := New(h.cfg)
		var whole []byte
		h.blobs.change(t, dataName(0, one), func(b []byte) []byte { whole = slices.Clone(b); return b[:cut] })
		if err := y.Load(one); !errors.As(err, &d) {
			t.Errorf("cut at %d: got %v", cut, err)
		}
		y.Close()
		h.blobs.change(t, dataName(0, one), func([]byte) []byte { return whole })
	}
	must(t, New(h.cfg).Load(one))
}

// failing makes the nth Commit fail.
type failing struct {
	dirBlobs
	n *int
}

type failingWriter struct {
	engine.BlobWriter
	n *int
}

var errDisk = errors.New("disk on fire")

func (f failing) Create(name string) (engine.BlobWriter, error) {
	w, err := f.dirBlobs.Create(name)
	return failingWriter{w, f.n}, err
}

func (w failingWriter) Commit() error {
	if *w.n--; *w.n == 0 {
		w.Abort()
		return errDisk
	}
	return w.BlobWriter.Commit()
}

// When a blob cannot be made durable, nothing has changed, and the next try
// succeeds.
func TestCommitFails(t *testing.T) {
	ctx := context.Background()
	h := twoFiles(t)
	n := 0
	h.cfg.Blobs = failing{h.blobs, &n}
	before := h.blobsThere(t)
	for fail := 1; fail <= 2; fail++ {
		n = fail
		if _, err := h.Rewrite(ctx, RewrittenFile(1), []engine.FileID{1, 2}); !errors.Is(err, errDisk) {
			t.Fatalf("commit %d: got %v", fail, err)
		}
		if after := h.blobsThere(t); !slices.Equal(after, before) {
			t.Fatalf("commit %d: left %v", fail, after)
		}
	}
	_, err := h.Rewrite(ctx, RewrittenFile(1), []engine.FileID{1, 2})
	must(t, err)

	h.write(t, 3, 100, 1)
	h.Seal(3)
	n = 1
	if err := h.BuildIdx(ctx, 3); !errors.Is(err, errDisk) {
		t.Fatalf("got %v", err)
	}
	if got := collect(t, h.Find(1, 1000, math.MaxInt64)); len(got) != 1 {
		t.Fatalf("got %+v", got)
	}
	must(t, h.BuildIdx(ctx, 3))
}

func TestRewriteRefuses(t *testing.T) {
	ctx := context.Background()
	h := twoFiles(t)
	h.write(t, 3, 100, 1)
	h.close(t, 3)
	h.write(t, 4, 100, 1)
	h.Seal(4)
	for what, files := range map[string][]engine.FileID{
		"none": {}, "gap": {1, 3}, "order": {2, 1}, "twice": {1, 1}, "unknown": {9}, "no index": {3, 4},
	} {
		if _, err := h.Rewrite(ctx, RewrittenFile(1), files); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if _, err := h.Rewrite(ctx, 5, []engine.FileID{1}); err == nil {
		t.Error("the id of a journal file: accepted")
	}
	_, err := h.Rewrite(ctx, RewrittenFile(1), []engine.FileID{1, 2})
	must(t, err)
	if _, err := h.Rewrite(ctx, RewrittenFile(2), []engine.FileID{2, 3}); !errors.Is(err, errBusy) {
		t.Errorf("while another has it: got %v", err)
	}
	if err := h.Replace([]engine.FileID{1}, RewrittenFile(1)); err == nil {
		t.Error("Replace of other files: accepted")
	}
	must(t, h.Replace([]engine.FileID{1, 2}, RewrittenFile(1)))
	if _, err := h.Rewrite(ctx, RewrittenFile(1), []engine.FileID{3}); !errors.Is(err, engine.ErrExists) {
		t.Errorf("an id used twice: got %v", err)
	}
	must(t, New(h.cfg).Load(RewrittenFile(1)))
}

// What dies between Rewrite and Replace stays dead.
func TestDiesDuringRewrite(t *testing.T) {
	ctx := context.Background()
	h := twoFiles(t)
	one := RewrittenFile(1)
	_, err := h.Rewrite(ctx, one, []engine.FileID{1, 2})
	must(t, err)
	h.Drop(1)
	h.SetStart(2, 1000) // all of it
	h.SetStart(3, 995)
	must(t, h.Replace([]engine.FileID{1, 2}, one))
	for log, want := range map[LogID]int{1: 0, 2: 0, 3: 1} {
		if got := collect(t, h.Find(log, 0, math.MaxInt64)); len(got) != want {
			t.Errorf("log %d: %+v", log, got)
		}
	}
	if got := h.DeadFiles(); !slices.Equal(got, []engine.FileID{1, 2}) {
		t.Errorf("dead: %v", got)
	}
	if u := h.Files()[0]; u.File != one || u.Live != 50_000*5/1000 {
		t.Errorf("%+v", u)
	}
}

// A rewrite of which nothing is live writes nothing.
func TestRewriteOfNothing(t *testing.T) {
	h := twoFiles(t)
	before := h.blobsThere(t)
	for log := range LogID(4) {
		h.Drop(log)
	}
	res, err := h.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1, 2})
	if err != nil || res.Extents != 0 || !slices.Equal(h.blobsThere(t), before) {
		t.Fatalf("%+v, %v", res, err)
	}
	if got := h.DeadFiles(); len(got) != 2 {
		t.Errorf("dead: %v", got)
	}
}

// A window smaller than an extent, and extents larger than a read, are copied
// all the same, and Wait is asked for no more than it promises.
func TestLargeExtents(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.cfg.WindowBytes = 1000
	var waited int64
	h.cfg.Wait = func(_ context.Context, n int) error {
		if n <= 0 || n > maxIO {
			t.Errorf("asked for %d bytes", n)
		}
		waited += int64(n)
		return nil
	}
	for i := range 6 {
		h.write(t, 1, 3<<20+i, 1, 2)
		h.write(t, 1, 100, 1)
	}
	h.close(t, 1)
	res, err := h.Rewrite(ctx, RewrittenFile(1), []engine.FileID{1})
	must(t, err)
	if waited < res.Bytes+res.Read {
		t.Errorf("read %d and wrote %d bytes, but asked only for %d", res.Read, res.Bytes, waited)
	}
	must(t, h.Replace([]engine.FileID{1}, RewrittenFile(1)))
	_, err = h.Rewrite(ctx, RewrittenFile(2), []engine.FileID{RewrittenFile(1)})
	must(t, err)
	must(t, h.Replace([]engine.FileID{RewrittenFile(1)}, RewrittenFile(2)))
	for log := range h.next {
		for _, p := range collect(t, h.Find(log, 0, math.MaxInt64)) {
			b := make([]byte, p.Bytes)
			must(t, h.Read(ctx, p.File, p.Pos, b))
			must(t, verifyBatches(p.Extent, b))
		}
	}
}

// The limiter may end a rewrite.
func TestRewriteCancelled(t *testing.T) {
	h := twoFiles(t)
	before := h.blobsThere(t)
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	h.cfg.Wait = func(ctx context.Context, _ int) error {
		if n++; n == 2 {
			cancel()
		}
		return ctx.Err()
	}
	if _, err := h.Rewrite(ctx, RewrittenFile(1), []engine.FileID{1, 2}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if after := h.blobsThere(t); !slices.Equal(after, before) {
		t.Fatalf("left %v", after)
	}
}

// A file stays while an iterator or a pin may lead to it.
func TestRemoveWaits(t *testing.T) {
	h := twoFiles(t)
	remove := func(want bool) {
		t.Helper()
		if gone, err := h.Remove(1); gone != want || err != nil {
			t.Fatalf("removed: %v, %v; want %v", gone, err, want)
		}
	}
	if _, err := h.Remove(1); err == nil {
		t.Fatal("a live file was removed")
	}
	early := h.Find(1, 0, math.MaxInt64) // has not moved yet
	named := h.Find(1, 0, math.MaxInt64)
	named.Next()
	for log := range LogID(4) {
		h.SetStart(log, 500)
	}
	remove(false)
	late := h.Find(1, 0, math.MaxInt64) // cannot see it any more
	pin := named.Detach()
	remove(false)
	if !early.Next() || early.Place().File != 1 {
		t.Fatal("the early iterator does not see what it began with")
	}
	early.Close()
	remove(false)
	pin.Close()
	remove(true)
	remove(true)
	late.Close()
	late.Close()
	named.Close()
	if slices.ContainsFunc(h.Files(), func(u Usage) bool { return u.File == 1 }) {
		t.Fatal("it is still listed")
	}
}

// A sweep deletes what no file is known for, and nothing else.
func TestSweep(t *testing.T) {
	h := twoFiles(t)
	_, err := h.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1})
	must(t, err)
	w, err := h.blobs.Create("0000/checkpoint/0000000000000001")
	must(t, err)
	must(t, w.Commit())
	n, err := h.Sweep(context.Background(), func(id engine.FileID) bool { return id == 2 })
	if n != 3 || err != nil {
		t.Fatalf("swept %d, %v", n, err)
	}
	want := []string{"0000/checkpoint/0000000000000001", idxName(0, 2)}
	if got := h.blobsThere(t); !slices.Equal(got, want) {
		t.Fatalf("left %v", got)
	}
}

func TestCandidates(t *testing.T) {
	const mib = 1 << 20
	type f struct{ total, live int64 }
	for _, c := range []struct {
		name  string
		files []f
		want  []engine.FileID
	}{
		{"all live", []f{{128 * mib, 128 * mib}, {128 * mib, 100 * mib}}, nil},
		{"half dead", []f{{128 * mib, 128 * mib}, {128 * mib, 64 * mib}}, []engine.FileID{2}},
		{"a run", []f{{100 * mib, 40 * mib}, {100 * mib, 30 * mib}, {100 * mib, 90 * mib}}, []engine.FileID{1, 2}},
		{"a small neighbour joins", []f{{100 * mib, 40 * mib}, {2 * mib, 2 * mib}}, []engine.FileID{1, 2}},
		{"too large together", []f{{200 * mib, 90 * mib}, {200 * mib, 80 * mib}}, []engine.FileID{2}},
		{"alone it may be large", []f{{1000 * mib, 400 * mib}}, []engine.FileID{1}},
		{"few small", []f{{mib, mib}, {mib, mib}}, nil},
		{"many small", []f{{mib, mib}, {mib, mib}, {mib, mib}, {mib, mib}}, []engine.FileID{1, 2, 3, 4}},
		{"a dead file does not part them", []f{{mib, mib}, {mib, mib}, {mib, 0}, {mib, mib}, {mib, mib}}, []engine.FileID{1, 2, 4, 5}},
		{"the most dead", []f{{100 * mib, 40 * mib}, {100 * mib, 90 * mib}, {100 * mib, 30 * mib}}, []engine.FileID{3}},
	} {
		x := New(Config{Blobs: newBlobs(t)})
		for i, f := range c.files {
			file := x.newFile(engine.FileID(i+1), i)
			file.sealed, file.total, file.live, file.idx = true, f.total, f.live, &idx{}
			if f.live > 0 {
				file.spans = 1
			}
		}
		if got := x.Candidates(Policy{SmallFiles: 4}); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		refuse := Policy{SmallFiles: 4, Eligible: func(engine.FileID) bool { return false }}
		if got := x.Candidates(refuse); got != nil {
			t.Errorf("%s: got %v, though none is eligible", c.name, got)
		}
	}
}

// A file whose one extent is half dead is rewritten once, not for ever.
func TestRewriteEnds(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	h.write(t, 1, 1000, 1)
	h.close(t, 1)
	h.SetStart(1, 7)
	files := h.Candidates(Policy{})
	if !slices.Equal(files, []engine.FileID{1}) {
		t.Fatalf("candidates: %v", files)
	}
	_, err := h.Rewrite(ctx, RewrittenFile(1), files)
	must(t, err)
	must(t, h.Replace(files, RewrittenFile(1)))
	if got := h.Candidates(Policy{}); got != nil {
		t.Fatalf("again: %v", got)
	}
	y := New(h.cfg)
	must(t, y.Load(RewrittenFile(1)))
	y.SetStart(1, 7)
	if got := y.Candidates(Policy{}); got != nil {
		t.Fatalf("after a restart: %v", got)
	}
	if got := collect(t, y.Find(1, 0, math.MaxInt64)); len(got) != 1 || got[0].Base != 0 {
		t.Fatalf("got %+v", got)
	}
}
