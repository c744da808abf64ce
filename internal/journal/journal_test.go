package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// list is a machine whose state is the bodies of all entries.
type list struct{ items []string }

func (l *list) Apply(e Entry) error {
	if e.Type != 1 {
		return fmt.Errorf("type %d: %w", e.Type, engine.ErrNewer)
	}
	l.items = append(l.items, fmt.Sprintf("%s@%d/%d", e.Body, e.Time, e.Epoch))
	return nil
}

func (l *list) Snapshot(dst []byte) []byte {
	for _, s := range l.items {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return dst
}

func (l *list) Restore(b []byte) error {
	l.items = nil
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return errors.New("truncated")
		}
		l.items = append(l.items, string(b[k:k+int(n)]))
		b = b[k+int(n):]
	}
	return nil
}

// waiter records when it was told.
type waiter struct {
	mu   sync.Mutex
	told int
	err  error
	done chan struct{}
}

func newWaiter() *waiter { return &waiter{done: make(chan struct{})} }

func (w *waiter) Durable(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told++
	w.err = err
	if w.told == 1 {
		close(w.done)
	}
}

// world is a disk, an engine and an open journal on it.
type world struct {
	t       *testing.T
	disk    *mem.Disk
	eng     engine.Engine
	shard   engine.Shard
	j       *Journal
	state   *list
	cps     *Checkpoints
	inline  bool
	mu      sync.Mutex
	written []Committed
}

func open(t *testing.T, d *mem.Disk, inline bool) *world {
	t.Helper()
	w := &world{t: t, disk: d, inline: inline}
	if err := w.tryOpen(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) tryOpen() error {
	eng, err := w.disk.Engine()
	if err != nil {
		return err
	}
	w.eng = eng
	if w.shard, err = eng.Claim(context.Background(), 0); err != nil {
		return err
	}
	j, m, cps, err := Open(context.Background(), Options{
		Shard: w.shard, Blobs: eng.Blobs(), Traits: eng.Traits(), Inline: w.inline,
		NewMachine: func() Machine { return &list{} }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	w.j, w.state, w.cps = j, m.(*list), cps
	j.Start(func(c Committed) {
		w.mu.Lock()
		defer w.mu.Unlock()
		c.Extents, c.Notes = slices.Clone(c.Extents), slices.Clone(c.Notes)
		w.written = append(w.written, c)
	})
	return nil
}

// reopen crashes, or closes, and recovers.
func (w *world) reopen(crash bool) *world {
	w.t.Helper()
	if crash {
		w.disk = w.disk.Crash(rand.New(rand.NewPCG(1, 2)))
	} else {
		if err := errors.Join(w.j.Close(), w.shard.Release(), w.eng.Close()); err != nil {
			w.t.Fatal(err)
		}
	}
	return open(w.t, w.disk, w.inline)
}

func (w *world) add(body string, now int64, d *Data, note any) {
	e := Entry{Type: 1, Version: 1, Time: now, Epoch: w.shard.Epoch(), Body: []byte(body)}
	if err := w.state.Apply(e); err != nil {
		w.t.Fatal(err)
	}
	var data []Data
	if d != nil {
		data = append(data, *d)
	}
	w.j.Add(e, note, data...)
}

// TestDataOfAnEntryStaysTogether: what one entry brings for several logs is in
// one slot, however the writer cuts.
func TestDataOfAnEntryStaysTogether(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 3}), false)
	const entries = 2000
	for i := range int64(entries) {
		data := []Data{
			{Log: 2, Base: i, Count: 1, MaxTime: 1, Bytes: []byte("for the second")},
			{Log: 1, Base: i, Count: 1, MaxTime: 1, Bytes: []byte("first")},
		}
		e := Entry{Type: 1, Version: 1, Time: 1, Epoch: w.shard.Epoch(), Body: []byte("x")}
		w.j.Add(e, nil, data...)
	}
	if err := w.j.Close(); err != nil {
		t.Fatal(err)
	}
	var next int64
	for _, c := range w.written {
		if len(c.Extents) != 2 || c.Extents[0].Base != next || c.Extents[1].Base != next || c.Extents[0].Count != c.Extents[1].Count {
			t.Fatalf("slot %d has %+v, want both logs from offset %d on", c.Slot.No, c.Extents, next)
		}
		next += c.Extents[0].Count
	}
	if next != entries || len(w.written) < 2 {
		t.Fatalf("%d of %d entries in %d slots", next, entries, len(w.written))
	}
}

