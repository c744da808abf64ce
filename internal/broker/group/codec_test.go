package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

// sampleEntries has every type of entry, small and full.
func sampleEntries() []Entry {
	member := Member{
		ID: "c-1", InstanceID: "i", ClientID: "c", ClientHost: "/10.0.0.1",
		SessionTimeout: 45 * time.Second, RebalanceTimeout: 5 * time.Minute,
		Protocols:  []Protocol{{Name: "range", Metadata: []byte{0, 1, 2}}, {Name: "sticky"}},
		Assignment: []byte("x0"),
	}
	topics := []TopicPartitions{{Topic: "x", Partitions: []int32{0, 1, math.MaxInt32}}, {Topic: "y", Partitions: []int32{7}}}
	return []Entry{
		GroupStored{Group: "g", Generation: Generation{ProtocolType: "consumer", Protocol: "range", Leader: "c-1", Number: 3, Members: []Member{member, {ID: "d-2", Protocols: []Protocol{}}}}},
		GroupStored{Group: "g", Generation: Generation{ProtocolType: "consumer", Number: math.MaxInt32, EmptySince: start.UnixMilli()}},
		GroupStored{},
		GroupDeleted{Group: "g"},
		OffsetsCommitted{Group: "g", CommittedAt: start.UnixMilli(), ExpiresAt: math.MaxInt64, Topics: []CommitTopic{
			{Topic: "x", ID: TopicID{1, 2, 3}, Partitions: []CommitPartition{{Partition: 1, Offset: math.MaxInt64, LeaderEpoch: -1, Metadata: "m"}, {}}},
			{Topic: "y", Partitions: []CommitPartition{{Partition: math.MaxInt32, Offset: NoOffset, LeaderEpoch: 5}}},
		}},
		OffsetsDeleted{Group: "g", Topics: topics},
		OffsetsExpired{Group: "h", Topics: topics},
	}
}

func sampleDurable() *Durable {
	d := NewDurable()
	for _, e := range sampleEntries() {
		if _, deleted := e.(GroupDeleted); !deleted {
			d.Apply(e)
		}
	}
	return d
}

