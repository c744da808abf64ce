package topic

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// codec is an entry, as the log sees it.
type codec interface {
	Append([]byte) []byte
	Decode([]byte) error
}

// kinds has an empty entry of every type; FuzzEntries numbers them so.
var kinds = []func() codec{
	func() codec { return new(Appended) }, func() codec { return new(Opened) }, func() codec { return new(Dropped) },
	func() codec { return new(Closed) }, func() codec { return new(Started) }, func() codec { return new(ProducersExpired) },
	func() codec { return new(ProducersForgotten) }, func() codec { return new(Created) }, func() codec { return new(Deleted) },
	func() codec { return new(Grown) }, func() codec { return new(Configured) }, func() codec { return new(ProducerGiven) },
	func() codec { return new(Founded) },
}

// pinned has entries, small and full, and the bytes that they are. These bytes
// never change: logs of released versions hold them.
var pinned = []struct {
	kind  int
	entry codec
	want  string
}{
	{0, &Appended{Log: 300, Base: 5, Count: 7, ProducerID: -1}, "\xac\x02\x0a\x07\x01"},
	{0, &Appended{Log: 1, Base: 64, Count: 2, ProducerID: 9, ProducerEpoch: 3, FirstSequence: 200}, "\x01\x80\x01\x02\x12\x06\xc8\x01"},
	{1, &Opened{Topic: ID{1, 15: 2}, First: 4, Partitions: []int32{0, 300}}, id("\x01", "\x02") + "\x04\x02\x00\xac\x02"},
	{1, &Opened{Topic: ID{1}, First: 4, Partitions: []int32{}}, id("\x01", "\x00") + "\x04\x00"},
	{2, &Dropped{Topic: ID{1, 15: 2}}, id("\x01", "\x02")},
	{3, &Closed{Topic: ID{1, 15: 2}, From: 130}, id("\x01", "\x02") + "\x82\x01"},
	{4, &Started{Log: 3, Start: 65}, "\x03\x82\x01"},
	{5, &ProducersExpired{Before: -2}, "\x03"},
	{5, &ProducersExpired{Before: 1_700_000_000_000}, "\x80\xa0\xab\xfe\xf9\x62"},
	{6, &ProducersForgotten{Producers: []ProducerOf{{Log: 2, ID: 1}, {Log: 300, ID: 0}}}, "\x02\x02\x02\xac\x02\x00"},
	{7, &Created{ID: ID{1, 15: 2}, Name: "t", Settings: map[string]string{"b": "", "a": "xy"}, Shards: []uint32{0, 2, 1}},
		id("\x01", "\x02") + "\x01t" + "\x02\x01a\x02xy\x01b\x00" + "\x03\x00\x02\x01"},
	{8, &Deleted{ID: ID{1, 15: 2}}, id("\x01", "\x02")},
	{9, &Grown{ID: ID{1, 15: 2}, Shards: []uint32{1, 63}}, id("\x01", "\x02") + "\x02\x01\x3f"},
	{10, &Configured{ID: ID{}, Settings: map[string]string{"a": "b"}}, id("\x00", "\x00") + "\x01\x01a\x01b"},
	{11, &ProducerGiven{ProducerID: 300}, "\xac\x02"},
	{12, &Founded{Cluster: [16]byte{1, 15: 2}, Shards: 3}, id("\x01", "\x02") + "\x03"},
}

// id is 16 bytes that begin and end with the given ones.
func id(first, last string) string { return first + strings.Repeat("\x00", 14) + last }

// TestBytesOfEntries pins the encoding of every entry.
func TestBytesOfEntries(t *testing.T) {
	seen := map[int]bool{}
	for _, c := range pinned {
		seen[c.kind] = true
		if got := c.entry.Append(nil); string(got) != c.want {
			t.Errorf("%+v: %q, want %q", c.entry, got, c.want)
		}
		got := kinds[c.kind]()
		if err := got.Decode([]byte(c.want)); err != nil || !reflect.DeepEqual(got, c.entry) {
			t.Errorf("%q: %+v, %v, want %+v", c.want, got, err, c.entry)
		}
		for i := range c.want {
			if kinds[c.kind]().Decode([]byte(c.want[:i])) == nil {
				t.Errorf("%T decodes from %d of %d bytes", c.entry, i, len(c.want))
			}
		}
		if kinds[c.kind]().Decode([]byte(c.want+"\x00")) == nil {
			t.Errorf("%T decodes with a byte too many", c.entry)
		}
	}
	if len(seen) != len(kinds) {
		t.Errorf("%d of %d types of entries are pinned", len(seen), len(kinds))
	}
}