func TestGroupCommit(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	first, second := newWaiter(), newWaiter()
	w.j.Attach(first)
	if first.told != 1 {
		t.Fatal("a reply that depends on nothing waits")
	}
	w.add("a", 100, &Data{Log: 2, Base: 0, Count: 1, MaxTime: 90, Bytes: []byte("22")}, "note a")
	w.add("b", 105, &Data{Log: 1, Base: 7, Count: 2, MaxTime: 95, Bytes: []byte("111")}, nil)
	w.add("c", 110, &Data{Log: 2, Base: 1, Count: 1, MaxTime: 80, Bytes: []byte("2222")}, "note c")
	w.j.Attach(second)
	if second.told != 0 || len(w.written) != 0 {
		t.Fatal("something was shown or answered before it was durable")
	}
	if err := w.j.Flush(); err != nil || second.told != 1 || second.err != nil {
		t.Fatal(err, second.told, second.err)
	}
	if len(w.written) != 1 {
		t.Fatalf("%d slots for one flush", len(w.written))
	}
	c := w.written[0]
	if !slices.Equal(c.Notes, []any{"note a", "note c"}) || c.Time != 110 {
		t.Fatalf("%+v", c)
	}
	want := []datafile.Extent{
		{Log: 1, Base: 7, Count: 2, Pos: c.Slot.DataOff, Bytes: 3, MaxTime: 95},
		{Log: 2, Base: 0, Count: 2, Pos: c.Slot.DataOff + 3, Bytes: 6, MaxTime: 90},
	}
	if !slices.Equal(c.Extents, want) {
		t.Fatalf("extents %+v, want %+v", c.Extents, want)
	}
	buf := make([]byte, 9)
	if _, err := w.shard.ReadAt(c.Slot.File, buf, c.Slot.DataOff); err != nil || string(buf) != "111222222" {
		t.Fatalf("%q, %v", buf, err)
	}
}

