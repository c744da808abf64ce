package queue

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// sampleSpec has a value in every field.
func sampleSpec() Spec {
	return Spec{
		VHost: "/", Name: "full", Kind: Quorum, Durable: true, AutoDelete: true,
		Settings: Settings{
			MaxPriority: 5, TTL: time.Minute, Expires: time.Hour, MaxLength: 1000, MaxBytes: 1 << 40,
			Overflow: RejectPublishDeadLetter, HasDeadLetter: true, DeliveryLimit: 20, SingleActive: true, DedupWindow: 2,
		},
		Compared:  []Argument{{"x-max-length", "1000"}, {"x-message-ttl", "60000"}},
		Arguments: []byte{1, 2, 3},
	}
}

// sampleEntries has every fact, of a shard that begins without queues.
func sampleEntries() [][]byte {
	spec := sampleSpec()
	plain := Spec{Name: "plain", Durable: true, Settings: NoSettings()}
	owned := Spec{VHost: "v", Name: "owned", Exclusive: 7, Settings: NoSettings()}
	full, low := at{1, 5}, at{1, 0}
	entry := func(facts ...fact) []byte {
		dst := []byte{entryVersion}
		for _, f := range facts {
			dst = f.encode(dst)
		}
		return dst
	}
	return [][]byte{
		entry(&declared{1, &spec}),
		entry(&declared{2, &plain}, &declared{4, &owned}),
		entry(&opened{full, 100}, &opened{low, 101}, &opened{at{2, 0}, 200}),
		entry(&appended{at: full, expiry: 1, size: 10, notBefore: 3, dedupID: "a"}, &appended{at: at{2, 0}}),
		entry(&appended{at: full, offset: 1, expiry: math.MaxInt64, size: math.MaxInt64 / 2, dedupID: "b"}),
		entry(&appended{at: full, offset: 2, size: 4, transient: true, dedupID: "c"}, &appended{at: full, offset: 3, size: 4}),
		entry(&appended{at: full, offset: 4, size: 5}, &appended{at: low}, &appended{at: low, offset: 1}),
		entry(&appended{at: at{2, 0}, offset: 1}, &appended{at: at{2, 0}, offset: 2}, &appended{at: at{2, 0}, offset: 3}),
		entry(&marked{full, 4}, &marked{at{2, 0}, 1 << 40}),
		entry(&cameBack{full, 3, 77, []span{{3, 5}, {1, 2}}}),
		entry(&condemned{full, Rejected, []span{{2, 3}}}, &condemned{low, Expired, []span{{1, 2}}}),
		entry(&settled{full, []span{{0, 1}, {4, 5}}}, &settled{at{2, 0}, []span{{2, 3}}}),
		entry(&deleted{4}),
	}
}

