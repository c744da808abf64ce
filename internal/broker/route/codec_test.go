package route

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// sampleEntries has every type of entry, small and full; applied in order
// they fit.
func sampleEntries() []Entry {
	full := Exchange{
		Name: "x", Type: Delayed, Durable: true, AutoDelete: true, Internal: true, HasAlternate: true, Alternate: "a",
		DelayedType: ConsistentHash, HashHeader: "h", HashProperty: "p", Raw: []byte{0, 1},
	}
	b := Binding{
		Source: "x", Destination: Destination{ToQueue, "q"}, Key: "k",
		Arguments: []Argument{{"", Void}, {"a", Int(1)}, {"b", String("")}},
	}
	withRaw := b
	withRaw.Raw = []byte("raw")
	return []Entry{
		VHostOpened{""}, VHostOpened{"/"},
		ExchangeDeclared{"/", full}, ExchangeDeclared{"/", Exchange{Type: Direct}},
		ExchangeDeclared{"/", Exchange{Name: "y", Type: Topic, HasAlternate: true}},
		Bound{"/", withRaw}, Bound{"/", Binding{Source: "x", Destination: Destination{ToExchange, "y"}, Key: "1"}},
		Bound{"/", Binding{Source: "y", Destination: Destination{ToQueue, "q2"}}},
		Unbound{"/", b}, DestinationGone{"/", "q2"}, ExchangeDeleted{"/", "x"}, VHostClosed{""},
	}
}