func TestRecoveryReplaysWhatWasDecided(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	for i := range 20 {
		w.add(fmt.Sprint("entry ", i), int64(1000+i), nil, nil)
		if i%3 == 0 {
			if err := w.j.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if i == 8 {
			if err := w.cps.Make(context.Background(), w.j.Last()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.j.Flush(); err != nil {
		t.Fatal(err)
	}
	want := w.state.Snapshot(nil)
	w = w.reopen(true)
	if !bytes.Equal(w.state.Snapshot(nil), want) {
		t.Fatalf("replayed %q", w.state.items)
	}
	// The tail was written again under a new epoch; what was decided under
	// the old one still says so.
	w = w.reopen(true)
	if !bytes.Equal(w.state.Snapshot(nil), want) {
		t.Fatalf("replayed %q", w.state.items)
	}
}

func TestDamagedCheckpointFallsBack(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	ctx := context.Background()
	for i := range 3 {
		w.add(fmt.Sprint(i), int64(i), nil, nil)
		if err := errors.Join(w.j.Flush(), w.cps.Make(ctx, w.j.Last())); err != nil {
			t.Fatal(err)
		}
	}
	if w.cps.Newest() != 3 || w.cps.Safe() != 2 {
		t.Fatalf("newest %d, safe %d", w.cps.Newest(), w.cps.Safe())
	}
	want := w.state.Snapshot(nil)
	for _, name := range w.disk.Names() {
		if bytes.Contains([]byte(name), []byte("checkpoint")) && bytes.HasSuffix([]byte(name), []byte("3")) {
			if err := w.disk.FlipBit(name, 8*int64(checkpointHeader)+3); err != nil {
				t.Fatal(err)
			}
		}
	}
	w = w.reopen(true)
	if !bytes.Equal(w.state.Snapshot(nil), want) || w.cps.Newest() != 2 {
		t.Fatalf("replayed %q, newest checkpoint %d", w.state.items, w.cps.Newest())
	}
}

func TestNewerEntryIsRefusedAsNewer(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	w.j.Add(Entry{Type: 99, Version: 1, Body: []byte("x")}, nil)
	if err := w.j.Flush(); err != nil {
		t.Fatal(err)
	}
	w.disk = w.disk.Crash(rand.New(rand.NewPCG(1, 2)))
	if err := w.tryOpen(); !errors.Is(err, engine.ErrNewer) {
		t.Fatalf("%v", err)
	}
}

func TestFailedSyncAnswersNobodyWithSuccess(t *testing.T) {
	for _, inline := range []bool{true, false} {
		w := open(t, mem.New(mem.Options{Seed: 1}), inline)
		w.disk.FailSync(1)
		before, after := newWaiter(), newWaiter()
		w.add("a", 1, nil, nil)
		w.j.Attach(before)
		if inline {
			if err := w.j.Flush(); !errors.Is(err, mem.ErrIO) {
				t.Fatal(err)
			}
		}
		<-w.j.Failed()
		<-before.done
		w.add("b", 2, nil, nil)
		w.j.Attach(after)
		<-after.done
		if before.err == nil || after.err == nil || len(w.written) != 0 || w.j.Err() == nil {
			t.Fatal("a failed sync was taken for success")
		}
		if err := w.j.Close(); err == nil {
			t.Fatal("Close hides the failure")
		}
	}
}

// TestConcurrent has the journal's goroutines write while a sequencer adds.
func TestConcurrent(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20}), false)
	const n = 2000
	waiters := make([]*waiter, n)
	for i := range n {
		w.add(fmt.Sprint(i), int64(i), &Data{Log: 1, Base: int64(i), Count: 1, Bytes: make([]byte, 500)}, i)
		waiters[i] = newWaiter()
		w.j.Attach(waiters[i])
	}
	for i, x := range waiters {
		<-x.done
		if x.err != nil || x.told != 1 {
			t.Fatalf("waiter %d: told %d times, %v", i, x.told, x.err)
		}
	}
	if err := w.j.Close(); err != nil {
		t.Fatal(err)
	}
	var notes []any
	next := int64(0)
	for _, c := range w.written {
		notes = append(notes, c.Notes...)
		for _, e := range c.Extents {
			if e.Base != next {
				t.Fatalf("extent at %d, want %d", e.Base, next)
			}
			next = e.End()
		}
	}
	if len(notes) != n || next != n {
		t.Fatalf("%d notes, %d offsets", len(notes), next)
	}
	for i, x := range notes {
		if x != i {
			t.Fatalf("note %d is %v", i, x)
		}
	}
	late := newWaiter()
	w.j.Attach(late)
	if late.err == nil {
		t.Fatal("a waiter after Close was told of success")
	}
	if got := w.j.Stats().Slots.Load(); got == n {
		t.Error("no two entries shared a slot")
	}
}

func TestHeadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(-1, 1<<41).Draw(t, "base")
		now := base
		var entries []byte
		var want []Entry
		for range rapid.IntRange(1, 8).Draw(t, "entries") {
			now += rapid.Int64Range(0, 1<<20).Draw(t, "step")
			e := Entry{
				Type: rapid.Uint16().Draw(t, "type"), Version: rapid.Uint8().Draw(t, "version"),
				Time: now, Epoch: 7, Body: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "body"),
			}
			want = append(want, e)
			entries = appendEntry(entries, base, e)
		}
		var exts []datafile.Extent
		for range rapid.IntRange(0, 5).Draw(t, "extents") {
			exts = append(exts, datafile.Extent{
				Log: datafile.LogID(rapid.Uint32().Draw(t, "log")), Base: rapid.Int64Range(0, 1<<50).Draw(t, "offset"),
				Count: rapid.Int64Range(1, 1<<20).Draw(t, "count"), Bytes: rapid.Int64Range(1, 1<<20).Draw(t, "bytes"),
				MaxTime: rapid.Int64Range(-1, 1<<42).Draw(t, "max time"),
			})
		}
		head := appendHead(nil, base, 7, len(want), entries, exts)
		h := readHead(head)
		i := 0
		err := h.entries(func(e Entry) error {
			w := want[i]
			if e.Type != w.Type || e.Version != w.Version || e.Time != w.Time || e.Epoch != w.Epoch || !bytes.Equal(e.Body, w.Body) {
				t.Fatalf("entry %d: %+v, want %+v", i, e, w)
			}
			i++
			return nil
		})
		if err != nil || i != len(want) {
			t.Fatal(i, err)
		}
		got, err := h.extents(4096)
		if err != nil || len(got) != len(exts) {
			t.Fatal(got, err)
		}
		pos := int64(4096)
		for i := range exts {
			exts[i].Pos = pos
			pos += exts[i].Bytes
			if got[i] != exts[i] {
				t.Fatalf("extent %d: %+v, want %+v", i, got[i], exts[i])
			}
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add(appendHead(nil, 5, 1, 1, appendEntry(nil, 5, Entry{Type: 1, Version: 1, Time: 6, Body: []byte("x")}),
		[]datafile.Extent{{Log: 1, Base: 2, Count: 3, Bytes: 4, MaxTime: 5}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h := readHead(b)
		n := 0
		if h.entries(func(e Entry) error { n += 4 + len(e.Body); return nil }) != nil {
			return
		}
		exts, err := h.extents(0)
		if err == nil && n+5*len(exts) > len(b) {
			t.Fatalf("%d bytes of head gave %d of entries and %d extents", len(b), n, len(exts))
		}
	})
}

func FuzzCheckpointHeader(f *testing.F) {
	w := open(&testing.T{}, mem.New(mem.Options{Seed: 1}), true)
	w.add("x", 1, nil, nil)
	if err := errors.Join(w.j.Flush(), w.cps.Make(context.Background(), 1)); err != nil {
		f.Fatal(err)
	}
	for _, name := range w.disk.Names() {
		if bytes.Contains([]byte(name), []byte("checkpoint")) {
			content, err := w.disk.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(content)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, size, _, err := parseCheckpointHeader("x", b, int64(len(b)))
		if err == nil && int64(size) != int64(len(b))-checkpointHeader {
			t.Fatalf("a state of %d bytes in a blob of %d", size, len(b))
		}
	})
}

func BenchmarkEncodeSlot(b *testing.B) {
	// One slot of 1,000 batches for 1,000 logs.
	b.ReportAllocs()
	s := &slot{}
	body := make([]byte, 12)
	var buf []byte
	for b.Loop() {
		s.entries, s.exts = s.entries[:0], s.exts[:0]
		for i := range 1000 {
			s.entries = appendEntry(s.entries, 1000, Entry{Type: 1, Version: 1, Time: 1001, Body: body})
			s.exts = append(s.exts, datafile.Extent{Log: datafile.LogID(i), Base: 1 << 30, Count: 1, Bytes: 1100, MaxTime: 1000})
		}
		buf = appendHead(buf[:0], 1000, 3, 1000, s.entries, s.exts)
	}
	b.ReportMetric(float64(len(buf)), "head-bytes")
}

func BenchmarkReadHead(b *testing.B) {
	var entries []byte
	var exts []datafile.Extent
	for i := range 1000 {
		entries = appendEntry(entries, 1000, Entry{Type: 1, Version: 1, Time: 1001, Body: make([]byte, 12)})
		exts = append(exts, datafile.Extent{Log: datafile.LogID(i), Base: 1 << 30, Count: 1, Bytes: 1100, MaxTime: 1000})
	}
	head := appendHead(nil, 1000, 3, 1000, entries, exts)
	b.ReportAllocs()
	for b.Loop() {
		h := readHead(head)
		if err := h.entries(func(Entry) error { return nil }); err != nil {
			b.Fatal(err)
		}
		if _, err := h.extents(0); err != nil {
			b.Fatal(err)
		}
	}
}

// refusing is a shard that refuses one slot and would take the next.
type refusing struct {
	engine.Shard
	entered chan struct{} // closed when the refused Append has begun
	refuse  chan struct{} // closed to let it return
	once    sync.Once
}

type refused struct{}

func (refused) Wait() (engine.Slot, error) { return engine.Slot{}, engine.ErrFull }

func (r *refusing) Append(head []byte, data [][]byte, reserve bool) (t engine.Ticket) {
	t = refused{}
	first := false
	r.once.Do(func() { first = true })
	if !first {
		return r.Shard.Append(head, data, reserve)
	}
	close(r.entered)
	<-r.refuse
	return t
}

// TestNoSlotFollowsOneThatFailed: what was added while the failing slot was
// being written is not written, although the engine would take it.
func TestNoSlotFollowsOneThatFailed(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	r := &refusing{Shard: w.shard, entered: make(chan struct{}), refuse: make(chan struct{})}
	j := newJournal(r, w.eng.Traits(), 0, false)
	published := 0
	j.Start(func(Committed) { published++ })
	add := func(body string) *waiter {
		j.Add(Entry{Type: 1, Version: 1, Body: []byte(body)}, nil)
		x := newWaiter()
		j.Attach(x)
		return x
	}
	first := add("first")
	<-r.entered
	second := add("second")
	close(r.refuse)
	<-first.done
	<-second.done
	if first.err == nil || second.err == nil {
		t.Fatalf("acknowledged: %v, %v", first.err, second.err)
	}
	if err := j.Close(); !errors.Is(err, engine.ErrFull) || published != 0 || j.Last() != 0 {
		t.Fatalf("%v; %d slots published, last %d", err, published, j.Last())
	}
}

// failingBlobs cannot open anything.
type failingBlobs struct{ engine.BlobStore }

func (failingBlobs) Open(string) (engine.Blob, error) { return nil, mem.ErrIO }

// TestUnreadableCheckpointIsKept: a checkpoint that cannot be read now may be
// whole, and nothing may be deleted for it.
func TestUnreadableCheckpointIsKept(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	w.add("x", 1, nil, nil)
	if err := errors.Join(w.j.Flush(), w.cps.Make(context.Background(), 1)); err != nil {
		t.Fatal(err)
	}
	cps := &Checkpoints{o: w.cps.o}
	cps.o.Blobs = failingBlobs{w.cps.o.Blobs}
	if _, _, err := cps.load(); !errors.Is(err, mem.ErrIO) {
		t.Fatal(err)
	}
	if names, err := w.cps.o.Blobs.List(""); err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
}

// orderWaiter notes when it is told, and may hold up who tells it.
type orderWaiter struct {
	name  string
	told  chan<- string
	until <-chan struct{}
}

func (w orderWaiter) Durable(error) {
	if w.until != nil {
		w.told <- "begin " + w.name
		<-w.until
	}
	w.told <- w.name
}

// TestWaitersAreToldInOrder: who comes while others are being told waits for
// its turn, though nothing is left to be written.
func TestWaitersAreToldInOrder(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 4}), false)
	defer w.j.Close()
	told, until := make(chan string, 10), make(chan struct{})
	w.add("a", 1, nil, nil)
	w.j.Attach(orderWaiter{"first", told, until})
	if got := <-told; got != "begin first" {
		t.Fatal(got)
	}
	w.j.Attach(orderWaiter{name: "second", told: told})
	w.j.Attach(orderWaiter{name: "third", told: told})
	if len(told) > 0 {
		t.Fatalf("%s was told before the first had been", <-told)
	}
	close(until)
	for _, want := range []string{"first", "second", "third"} {
		if got := <-told; got != want {
			t.Fatalf("told: %s, want %s", got, want)
		}
	}
	// Nothing is under way any more: at once.
	for w.j.Busy() {
		runtime.Gosched()
	}
	w.j.Attach(orderWaiter{name: "fourth", told: told})
	if len(told) != 1 {
		t.Fatal("a reply that depends on nothing waits")
	}
}