func TestEntriesRoundTrip(t *testing.T) {
	for _, e := range sampleEntries() {
		encoded := EncodeEntry(nil, e)
		decoded, err := DecodeEntry(encoded)
		if err != nil {
			t.Fatalf("%T: %v", e, err)
		}
		if again := EncodeEntry(nil, decoded); !bytes.Equal(again, encoded) {
			t.Errorf("%T:\n%x\n%x", e, encoded, again)
		}
		for i := range encoded {
			if _, err := DecodeEntry(encoded[:i]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%T cut to %d of %d bytes: %v", e, i, len(encoded), err)
			}
		}
		if _, err := DecodeEntry(append(encoded, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T with a byte too many: %v", e, err)
		}
	}
}

// TestEntryBytes pins the released encoding: these bytes never change.
func TestEntryBytes(t *testing.T) {
	e := OffsetsCommitted{Group: "g", CommittedAt: 1, ExpiresAt: 0, Topics: []CommitTopic{
		{Topic: "x", Partitions: []CommitPartition{{Partition: 2, Offset: 300, LeaderEpoch: -1, Metadata: "m"}}}}}
	want := []byte{3, 1, 1, 'g', 2, 0, 1, 1, 'x', 0, 1, 4, 0xd8, 4, 1, 1, 'm'}
	if got := EncodeEntry(nil, e); !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s := GroupStored{Group: "g", Generation: Generation{ProtocolType: "t", Protocol: "p", Leader: "m", Number: 1, Members: []Member{
		{ID: "m", SessionTimeout: time.Second, RebalanceTimeout: time.Millisecond, Protocols: []Protocol{{Name: "p", Metadata: []byte{9}}}, Assignment: []byte{8}}}}}
	want = []byte{1, 1, 1, 'g', 1, 't', 1, 'p', 1, 'm', 2, 0, 1, 1, 'm', 0, 0, 0, 0xe8, 7, 1, 1, 1, 'p', 1, 9, 1, 8}
	if got := EncodeEntry(nil, s); !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	huge := binary.AppendUvarint(nil, math.MaxUint64)
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"nothing", nil, ErrMalformed},
		{"no version", []byte{typeGroupDeleted}, ErrMalformed},
		{"type 0", []byte{0, 1, 0}, ErrMalformed},
		{"version 0", []byte{typeGroupDeleted, 0, 0}, ErrMalformed},
		{"a newer type", []byte{typeOffsetsExpired + 1, 1}, ErrNewer},
		{"a newer version", []byte{typeGroupDeleted, 2, 0xff}, ErrNewer},
		{"a string longer than the data", append([]byte{typeGroupDeleted, 1}, huge...), ErrMalformed},
		{"more topics than bytes", append([]byte{typeOffsetsDeleted, 1, 0}, huge...), ErrMalformed},
		{"a number that is not shortest", []byte{typeGroupDeleted, 1, 0x80, 0}, ErrMalformed},
		{"a number without end", []byte{typeGroupDeleted, 1, 0x80}, ErrMalformed},
		{"a partition beyond int32", append([]byte{typeOffsetsDeleted, 1, 0, 1, 0, 1}, huge...), ErrMalformed},
		{"a topic id that is zero", append([]byte{typeOffsetsCommitted, 1, 0, 0, 0, 1, 0, 1}, make([]byte, 17)...), ErrMalformed},
		{"a topic id of no kind", []byte{typeOffsetsCommitted, 1, 0, 0, 0, 1, 0, 2, 0}, ErrMalformed},
		{"a timeout beyond int32", append([]byte{typeGroupStored, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, append(huge, 0, 0, 0)...), ErrMalformed},
	} {
		if _, err := DecodeEntry(c.bytes); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestRestore(t *testing.T) {
	d := sampleDurable()
	snapshot := d.Snapshot()
	restored, err := Restore(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if !restored.Equal(d) || d.Equal(NewDurable()) {
		t.Fatal("restored state differs")
	}
	for i := range snapshot {
		if _, err := Restore(snapshot[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut to %d of %d bytes: %v", i, len(snapshot), err)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	group := func(name byte) []byte { return []byte{1, name, 0, 0, 0, 0, 0, 0, 0} }
	for _, c := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"version 0", []byte{0, 0}, ErrMalformed},
		{"a newer version", []byte{2, 0xff}, ErrNewer},
		{"trailing bytes", []byte{1, 0, 0}, ErrMalformed},
		{"groups that descend", slices.Concat([]byte{1, 2}, group('b'), group('a')), ErrMalformed},
		{"a group twice", slices.Concat([]byte{1, 2}, group('a'), group('a')), ErrMalformed},
		{"a topic without partitions", []byte{1, 1, 1, 'g', 0, 0, 0, 0, 0, 0, 1, 1, 'x', 0, 0, 0, 0, 0, 0, 0}, ErrMalformed},
	} {
		if _, err := Restore(c.bytes); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestSnapshotIsOrdered takes many snapshots of a state whose maps Go ranges
// over in another order each time.
func TestSnapshotIsOrdered(t *testing.T) {
	d := NewDurable()
	for _, group := range []string{"c", "a", "b"} {
		for _, topic := range []string{"z", "x", "y"} {
			for _, p := range []int32{3, 1, 2} {
				d.Apply(OffsetsCommitted{Group: group, Topics: []CommitTopic{{Topic: topic, Partitions: []CommitPartition{{Partition: p}}}}})
			}
		}
	}
	first := d.Snapshot()
	for range 50 {
		if !bytes.Equal(first, d.Snapshot()) {
			t.Fatal("two snapshots of one state differ")
		}
	}
}

func TestSubscribedTopics(t *testing.T) {
	for _, c := range []struct {
		name     string
		metadata []byte
		want     []string
		ok       bool
	}{
		{"two", subscription("", "x", "yy"), []string{"x", "yy"}, true},
		{"none", subscription(""), []string{}, true},
		{"a later version with more behind", append([]byte{0, 3}, subscription("user", "x")[2:]...), []string{"x"}, true},
		{"empty", nil, nil, false},
		{"negative version", []byte{0xff, 0xff, 0, 0, 0, 0}, nil, false},
		{"more topics than bytes", []byte{0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0}, nil, false},
		{"a name that is cut", []byte{0, 0, 0, 0, 0, 1, 0, 5, 'x'}, nil, false},
		{"a length that is cut", []byte{0, 0, 0, 0, 0, 2, 0, 1, 'x', 0}, nil, false},
	} {
		got, ok := subscribedTopics(c.metadata)
		if ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v, want %q %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(EncodeEntry(nil, e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			if e != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatalf("%v, %v", e, err)
			}
			return
		}
		if again := EncodeEntry(nil, e); !bytes.Equal(again, b) {
			t.Fatalf("encoded again: %x, was %x", again, b)
		}
		d := sampleDurable()
		d.Apply(e)
		if restored, err := Restore(d.Snapshot()); err != nil || !restored.Equal(d) {
			t.Fatalf("after %T: %v", e, err)
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(NewDurable().Snapshot())
	f.Add(sampleDurable().Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Restore(b)
		if err != nil {
			if d != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatalf("%v, %v", d, err)
			}
			return
		}
		if again := d.Snapshot(); !bytes.Equal(again, b) {
			t.Fatalf("snapshot again: %x, was %x", again, b)
		}
	})
}

func FuzzSubscribedTopics(f *testing.F) {
	f.Add(subscription("", "x", "yy"))
	f.Add(subscription("user"))
	f.Fuzz(func(t *testing.T, b []byte) {
		topics, ok := subscribedTopics(b)
		n := 6
		for _, topic := range topics {
			n += 2 + len(topic)
		}
		if ok && (n > len(b) || len(topics) != int(binary.BigEndian.Uint32(b[2:]))) {
			t.Fatalf("%d topics of %d bytes out of %d", len(topics), n, len(b))
		}
	})
}