func TestEntriesRoundTrip(t *testing.T) {
	for _, e := range sampleEntries() {
		encoded := EncodeEntry(nil, e)
		decoded, err := DecodeEntry(encoded)
		if err != nil {
			t.Fatalf("%#v: %v", e, err)
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
	for _, c := range []struct {
		entry Entry
		want  string
	}{
		{VHostOpened{"/"}, "\x01\x01\x01/"},
		{VHostClosed{"/"}, "\x02\x01\x01/"},
		{ExchangeDeclared{"/", Exchange{Name: "x", Type: Topic, Durable: true}}, "\x03\x01\x01/\x01x\x03\x01\x00"},
		{ExchangeDeclared{"/", Exchange{Name: "x", Type: Delayed, AutoDelete: true, Internal: true, HasAlternate: true, Alternate: "a",
			DelayedType: ConsistentHash, HashHeader: "h", HashProperty: "p", Raw: []byte{9}}},
			"\x03\x01\x01/\x01x\x08\x7e\x01\x09\x01a\x05\x01h\x01p"},
		{ExchangeDeleted{"/", "x"}, "\x04\x01\x01/\x01x"},
		{Bound{"/", Binding{"x", Destination{ToQueue, "q"}, "k", []Argument{{"a", Int(1)}}, []byte{7}}},
			"\x05\x01\x01/\x01x\x00\x01q\x01k\x01\x01a\x02i1\x01\x07"},
		{Unbound{"/", Binding{"x", Destination{ToExchange, "y"}, "", nil, nil}}, "\x06\x01\x01/\x01x\x01\x01y\x00\x00"},
		{DestinationGone{"/", "q"}, "\x07\x01\x01/\x01q"},
	} {
		if got := EncodeEntry(nil, c.entry); string(got) != c.want {
			t.Errorf("%T: %q, want %q", c.entry, got, c.want)
		}
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	huge := string(binary.AppendUvarint(nil, math.MaxUint64))
	for _, c := range []struct {
		name, bytes string
		want        error
	}{
		{"nothing", "", ErrMalformed},
		{"no version", "\x01", ErrMalformed},
		{"type 0", "\x00\x01\x00", ErrMalformed},
		{"version 0", "\x01\x00\x00", ErrMalformed},
		{"a newer type", "\x08\x01\x00", ErrNewer},
		{"a newer version", "\x01\x02\x00", ErrNewer},
		{"a newer exchange type", "\x03\x01\x01/\x01x\x09\x01\x00", ErrNewer},
		{"a newer flag", "\x03\x01\x01/\x01x\x03\x80\x01\x00", ErrNewer},
		{"a newer delayed type", "\x03\x01\x01/\x01x\x08\x10\x00\x09", ErrNewer},
		{"a newer kind of destination", "\x06\x01\x01/\x01x\x02\x01y\x00\x00", ErrNewer},
		{"exchange type 0", "\x03\x01\x01/\x01x\x00\x01\x00", ErrMalformed},
		{"delayed without a type", "\x03\x01\x01/\x01x\x08\x01\x00", ErrMalformed},
		{"a delayed type of a direct one", "\x03\x01\x01/\x01x\x01\x10\x00\x01", ErrMalformed},
		{"a flag without its value", "\x03\x01\x01/\x01x\x05\x20\x00\x00", ErrMalformed},
		{"arguments out of order", "\x06\x01\x01/\x01x\x00\x01q\x00\x02\x01b\x00\x01a\x00", ErrMalformed},
		{"an argument twice", "\x06\x01\x01/\x01x\x00\x01q\x00\x02\x01a\x00\x01a\x00", ErrMalformed},
		{"more arguments than bytes", "\x06\x01\x01/\x01x\x00\x01q\x00" + huge, ErrMalformed},
		{"a string longer than the data", "\x01\x01" + huge, ErrMalformed},
	} {
		if e, err := DecodeEntry([]byte(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %#v, %v, want %v", c.name, e, err, c.want)
		}
	}
}

func sampleDurable(t interface{ Fatal(...any) }) *Durable {
	d := NewDurable()
	for _, e := range sampleEntries()[:8] {
		if err := d.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestSnapshotRefuses(t *testing.T) {
	snapshot := sampleDurable(t).Snapshot(nil)
	for i := range snapshot {
		r := enc.NewReader(snapshot[:i])
		if err := NewDurable().Restore(&r); err == nil {
			t.Errorf("restores from %d of %d bytes", i, len(snapshot))
		}
	}
	for _, c := range []struct {
		name, bytes string
		want        error
	}{
		{"version 0", "\x00\x00", ErrMalformed},
		{"a newer version", "\x02\x00", ErrNewer},
		{"a vhost twice", "\x01\x02\x01/\x00\x00\x01/\x00\x00", ErrMalformed},
		{"a binding of no exchange", "\x01\x01\x01/\x00\x01\x01x\x00\x01q\x00\x00\x00", ErrMalformed},
	} {
		r := enc.NewReader([]byte(c.bytes))
		if err := NewDurable().Restore(&r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestWhatDoesNotFitIsNoticed applies entries that nothing decided.
func TestWhatDoesNotFitIsNoticed(t *testing.T) {
	bound := Binding{Source: "x", Destination: Destination{ToExchange, "y"}, Key: "1"}
	d := sampleDurable(t)
	table := NewTable()
	if err := table.Load(d); err != nil {
		t.Fatal(err)
	}
	before := d.Snapshot(nil)
	for _, e := range []Entry{
		nil, VHostOpened{"/"}, VHostClosed{"w"}, ExchangeDeclared{"w", Exchange{Name: "z", Type: Direct}},
		ExchangeDeclared{"/", Exchange{Name: "x", Type: Direct}}, ExchangeDeleted{"/", "z"},
		Bound{"/", bound}, Bound{"/", Binding{Source: "z", Destination: Destination{ToQueue, "q"}}},
		Bound{"/", Binding{Source: "x", Destination: Destination{ToExchange, "z"}}},
		Unbound{"/", Binding{Source: "x", Destination: Destination{ToQueue, "q9"}}},
		Unbound{"/", Binding{Source: "z", Destination: Destination{ToQueue, "q"}}}, DestinationGone{"w", "q"},
	} {
		if d.Apply(e) == nil || table.Apply(e) == nil {
			t.Errorf("%#v was applied", e)
		}
	}
	if !bytes.Equal(before, d.Snapshot(nil)) {
		t.Error("what was refused changed the state")
	}
}

func FuzzDecodeEntry(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(EncodeEntry(nil, e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			if e != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		encoded := EncodeEntry(nil, e)
		again, err := DecodeEntry(encoded)
		if err != nil || !bytes.Equal(EncodeEntry(nil, again), encoded) {
			t.Fatalf("%#v does not survive a round trip: %v", e, err)
		}
		d, table := sampleDurable(t), NewTable()
		if err := table.Load(d); err != nil {
			t.Fatal(err)
		}
		if e1, e2 := d.Apply(e), table.Apply(e); (e1 == nil) != (e2 == nil) {
			t.Fatalf("state and table disagree: %v, %v", e1, e2)
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(NewDurable().Snapshot(nil))
	f.Add(sampleDurable(f).Snapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := enc.NewReader(b)
		d := NewDurable()
		if errors.Join(d.Restore(&r), r.Done()) != nil {
			return
		}
		snapshot := d.Snapshot(nil)
		if !bytes.Equal(restored(t, snapshot).Snapshot(nil), snapshot) {
			t.Fatal("a restored state differs")
		}
		if err := NewTable().Load(d); err != nil {
			t.Fatal(err)
		}
	})
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		a, b Value
		same bool
	}{
		{Int(1), Uint(1), true}, {Int(1), Float(1), true}, {Int(-1), Float(-1), true}, {Float(0.5), Float(0.5), true},
		{Int(0), Float(math.Copysign(0, -1)), true}, {Uint(math.MaxUint64), Int(-1), false},
		{Int(1), String("1"), false}, {Int(1), Bool(true), false}, {String("true"), Bool(true), false},
		{String(""), Void, false}, {Other("x"), String("x"), false}, {Float(math.Inf(1)), Float(math.Inf(-1)), false},
		{Float(1e300), Float(1e300), true}, {Float(0.5), Float(0.25), false},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("%q and %q: same must be %v", c.a, c.b, c.same)
		}
	}
	if s, ok := String("a").Text(); !ok || s != "a" {
		t.Error("a string is not what it was made of")
	}
	for _, v := range []Value{"", Void, Int(1), Bool(true)} {
		if _, ok := v.Text(); ok {
			t.Errorf("%q is a string", v)
		}
	}
}