// TestAttachAt: who waits for a slot does not wait for those behind it, and
// comes after those that waited for it before.
func TestAttachAt(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 4}), true)
	told := make(chan string, 10)
	attach := func(p Point, name string) { w.j.AttachAt(p, orderWaiter{name: name, told: told}) }
	expect := func(when string, want ...string) {
		t.Helper()
		for _, name := range want {
			if len(told) == 0 {
				t.Fatalf("%s: %s is not told", when, name)
			}
			if got := <-told; got != name {
				t.Fatalf("%s: told %s, want %s", when, got, name)
			}
		}
		if len(told) > 0 {
			t.Fatalf("%s: %s is told too", when, <-told)
		}
	}
	start := w.j.Point()
	attach(start, "at the start")
	expect("nothing was added", "at the start")
	w.add("a", 1, nil, nil)
	first := w.j.Point()
	if first <= start || w.j.Told() != start {
		t.Fatalf("points: %d, then %d, told %d", start, first, w.j.Told())
	}
	attach(start, "before a")
	expect("a is not durable", "before a")
	attach(first, "a")
	w.j.Attach(orderWaiter{name: "all", told: told})
	expect("a is not durable")
	if err := w.j.Flush(); err != nil {
		t.Fatal(err)
	}
	expect("a is durable", "a", "all")
	w.add("b", 1, nil, nil)
	attach(first, "a again")
	attach(w.j.Point(), "b")
	expect("b is not durable", "a again")
	if got := w.j.Told(); got != first {
		t.Fatalf("told up to %d, want %d", got, first)
	}
	if err := w.j.Close(); err != nil {
		t.Fatal(err)
	}
	expect("closed", "b")
}

// TestAttachAtWhileOthersAreTold: who waits for a slot of which the waiters are
// being told comes after them, though a later slot is open.
func TestAttachAtWhileOthersAreTold(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 4}), false)
	defer w.j.Close()
	told, until := make(chan string, 10), make(chan struct{})
	w.add("a", 1, nil, nil)
	p := w.j.Point()
	w.j.AttachAt(p, orderWaiter{"first", told, until})
	if got := <-told; got != "begin first" {
		t.Fatal(got)
	}
	w.add("b", 1, nil, nil)
	w.j.AttachAt(p, orderWaiter{name: "second", told: told})
	if len(told) > 0 {
		t.Fatalf("%s was told before the first had been", <-told)
	}
	close(until)
	for _, want := range []string{"first", "second"} {
		if got := <-told; got != want {
			t.Fatalf("told: %s, want %s", got, want)
		}
	}
}
