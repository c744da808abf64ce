package topic

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// open returns a shard with one log, id 1.
func open(t interface{ Fatal(...any) }) (*Logs, *Log) {
	s := NewLogs()
	e, ok := s.DecideOpen(ID{1}, []int32{0})
	if !ok {
		t.Fatal("nothing to open")
	}
	s.ApplyOpened(&e)
	return s, s.Get(1)
}

// produce decides and, if accepted, applies a batch.
func produce(t interface{ Fatal(...any) }, s *Logs, b Batch) (Appended, Outcome) {
	l := s.Get(1)
	e, out := l.DecideAppend(1, b)
	if out == Accepted {
		if err := s.ApplyAppended(&e, 1, 1000); err != nil {
			t.Fatal(err)
		}
	}
	return e, out
}

func TestProducerWindow(t *testing.T) {
	type step struct {
		b    Batch
		want Outcome
		base int64
	}
	seq := func(epoch int16, first int32, count int64) Batch { return Batch{count, 7, epoch, first} }
	for name, steps := range map[string][]step{
		"next and repeat": {
			{seq(0, 0, 3), Accepted, 0}, {seq(0, 3, 2), Accepted, 3},
			{seq(0, 0, 3), Duplicate, 0}, {seq(0, 3, 2), Duplicate, 3},
		},
		"gap": {{seq(0, 0, 1), Accepted, 0}, {seq(0, 2, 1), SequenceOutOfOrder, 0}},
		"any of the last five is a repeat, the sixth is not": {
			{seq(0, 0, 1), Accepted, 0}, {seq(0, 1, 1), Accepted, 1}, {seq(0, 2, 1), Accepted, 2},
			{seq(0, 3, 1), Accepted, 3}, {seq(0, 4, 1), Accepted, 4}, {seq(0, 5, 1), Accepted, 5},
			{seq(0, 0, 1), SequenceOutOfOrder, 0},
			{seq(0, 1, 1), Duplicate, 1}, {seq(0, 3, 1), Duplicate, 3}, {seq(0, 5, 1), Duplicate, 5},
		},
		"same first, other length": {{seq(0, 0, 3), Accepted, 0}, {seq(0, 0, 2), SequenceOutOfOrder, 0}},
		"wrap": {
			{seq(0, math.MaxInt32-1, 2), Accepted, 0}, {seq(0, 0, 1), Accepted, 2},
		},
		"wrap within a batch": {
			{seq(0, math.MaxInt32, 3), Accepted, 0}, {seq(0, 2, 1), Accepted, 3}, {seq(0, math.MaxInt32, 3), Duplicate, 0},
		},
		"new epoch starts at zero": {
			{seq(0, 0, 1), Accepted, 0}, {seq(1, 1, 1), SequenceOutOfOrder, 0}, {seq(1, 0, 1), Accepted, 1},
			{seq(0, 1, 1), StaleEpoch, 0}, {seq(1, 1, 1), Accepted, 2},
		},
		"unknown producer may start anywhere": {{seq(3, 99, 1), Accepted, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := open(t)
			for i, st := range steps {
				e, out := produce(t, s, st.b)
				if out != st.want || (out == Accepted || out == Duplicate) && e.Base != st.base {
					t.Fatalf("step %d: %v at %d, want %v at %d", i, out, e.Base, st.want, st.base)
				}
			}
		})
	}
}

// TestReplayEqualsLive feeds random batches, retries and trims to one state
// and their encoded entries to another.
func TestReplayEqualsLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live, _ := open(t)
		replay, _ := open(t)
		now := int64(1000)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0:
				l := live.Get(1)
				e := Started{1, rapid.Int64Range(l.Start, l.Next).Draw(t, "start")}
				var got Started
				decode(t, e.Append(nil), &got)
				live.ApplyStarted(&e)
				replay.ApplyStarted(&got)
			case 1:
				e := ProducersExpired{now - rapid.Int64Range(-5, 20).Draw(t, "age")}
				live.ApplyProducersExpired(&e)
				replay.ApplyProducersExpired(&e)
				for _, p := range live.Get(1).Producers() {
					if p.LastTime < e.Before {
						t.Fatalf("producer %d outlives its expiry", p.ID)
					}
				}
			case 2:
				max := rapid.IntRange(1, 4).Draw(t, "max")
				before := live.Producers()
				e, ok := live.DecideForget(max)
				if ok != (before >= max) {
					t.Fatalf("%d producers, at most %d: %v", before, max, ok)
				}
				if !ok {
					continue
				}
				var got ProducersForgotten
				decode(t, e.Append(nil), &got)
				live.ApplyProducersForgotten(&e)
				replay.ApplyProducersForgotten(&got)
				if live.Producers() != max-1 {
					t.Fatalf("%d producers are left", live.Producers())
				}
			default:
				b := Batch{
					Count:         rapid.Int64Range(1, 4).Draw(t, "count"),
					ProducerID:    rapid.Int64Range(-1, 2).Draw(t, "pid"),
					ProducerEpoch: int16(rapid.IntRange(0, 2).Draw(t, "epoch")),
					FirstSequence: int32(rapid.IntRange(0, 12).Draw(t, "seq")),
				}
				e, out := live.Get(1).DecideAppend(1, b)
				if out != Accepted {
					continue
				}
				var got Appended
				decode(t, e.Append(nil), &got)
				epoch := uint32(rapid.IntRange(1, 3).Draw(t, "leader epoch"))
				now += rapid.Int64Range(0, 10).Draw(t, "passed") // time never goes back in a log
				if err := live.ApplyAppended(&e, epoch, now); err != nil {
					t.Fatal(err)
				}
				if err := replay.ApplyAppended(&got, epoch, now); err != nil {
					t.Fatal(err)
				}
			}
			snap := live.Snapshot(nil)
			if !bytes.Equal(snap, replay.Snapshot(nil)) {
				t.Fatal("replay differs from live")
			}
			restored := NewLogs()
			r := enc.NewReader(snap)
			if err := restored.Restore(&r); err != nil || r.Done() != nil {
				t.Fatal(err, r.Done())
			}
			if !bytes.Equal(snap, restored.Snapshot(nil)) {
				t.Fatal("a restored snapshot differs")
			}
			checkAging(t, live)
			checkAging(t, restored)
		}
	})
}