// TestEntriesOutOfRange: a number that its field cannot hold is an error, and
// is not cut.
func TestEntriesOutOfRange(t *testing.T) {
	const uint33, uint64max = "\x80\x80\x80\x80\x10", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	for name, c := range map[string]struct {
		kind  int
		bytes string
	}{
		"records":          {0, "\x01\x00" + uint64max + "\x01"},
		"producer epoch":   {0, "\x01\x00\x01\x12\x80\x80\x04\x00"},
		"first sequence":   {0, "\x01\x00\x01\x12\x00\x80\x80\x80\x80\x08"},
		"partition":        {1, id("\x01", "\x02") + "\x01\x01" + uint33},
		"from":             {3, id("\x01", "\x02") + uint33},
		"shard":            {9, id("\x01", "\x02") + "\x01" + uint33},
		"given producer":   {11, uint64max},
		"number of shards": {12, id("\x01", "\x02") + uint33},
	} {
		if e := kinds[c.kind](); e.Decode([]byte(c.bytes)) == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// FuzzEntries decodes anything as an entry of each type. What decodes is
// encoded to bytes that mean the same, and has no more in it than the bytes.
func FuzzEntries(f *testing.F) {
	for _, c := range pinned {
		f.Add(byte(c.kind), []byte(c.want))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		e, again := kinds[int(kind)%len(kinds)](), kinds[int(kind)%len(kinds)]()
		if e.Decode(b) != nil {
			return
		}
		encoded := e.Append(nil)
		if err := again.Decode(encoded); err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v comes back as %+v, %v", e, again, err)
		}
		if !bytes.Equal(again.Append(nil), encoded) || len(encoded) > len(b) {
			t.Fatalf("%x is encoded as %x, then as %x", b, encoded, again.Append(nil))
		}
	})
}

// TestSnapshotsThatNobodyWrote are errors: a state restored from one would fail
// later.
func TestSnapshotsThatNobodyWrote(t *testing.T) {
	a, b := id("\x01", "\x00"), id("\x02", "\x00")
	log := func(number, topic, producers string) string { return number + topic + "\x00\x00\x00\x00" + producers }
	producer := "\x0e\x00\x00\x01\x00\x00\x00" // id 7, one batch
	for name, c := range map[string]struct {
		bytes string
		ok    bool
	}{
		"good":                     {"\x03\x02" + log("\x01", a, "\x01"+producer) + log("\x02", b, "\x00"), true},
		"a log twice":              {"\x03\x02" + log("\x01", a, "\x00") + log("\x01", b, "\x00"), false},
		"a partition twice":        {"\x03\x02" + log("\x01", a, "\x00") + log("\x02", a, "\x00"), false},
		"a log from the future":    {"\x01\x01" + log("\x01", a, "\x00"), false},
		"a producer twice":         {"\x02\x01" + log("\x01", a, "\x02"+producer+producer), false},
		"a producer without batch": {"\x02\x01" + log("\x01", a, "\x01\x0e\x00\x00\x00"), false},
		"a producer with six":      {"\x02\x01" + log("\x01", a, "\x01\x0e\x00\x00\x06"+strings.Repeat("\x00", 18)), false},
	} {
		r := enc.NewReader([]byte(c.bytes))
		if err := errors.Join(NewLogs().Restore(&r), r.Done()); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	head := id("\x01", "\x00") + "\x01\x00\x00"
	for name, c := range map[string]struct {
		bytes string
		ok    bool
	}{
		"good":         {head + "\x02" + a + "\x01a\x00\x00" + b + "\x01b\x00\x00", true},
		"a name twice": {head + "\x02" + a + "\x01a\x00\x00" + b + "\x01a\x00\x00", false},
		"an id twice":  {head + "\x02" + a + "\x01a\x00\x00" + a + "\x01b\x00\x00", false},
	} {
		r := enc.NewReader([]byte(c.bytes))
		if err := errors.Join(NewCatalog().Restore(&r), r.Done()); (err == nil) != c.ok {
			t.Errorf("catalogue, %s: %v", name, err)
		}
	}
}
