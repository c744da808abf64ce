package access

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
	salt := [SaltBytes]byte{1, 2, 3, 4}
	return []Entry{
		Founded{},
		VHostStored{VHost{Name: "/", Shard: math.MaxUint32, DefaultQueueType: "quorum"}}, VHostStored{VHost{}},
		UserStored{User{Name: "a", Password: HashPassword(SHA256, salt, "p"), Tags: []string{"x", "y"}, LoopbackOnly: true}},
		UserStored{User{Name: "b", Password: HashPassword(SHA512, salt, "p")}}, UserStored{User{}},
		PermissionsSet{Grant{"a", "/", Permissions{"c", "w", ""}}}, PermissionsSet{Grant{"b", "/", Permissions{}}},
		TopicPermissionsSet{TopicGrant{"a", "/", "x", TopicPermissions{"w", "r"}}},
		TopicPermissionsSet{TopicGrant{"b", "", "", TopicPermissions{}}},
		PermissionsCleared{"a", "/"}, TopicPermissionsCleared{"a", "/", "x"}, VHostDeleted{""}, UserDeleted{"b"},
	}
}

func sampleDurable(t interface{ Fatal(...any) }) *Durable {
	d := NewDurable()
	for _, e := range sampleEntries()[:10] {
		if err := d.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return d
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
	hash := HashPassword(SHA256, [SaltBytes]byte{1, 2, 3, 4}, "p")
	for _, c := range []struct {
		entry Entry
		want  string
	}{
		{Founded{}, "\x01\x01"},
		{VHostStored{VHost{"v", 300, "quorum"}}, "\x02\x01\x01v\xac\x02\x06quorum"},
		{VHostDeleted{"v"}, "\x03\x01\x01v"},
		{UserStored{User{"u", PasswordHash{}, nil, false}}, "\x04\x01\x01u\x00\x00\x00\x00"},
		{UserStored{User{"u", hash, []string{"t"}, true}}, "\x04\x01\x01u\x01\x01\x24\x01\x02\x03\x04" + string(hash.digest[:32]) + "\x01\x01t"},
		{UserDeleted{"u"}, "\x05\x01\x01u"},
		{PermissionsSet{Grant{"u", "v", Permissions{"c", "w", "r"}}}, "\x06\x01\x01u\x01v\x01c\x01w\x01r"},
		{PermissionsCleared{"u", "v"}, "\x07\x01\x01u\x01v"},
		{TopicPermissionsSet{TopicGrant{"u", "v", "x", TopicPermissions{"w", "r"}}}, "\x08\x01\x01u\x01v\x01x\x01w\x01r"},
		{TopicPermissionsCleared{"u", "v", "x"}, "\x09\x01\x01u\x01v\x01x"},
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
		{"a newer type", "\x0a\x01", ErrNewer},
		{"a newer version", "\x01\x02", ErrNewer},
		{"a newer flag", "\x04\x01\x01u\x02\x00\x00\x00", ErrNewer},
		{"a newer algorithm", "\x04\x01\x01u\x00\x03\x00\x00", ErrNewer},
		{"a hash without an algorithm", "\x04\x01\x01u\x00\x00\x01x\x00", ErrMalformed},
		{"a hash that is too short", "\x04\x01\x01u\x00\x01\x01x\x00", ErrMalformed},
		{"tags out of order", "\x04\x01\x01u\x00\x00\x00\x02\x01b\x01a", ErrMalformed},
		{"a tag twice", "\x04\x01\x01u\x00\x00\x00\x02\x01a\x01a", ErrMalformed},
		{"more tags than bytes", "\x04\x01\x01u\x00\x00\x00" + huge, ErrMalformed},
		{"a shard beyond uint32", "\x02\x01\x01v" + huge + "\x00", ErrMalformed},
		{"a string longer than the data", "\x03\x01" + huge, ErrMalformed},
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
		{"a newer entry", "\x01\x01\x02\x0a\x01", ErrNewer},
		{"permissions of nobody", "\x01\x01\x07\x06\x01\x00\x00\x00\x00\x00", ErrMalformed},
	} {
		r := enc.NewReader([]byte(c.bytes))
		if err := NewDurable().Restore(&r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestWhatDoesNotFitIsNoticed applies entries that nothing decided.
func TestWhatDoesNotFitIsNoticed(t *testing.T) {
	d, view := sampleDurable(t), NewView()
	if err := view.Load(d); err != nil {
		t.Fatal(err)
	}
	before := d.Snapshot(nil)
	for _, e := range []Entry{
		nil, VHostDeleted{"none"}, UserDeleted{"none"},
		PermissionsSet{Grant{User: "none", VHost: "/"}}, PermissionsSet{Grant{User: "a", VHost: "none"}},
		PermissionsCleared{"none", "/"}, PermissionsCleared{"a", ""},
		TopicPermissionsSet{TopicGrant{User: "none", VHost: "/"}}, TopicPermissionsSet{TopicGrant{User: "a", VHost: "none"}},
		TopicPermissionsCleared{"a", "/", "y"}, TopicPermissionsCleared{"a", "none", "x"},
	} {
		if d.Apply(e) == nil || view.Apply(e) == nil {
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
		d, view := sampleDurable(t), NewView()
		if err := view.Load(d); err != nil {
			t.Fatal(err)
		}
		if e1, e2 := d.Apply(e), view.Apply(e); (e1 == nil) != (e2 == nil) {
			t.Fatalf("state and view disagree: %v, %v", e1, e2)
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
		if !d.Equal(restored(t, d.Snapshot(nil))) {
			t.Fatal("a restored state differs")
		}
		if err := NewView().Load(d); err != nil {
			t.Fatal(err)
		}
	})
}
