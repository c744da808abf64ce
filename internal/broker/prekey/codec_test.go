package prekey

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// sampleEntries has every type of entry, small and full; applied in order they fit.
func sampleEntries() []Entry {
	return []Entry{
		&IdentityStored{Name: "a", RegistrationID: math.MaxUint32, Certificate: []byte("cert"), Signed: SignedKey{1, []byte("k"), []byte("s")}, LastResort: SignedKey{2, []byte("l"), []byte("t")}},
		&IdentityStored{Name: "b"},
		&KeysAdded{Name: "a", OneTimeMax: 9, OneTimeKEMMax: 300, OneTime: []Key{{3, []byte("x")}, {9, nil}}, OneTimeKEM: []SignedKey{{300, []byte("y"), []byte("z")}}},
		&KeysAdded{Name: "b", OneTimeKEMMax: 7},
		&MarksRaised{"a", []Mark{{0, 1}, {1023, math.MaxUint64}}}, &MarksRaised{Name: "b"},
		&KeysTaken{"a", 3, 0}, &KeysTaken{"a", 9, 300}, &KeysDropped{"a", 10, 301}, &KeysTaken{"b", 0, 0},
		&IdentityDeleted{"b"},
	}
}

func sampleDurable(t interface{ Fatal(...any) }) *Durable {
	d := NewDurable()
	for _, e := range sampleEntries()[:6] {
		if err := d.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestEntriesRoundTrip(t *testing.T) {
	d := NewDurable()
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
		if err := d.Apply(decoded); err != nil {
			t.Errorf("%#v does not fit: %v", e, err)
		}
	}
}

// TestEntryBytes pins the released encoding: these bytes never change.
func TestEntryBytes(t *testing.T) {
	signed := SignedKey{5, []byte("k"), []byte("sg")}
	for _, c := range []struct {
		entry Entry
		want  string
	}{
		{&IdentityStored{"n", 300, []byte("c"), signed, SignedKey{}}, "\x01\x01\x01n\xac\x02\x01c\x05\x01k\x02sg\x00"},
		{&KeysAdded{"n", 2, 300, []Key{{1, []byte("a")}, {2, []byte("b")}}, []SignedKey{signed}}, "\x02\x01\x01n\x02\xac\x02\x02\x01\x01a\x02\x01b\x01\x05\x01k\x02sg"},
		{&KeysDropped{"n", 3, 300}, "\x03\x01\x01n\x03\xac\x02"},
		{&KeysTaken{"n", 1, 0}, "\x04\x01\x01n\x01\x00"},
		{&MarksRaised{"n", []Mark{{0, 1}, {7, 300}}}, "\x05\x01\x01n\x02\x00\x01\x07\xac\x02"},
		{&IdentityDeleted{"n"}, "\x06\x01\x01n"},
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
		{"type 0", "\x00\x01", ErrMalformed},
		{"version 0", "\x01\x00", ErrMalformed},
		{"a newer type", "\x07\x01", ErrNewer},
		{"a newer version", "\x01\x02", ErrNewer},
		{"an id beyond uint32", "\x04\x01\x01n" + huge + "\x00", ErrMalformed},
		{"a lane beyond uint32", "\x05\x01\x01n\x01" + huge + "\x01", ErrMalformed},
		{"lanes out of order", "\x05\x01\x01n\x02\x01\x01\x00\x01", ErrMalformed},
		{"a lane twice", "\x05\x01\x01n\x02\x01\x01\x01\x02", ErrMalformed},
		{"keys out of order", "\x02\x01\x01n\x02\x00\x02\x02\x00\x01\x00\x00", ErrMalformed},
		{"a key with the id 0", "\x02\x01\x01n\x02\x00\x01\x00\x00\x00", ErrMalformed},
		{"a key above the highest", "\x02\x01\x01n\x02\x00\x01\x03\x00\x00", ErrMalformed},
		{"a signed key with the id 0", "\x02\x01\x01n\x00\x02\x00\x01\x00", ErrMalformed},
		{"more keys than bytes", "\x02\x01\x01n\x02\x02" + huge, ErrMalformed},
		{"more marks than bytes", "\x05\x01\x01n" + huge, ErrMalformed},
		{"a string longer than the data", "\x06\x01" + huge, ErrMalformed},
	} {
		if e, err := DecodeEntry([]byte(c.bytes)); !errors.Is(err, c.want) {
			t.Errorf("%s: %#v, %v, want %v", c.name, e, err, c.want)
		}
	}
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
		{"a newer entry", "\x01\x01\x02\x07\x01", ErrNewer},
		{"marks of nobody", "\x01\x01\x07\x05\x01\x01n\x01\x00\x01", ErrMalformed},
	} {
		r := enc.NewReader([]byte(c.bytes))
		if err := NewDurable().Restore(&r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestWhatDoesNotFitIsNoticed applies entries that nothing decided.
func TestWhatDoesNotFitIsNoticed(t *testing.T) {
	d := sampleDurable(t)
	before := d.Snapshot(nil)
	for _, e := range []Entry{
		nil, &KeysAdded{Name: "none"}, &KeysDropped{Name: "none"}, &KeysTaken{Name: "none"}, &MarksRaised{Name: "none"}, &IdentityDeleted{"none"},
		&KeysAdded{Name: "a", OneTimeMax: 8, OneTimeKEMMax: 300},
		&KeysAdded{Name: "a", OneTimeMax: 9, OneTimeKEMMax: 300, OneTime: []Key{{ID: 9}}},
		&KeysTaken{"a", 4, 0}, &KeysTaken{"a", 3, 301}, &KeysTaken{"b", 1, 0},
		&MarksRaised{"a", []Mark{{0, 1}}}, &MarksRaised{"a", []Mark{{5, 0}}},
	} {
		if d.Apply(e) == nil {
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
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		encoded := EncodeEntry(nil, e)
		again, err := DecodeEntry(encoded)
		if err != nil || !bytes.Equal(EncodeEntry(nil, again), encoded) {
			t.Fatalf("%#v does not survive a round trip: %v", e, err)
		}
		d := sampleDurable(t)
		if d.Apply(e) == nil {
			checkTotals(t, d)
			restored(t, d.Snapshot(nil))
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
		checkTotals(t, d)
		if !d.Equal(restored(t, d.Snapshot(nil))) {
			t.Fatal("a restored state differs")
		}
	})
}