// checkAging: all producers are in the list, oldest first.
func checkAging(t *rapid.T, s *Logs) {
	n, last := 0, int64(0)
	for p := s.aging.oldest; p != nil; p = p.newer {
		if p.time < last || s.byID[p.log.ID].producers[p.id] != p || p.newer == nil && s.aging.newest != p {
			t.Fatalf("producer %d of log %d is out of order, or forgotten", p.id, p.log.ID)
		}
		n, last = n+1, p.time
	}
	all := 0
	for _, l := range s.byID {
		all += len(l.producers)
	}
	if n != all || n != s.Producers() {
		t.Fatalf("%d producers, of which %d in the list, and %d are counted", all, n, s.Producers())
	}
}

// TestOldestProducersAreForgotten, a thousandth at a time, in all logs; those of
// a dropped topic are forgotten with it.
func TestOldestProducersAreForgotten(t *testing.T) {
	s := NewLogs()
	for i := range byte(3) {
		e, _ := s.DecideOpen(ID{i}, []int32{0, 1})
		s.ApplyOpened(&e)
	}
	const max = 3000
	for i := range int64(max) {
		id := datafile.LogID(1 + i%6)
		e, _ := s.Get(id).DecideAppend(id, Batch{Count: 1, ProducerID: i})
		if err := s.ApplyAppended(&e, 1, i); err != nil {
			t.Fatal(err)
		}
		if _, full := s.DecideForget(max); full != (i == max-1) {
			t.Fatalf("full with %d producers", i+1)
		}
	}
	again, _ := s.Get(1).DecideAppend(1, Batch{Count: 1, ProducerID: 0, FirstSequence: 1})
	if err := s.ApplyAppended(&again, 1, max); err != nil { // the oldest is heard of again
		t.Fatal(err)
	}
	e, full := s.DecideForget(max)
	want := []ProducerOf{{2, 1}, {3, 2}, {4, 3}, {5, 4}}
	if !full || !slices.Equal(e.Producers, want) {
		t.Fatalf("%+v", e)
	}
	s.ApplyProducersForgotten(&e)
	if s.Producers() != max-4 || s.Get(2).Knows(1) || !s.Get(1).Knows(0) || !s.Get(6).Knows(5) {
		t.Fatalf("%d producers are left", s.Producers())
	}
	s.ApplyDropped(&Dropped{ID{0}})
	if n := s.Producers(); n != max-4-(max/3-1) {
		t.Fatalf("%d producers are left after a topic was dropped", n)
	}
	s.ApplyProducersForgotten(&ProducersForgotten{want}) // of a log that is gone, and gone themselves
	s.ApplyProducersExpired(&ProducersExpired{Before: max - 6})
	if n := s.Producers(); n != 4 {
		t.Fatalf("%d producers are left after all others have expired", n)
	}
}

func decode(t *rapid.T, b []byte, x interface{ Decode([]byte) error }) {
	if err := x.Decode(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if x.Decode(b[:i]) == nil {
			t.Fatalf("%T decodes from %d of %d bytes", x, i, len(b))
		}
	}
	if err := x.Decode(b); err != nil {
		t.Fatal(err)
	}
}

func TestAppendThatDoesNotFitIsNoticed(t *testing.T) {
	s, _ := open(t)
	if s.ApplyAppended(&Appended{Log: 1, Base: 5, Count: 1, ProducerID: -1}, 1, 1) == nil {
		t.Error("a gap was applied")
	}
	if s.ApplyOpened(&Opened{Topic: ID{2}, First: 1, Partitions: []int32{0}}) == nil {
		t.Error("a log was opened again")
	}
	if s.ApplyOpened(&Opened{Topic: ID{1}, First: 2, Partitions: []int32{0}}) == nil {
		t.Error("a partition was opened again")
	}
	if s.ApplyAppended(&Appended{Log: 2, Base: 0, Count: 1, ProducerID: -1}, 1, 1) == nil {
		t.Error("an unknown log was appended to")
	}
}