func sampleDurable(t testing.TB) *Durable {
	d := NewDurable()
	for i, e := range sampleEntries() {
		if err := d.Apply(e); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	return d
}

func restored(b []byte) (*Durable, error) {
	d := NewDurable()
	r := enc.NewReader(b)
	err := d.Restore(&r)
	if err == nil {
		err = r.Done()
	}
	return d, err
}

// TestApply checks what the sample entries come to.
func TestApply(t *testing.T) {
	d := sampleDurable(t)
	q := d.byID[1]
	l := q.levels[0]
	switch {
	case d.Len() != 2 || d.byName[name{"v", "owned"}] != 0 || d.vhosts["v"] != 0:
		t.Error("the deleted queue is there")
	case d.nextID != 5 || d.NextLog() != 201:
		t.Errorf("next queue %d, next log %d", d.nextID, d.NextLog())
	case len(q.levels) != 2 || l.priority != 5 || l.log != 100 || q.count != 5:
		t.Errorf("queue: %+v", q)
	case l.next != 5 || l.floor != 1 || l.mark != 4 || !l.settled.contains(4) || l.settled.count(0, 5) != 1:
		t.Errorf("level: %+v", l)
	case q.bytes != math.MaxInt64/2+8:
		t.Errorf("%d bytes", q.bytes)
	case l.apart[1] != apart{state: returned, count: 3, seq: 4, notBefore: 77} || l.apart[3].seq != 2 || len(l.apart) != 3:
		t.Errorf("apart: %+v", l.apart)
	case l.apart[2] != apart{state: doomed, reason: Rejected, seq: 5}:
		t.Errorf("doomed: %+v", l.apart[2])
	case q.dedup.has("a") || !q.dedup.has("b") || !q.dedup.has("c"):
		t.Errorf("dedup: %+v", q.dedup)
	case q.spec.Name != "full" || q.spec.Settings != sampleSpec().Settings || !slices.Equal(q.spec.Compared, sampleSpec().Compared):
		t.Errorf("spec: %+v", q.spec)
	}
	var logs []LogState
	var spans []span
	d.Logs(func(s LogState, settled func(func(from, to int64))) {
		logs = append(logs, s)
		settled(func(from, to int64) { spans = append(spans, span{from, to}) })
	})
	if !slices.Equal(logs, []LogState{{1, 5, 100, 1, 5}, {1, 0, 101, 0, 2}, {2, 0, 200, 0, 4}}) || !slices.Equal(spans, []span{{4, 5}, {2, 3}}) {
		t.Errorf("logs %v, settled %v", logs, spans)
	}
}

// TestEntryBytes pins the released encoding: these bytes never change.
func TestEntryBytes(t *testing.T) {
	spec := Spec{VHost: "/", Name: "q", Durable: true, Settings: NoSettings(), Compared: []Argument{{"a", "b"}}, Arguments: []byte{9}}
	a := at{300, 5}
	for _, c := range []struct {
		fact fact
		want []byte
	}{
		{&declared{1, &spec}, []byte{1, 1, 1, '/', 1, 'q', 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 'a', 1, 'b', 1, 9}},
		{&deleted{300}, []byte{2, 0xac, 2}},
		{&opened{a, 7}, []byte{3, 0xac, 2, 5, 7}},
		{&appended{at: a, offset: 1}, []byte{4, 0xac, 2, 5, 1, 0}},
		{&appended{at: a, offset: 1, expiry: 2, size: 3, notBefore: 4, transient: true, dedupID: "d"},
			[]byte{4, 0xac, 2, 5, 1, 31, 4, 3, 8, 1, 'd'}},
		{&settled{a, []span{{2, 4}, {6, 7}}}, []byte{5, 0xac, 2, 5, 2, 4, 2, 4, 1}},
		{&marked{a, 300}, []byte{6, 0xac, 2, 5, 0xac, 2}},
		{&cameBack{a, 2, 1, []span{{4, 5}, {1, 2}}}, []byte{7, 0xac, 2, 5, 2, 2, 2, 8, 1, 7, 1}},
		{&condemned{a, Expired, []span{{0, 3}}}, []byte{8, 0xac, 2, 5, 2, 1, 0, 3}},
		{&ripened{a, []span{{4, 5}, {1, 2}}}, []byte{9, 0xac, 2, 5, 2, 8, 1, 7, 1}},
		{&requeued{a, 3, []span{{4, 5}, {1, 2}}}, []byte{10, 0xac, 2, 5, 3, 2, 8, 1, 7, 1}},
	} {
		if got := c.fact.encode(nil); !bytes.Equal(got, c.want) {
			t.Errorf("%T: got %v, want %v", c.fact, got, c.want)
		}
	}
}

// TestApplyCut checks that an entry that ends early is refused.
func TestApplyCut(t *testing.T) {
	d := NewDurable()
	for n, e := range sampleEntries() {
		before := d.Snapshot(nil)
		for i := range e {
			c, err := restored(before)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Apply(e[:i])
			if whole := i == 1 || i > 1 && factBegins(e[i]); err == nil && !whole || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("entry %d cut to %d of %d bytes: %v", n, i, len(e), err)
			}
		}
		if err := d.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
}

// factBegins says whether b may be the first byte of a fact. In the samples no
// cut between facts is before another byte.
func factBegins(b byte) bool { return b > 0 && b <= factRequeued }

func TestApplyRefuses(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	spec := sampleSpec()
	again := (&declared{9, &spec}).encode([]byte{entryVersion})
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"nothing", nil, ErrMalformed},
		{"version 0", []byte{0}, ErrMalformed},
		{"a newer version", []byte{entryVersion + 1, 0xff}, ErrNewer},
		{"fact 0", []byte{1, 0}, ErrMalformed},
		{"a newer fact", []byte{1, factRequeued + 1}, ErrNewer},
		{"a name twice", again, ErrMalformed},
		{"a queue that is not there", []byte{1, factDeleted, 3}, ErrMalformed},
		{"a level that is not there", []byte{1, factMarked, 1, 4, 9}, ErrMalformed},
		{"a level twice", []byte{1, factOpened, 1, 5, 0xff, 1}, ErrMalformed},
		{"a log twice", []byte{1, factOpened, 1, 4, 101}, ErrMalformed},
		{"an offset twice", []byte{1, factAppended, 1, 5, 4, 0}, ErrMalformed},
		{"an offset left out", []byte{1, factAppended, 1, 5, 6, 0}, ErrMalformed},
		{"unknown flags", []byte{1, factAppended, 1, 5, 5, 32}, ErrMalformed},
		{"more bytes than a number holds", append([]byte{1, factAppended, 1, 5, 5, 2}, huge...), ErrMalformed},
		{"a mark that goes back", []byte{1, factMarked, 1, 5, 3}, ErrMalformed},
		{"settled beyond the end", []byte{1, factSettled, 1, 5, 1, 8, 2}, ErrMalformed},
		{"more spans than bytes", append([]byte{1, factSettled, 1, 5}, huge...), ErrMalformed},
		{"an empty span", []byte{1, factSettled, 1, 5, 1, 2, 0}, ErrMalformed},
		{"a span without end", append([]byte{1, factSettled, 1, 5, 1, 4}, huge...), ErrMalformed},
		{"a span before the first", []byte{1, factSettled, 1, 5, 1, 1, 1}, ErrMalformed},
		{"a settled one that came back", []byte{1, factReturned, 1, 5, 1, 0, 1, 8, 1}, ErrMalformed},
		{"one below the floor that came back", []byte{1, factReturned, 1, 5, 1, 0, 1, 0, 1}, ErrMalformed},
		{"one due that was not for later", []byte{1, factRipened, 1, 5, 1, 6, 1}, ErrMalformed},
		{"a settled one that was requeued", []byte{1, factRequeued, 1, 5, 1, 1, 8, 1}, ErrMalformed},
		{"doomed for no reason", []byte{1, factDoomed, 1, 5, 0, 1, 2, 1}, ErrMalformed},
	} {
		if err := sampleDurable(t).Apply(c.bytes); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRestore(t *testing.T) {
	d := sampleDurable(t)
	snapshot := d.Snapshot(nil)
	r, err := restored(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Equal(d) || d.Equal(NewDurable()) {
		t.Fatal("restored state differs")
	}
	for i, q := range d.byID {
		if o := r.byID[i]; o.count != q.count || o.bytes != q.bytes || o.seq != q.seq {
			t.Fatalf("queue %d: %+v, want %+v", i, o, q)
		}
	}
	for i := range snapshot {
		if _, err := restored(snapshot[:i]); err == nil {
			t.Fatalf("cut to %d of %d bytes: no error", i, len(snapshot))
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	spec := Spec{Name: "q", Settings: NoSettings()}
	// What follows a queue's spec, and a level up to what is varied.
	queue := func(rest ...byte) []byte {
		return append(appendSpec([]byte{2, 101, 1, 1}, &spec), rest...)
	}
	level := func(rest ...byte) []byte { return append(queue(9, 1, 0, 100), rest...) }
	quorum := spec
	quorum.Kind = Quorum
	highLevel := func(rest ...byte) []byte {
		return append(append(appendSpec([]byte{2, 101, 1, 1}, &quorum), 9, 1, high, 100), rest...)
	}
	none := []byte{0, 0, 0, 0, 0, 0}
	for _, c := range []struct {
		name  string
		bytes []byte
		good  bool
	}{
		{"a queue without levels", queue(0, 0, 0), true},
		{"a level", append(level(3, 1, 9), none...), true},
		{"spans and runs", level(9, 1, 9, 2, 4, 1, 2, 2, 1, 3, 1, 0, 3, 9, 0, 1, 0, 2, 5, 0, 0, 0), true},
		{"a next id that was used", appendSpec([]byte{1, 101, 1, 1}, &spec), false},
		{"a next log that was used", append([]byte{2, 100}, append(level(3, 1, 9), none...)[2:]...), false},
		{"an offset beyond reason", append(level(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 9), none...), false},
		{"a floor beyond the end", append(level(3, 4, 9), none...), false},
		{"a settled floor", level(9, 1, 9, 1, 2, 1, 0, 0, 0, 0, 0), false},
		{"spans that touch", level(9, 1, 9, 2, 4, 1, 0, 1, 0, 0, 0, 0, 0), false},
		{"a span beyond the end", level(9, 1, 9, 1, 4, 8, 0, 0, 0, 0, 0), false},
		{"one that became due", level(9, 1, 9, 0, 1, 2, 4|hasPlace, 0, 0, 9, 0, 3, 9, 0, 0, 0, 0), true},
		{"one that became due and came back", level(9, 1, 9, 0, 1, 2, 2|hasPlace, 0, 1, 9, 8, 3, 7, 0, 0, 0, 0), true},
		{"one due that stands nowhere", level(9, 1, 9, 0, 1, 2, 4, 0, 0, 9, 0, 0, 0, 0, 0), false},
		{"one doomed with a place", level(9, 1, 9, 0, 1, 2, 3|hasPlace, 1, 0, 9, 0, 3, 9, 0, 0, 0, 0), false},
		{"a place before its offset", level(9, 1, 9, 0, 1, 2, 4|hasPlace, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0), false},
		{"a place beyond the end", level(9, 1, 9, 0, 1, 2, 4|hasPlace, 0, 0, 9, 0, 9, 9, 0, 0, 0, 0), false},
		{"a settled one apart", level(9, 1, 9, 1, 4, 1, 1, 2, 2, 0, 3, 9, 0, 0, 0, 0, 0), false},
		{"one apart in no state", level(9, 1, 9, 0, 1, 2, 0, 0, 3, 9, 0, 0, 0, 0, 0), false},
		{"one returned for a reason", level(9, 1, 9, 0, 1, 2, 2, 1, 3, 9, 0, 0, 0, 0, 0), false},
		{"one doomed for none", level(9, 1, 9, 0, 1, 2, 3, 0, 3, 9, 0, 0, 0, 0, 0), false},
		{"one apart before its time", level(9, 1, 9, 0, 1, 2, 2, 0, 3, 10, 0, 0, 0, 0, 0), false},
		{"a run beyond the end", level(9, 1, 9, 0, 0, 1, 0, 9, 5, 0, 0, 0), false},
		{"a run in two", level(9, 1, 9, 0, 0, 2, 0, 1, 5, 0, 1, 5, 0, 0, 0), false},
		{"sizes that are not wanted", level(9, 1, 9, 0, 0, 0, 1, 0, 1, 5, 0, 0), false},
		{"the high level of a quorum queue", highLevel(9, 1, 9, 0, 0, 0, 0, 0, 1, 0, 3, 8, 0), true},
		{"one that does not say which are younger", highLevel(9, 1, 9, 0, 0, 0, 0, 0), false},
		{"ids that are not wanted", queue(0, 0, 1, 1, 'x'), false},
	} {
		if d, err := restored(c.bytes); c.good != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		} else if c.good && !bytes.Equal(d.Snapshot(nil), c.bytes) {
			t.Errorf("%s: snapshot again %v, was %v", c.name, d.Snapshot(nil), c.bytes)
		}
	}
}

// FuzzApply applies two entries, the second to what the first left.
func FuzzApply(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(e, e)
	}
	f.Add([]byte{1, factDeleted, 2}, []byte{1, factDeclared, 9, 0, 1, 'x', 0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 0, 0, 0})
	f.Add([]byte{1, factSettled, 1, 5, 1, 2, 3}, []byte{1, factReturned, 1, 0, 1, 0, 1, 0, 2})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := sampleDurable(t)
		for _, e := range [][]byte{a, b} {
			if err := d.Apply(e); err != nil {
				if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
					t.Fatal(err)
				}
				return
			}
			if r, err := restored(d.Snapshot(nil)); err != nil || !r.Equal(d) {
				t.Fatalf("after %x: %v", e, err)
			}
		}
		run(t, d)
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(NewDurable().Snapshot(nil))
	f.Add(sampleDurable(f).Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := restored(b)
		if err != nil {
			return
		}
		again, err := restored(d.Snapshot(nil))
		if err != nil || !again.Equal(d) {
			t.Fatalf("restored again: %v", err)
		}
		run(t, d)
	})
}

// run starts a machine on a state and lets it work a little: whatever the
// state, it does not fail.
func run(t *testing.T, d *Durable) {
	m := NewMachine(d, start, firstLog)
	m.Tick(start)
	for _, id := range sortedKeys(m.queues) {
		m.Decide(start, &Subscribe{Connection: 7, Channel: 1, Consumer: ConsumerID(id), Queue: id, Prefetch: 3})
		m.Decide(start, &Publish{Targets: []ID{id}, Message: Message{Size: 1, ExpiresAfter: None}})
	}
	m.Decide(start.Add(time.Hour), &CloseConnection{Connection: 7})
	m.Tick(start.Add(2 * time.Hour))
	if r, err := restored(d.Snapshot(nil)); err != nil || !r.Equal(d) {
		t.Fatalf("after a run: %v", err)
	}
}