func TestCatalogRoundTrip(t *testing.T) {
	c := NewCatalog()
	c.ApplyFounded(&Founded{Cluster: [16]byte{9}})
	var created Created
	if err := created.Decode((&Created{ID: ID{1}, Name: "a", Settings: map[string]string{"k": "v", "a": "b"}, Shards: []uint32{0, 1, 2}}).Append(nil)); err != nil {
		t.Fatal(err)
	}
	c.ApplyCreated(&created)
	c.ApplyCreated(&Created{ID: ID{2}, Name: "b"})
	c.ApplyGrown(&Grown{ID: ID{1}, Shards: []uint32{2}})
	c.ApplyConfigured(&Configured{ID: ID{2}, Settings: map[string]string{"x": "y"}})
	c.ApplyConfigured(&Configured{Settings: map[string]string{"broker": "wide"}})
	c.ApplyDeleted(&Deleted{ID: ID{3}})
	c.ApplyProducerGiven(&ProducerGiven{ProducerID: 41})
	snap := c.Snapshot(nil)
	got := NewCatalog()
	r := enc.NewReader(snap)
	if err := got.Restore(&r); err != nil || r.Done() != nil {
		t.Fatal(err, r.Done())
	}
	if !bytes.Equal(snap, got.Snapshot(nil)) {
		t.Fatal("a restored catalogue differs")
	}
	if n := got.SettingsBytes(); n != len("kvab")+len("xy")+len("broker"+"wide") || n != c.SettingsBytes() {
		t.Fatalf("settings of %d bytes, %d before", n, c.SettingsBytes())
	}
	a := got.ByName("a")
	if a == nil || len(a.Shards) != 4 || a.Settings["k"] != "v" || got.ByID(ID{2}).Settings["x"] != "y" ||
		got.NextProducer != 42 || got.Settings["broker"] != "wide" {
		t.Fatalf("%+v", got)
	}
	c.ApplyDeleted(&Deleted{ID: ID{1}})
	if c.ByName("a") != nil || c.ByID(ID{1}) != nil {
		t.Fatal("a deleted topic is still there")
	}
	if n := c.SettingsBytes(); n != len("xy")+len("broker"+"wide") {
		t.Fatalf("settings of %d bytes after a deletion", n)
	}
}

// TestClosed: what a topic does not show is forgotten, and the rest stays.
func TestClosed(t *testing.T) {
	s := NewLogs()
	e, _ := s.DecideOpen(ID{1}, []int32{0, 2, 4, 6})
	s.ApplyOpened(&e)
	var c Closed
	if err := c.Decode((&Closed{ID{1}, 4}).Append(nil)); err != nil {
		t.Fatal(err)
	}
	if !s.HasFrom(ID{1}, 4) {
		t.Fatal("nothing to close")
	}
	s.ApplyClosed(&c)
	if s.HasFrom(ID{1}, 3) || !s.HasFrom(ID{1}, 2) || s.Len() != 2 || s.Find(ID{1}, 2) != 2 || s.Find(ID{1}, 4) != 0 {
		t.Fatalf("%+v", s)
	}
	if e, ok := s.DecideOpen(ID{1}, []int32{2, 4}); !ok || e.First != 5 || len(e.Partitions) != 1 {
		t.Fatalf("a log id is given twice: %+v", e)
	}
	s.ApplyClosed(&Closed{ID{1}, 0})
	if s.HasFrom(ID{1}, 0) || len(s.Topics()) != 0 {
		t.Fatal("an empty topic stays")
	}
}

func FuzzRestore(f *testing.F) {
	s, _ := open(f)
	produce(f, s, Batch{3, 7, 0, 0})
	f.Add(s.Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := enc.NewReader(b)
		logs := NewLogs()
		if logs.Restore(&r) != nil {
			return
		}
		snap := logs.Snapshot(nil)
		again := enc.NewReader(snap)
		restored := NewLogs()
		if err := restored.Restore(&again); err != nil || again.Done() != nil || !bytes.Equal(restored.Snapshot(nil), snap) {
			t.Fatalf("%x is restored as something else: %v", snap, err)
		}
		for _, id := range logs.IDs() {
			logs.Get(id).Producers()
		}
		for _, id := range logs.Topics() {
			logs.ApplyDropped(&Dropped{id})
		}
		if logs.Len() != 0 || logs.Producers() != 0 {
			t.Fatalf("%d logs and %d producers are left of nothing", logs.Len(), logs.Producers())
		}
	})
}

func BenchmarkDecideAppend(b *testing.B) {
	s, l := open(b)
	b.ReportAllocs()
	seq := int32(0)
	for b.Loop() {
		e, out := l.DecideAppend(1, Batch{10, 7, 0, seq})
		if out != Accepted {
			b.Fatal(out)
		}
		if err := s.ApplyAppended(&e, 1, 1000); err != nil {
			b.Fatal(err)
		}
		seq = int32((uint32(seq) + 10) & 0x7fffffff)
	}
}
