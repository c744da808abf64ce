package prekey

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Durable is the identities of a broker: what survives a crash. It changes only in
// Apply; one goroutine owns it. Bytes that are in it are never changed, only
// replaced, so that they may be shown while it goes on.
type Durable struct {
	identities map[string]*identity
	totals     Totals // of what is in identities
}

// identity is one that has published. Waiting keys ascend by id.
type identity struct {
	IdentityStored
	oneTime       []Key
	oneTimeKEM    []SignedKey
	oneTimeMax    uint32 // the highest id that was ever published
	oneTimeKEMMax uint32
	marks         map[uint32]uint64 // by lane; none is 0
	bytes         int               // about what it takes
}

// NewDurable returns the state before the first entry.
func NewDurable() *Durable { return &Durable{identities: map[string]*identity{}} }

// Apply takes in one fact and its slices. An error means that the entry does not
// fit the state: it was not decided on it.
func (d *Durable) Apply(e Entry) error {
	switch e := e.(type) {
	case *IdentityStored:
		return d.store(e)
	case *KeysAdded:
		return d.change(e.Name, func(i *identity) error { return i.add(e) })
	case *KeysDropped:
		return d.change(e.Name, func(i *identity) error { return i.drop(e) })
	case *KeysTaken:
		return d.change(e.Name, func(i *identity) error { return i.take(e) })
	case *MarksRaised:
		return d.change(e.Name, func(i *identity) error { return i.raise(e) })
	case *IdentityDeleted:
		i := d.identities[e.Name]
		if i == nil {
			return noIdentity(e.Name)
		}
		d.count(i, -1)
		delete(d.identities, e.Name)
		return nil
	}
	return fmt.Errorf("entry %T is not one of package prekey", e)
}

func (d *Durable) store(e *IdentityStored) error {
	i := d.identities[e.Name]
	if i == nil {
		i = &identity{marks: map[uint32]uint64{}, bytes: identityOverhead}
		d.identities[e.Name] = i
	} else {
		d.count(i, -1)
		i.bytes -= i.IdentityStored.size()
	}
	i.IdentityStored = *e
	i.bytes += e.size()
	d.count(i, 1)
	return nil
}

// change has how change an identity, and counts what is there before and after.
func (d *Durable) change(name string, how func(*identity) error) error {
	i := d.identities[name]
	if i == nil {
		return noIdentity(name)
	}
	d.count(i, -1)
	err := how(i)
	d.count(i, 1)
	return err
}

func (d *Durable) count(i *identity, sign int) {
	d.totals.Identities += sign
	d.totals.OneTime += sign * len(i.oneTime)
	d.totals.OneTimeKEM += sign * len(i.oneTimeKEM)
	d.totals.Bytes += sign * i.bytes
}

func (i *identity) add(e *KeysAdded) error {
	fits := e.OneTimeMax >= i.oneTimeMax && e.OneTimeKEMMax >= i.oneTimeKEMMax &&
		(len(e.OneTime) == 0 || e.OneTime[0].ID > i.oneTimeMax) && (len(e.OneTimeKEM) == 0 || e.OneTimeKEM[0].ID > i.oneTimeKEMMax)
	if !fits {
		return fmt.Errorf("one-time keys of identity '%s' with ids that were used before", e.Name)
	}
	i.oneTimeMax, i.oneTimeKEMMax = e.OneTimeMax, e.OneTimeKEMMax
	i.oneTime, i.oneTimeKEM = append(i.oneTime, e.OneTime...), append(i.oneTimeKEM, e.OneTimeKEM...)
	i.bytes += keysSize(e.OneTime) + signedKeysSize(e.OneTimeKEM)
	return nil
}

func (i *identity) drop(e *KeysDropped) error {
	n, m := i.below(e)
	i.bytes -= keysSize(i.oneTime[:n]) + signedKeysSize(i.oneTimeKEM[:m])
	i.oneTime, i.oneTimeKEM = slices.Delete(i.oneTime, 0, n), slices.Delete(i.oneTimeKEM, 0, m)
	return nil
}

// below is how many keys have lower ids.
func (i *identity) below(e *KeysDropped) (oneTime, kem int) {
	oneTime, _ = findKey(i.oneTime, e.OneTimeFrom)
	kem, _ = findSigned(i.oneTimeKEM, e.OneTimeKEMFrom)
	return oneTime, kem
}

func (i *identity) take(e *KeysTaken) error {
	n, there := findKey(i.oneTime, e.OneTime)
	m, thereKEM := findSigned(i.oneTimeKEM, e.OneTimeKEM)
	if e.OneTime != 0 && !there || e.OneTimeKEM != 0 && !thereKEM {
		return fmt.Errorf("a one-time key of identity '%s' that is not there was given out", e.Name)
	}
	if there {
		i.bytes -= keysSize(i.oneTime[n : n+1])
		i.oneTime = slices.Delete(i.oneTime, n, n+1)
	}
	if thereKEM {
		i.bytes -= signedKeysSize(i.oneTimeKEM[m : m+1])
		i.oneTimeKEM = slices.Delete(i.oneTimeKEM, m, m+1)
	}
	return nil
}

func (i *identity) raise(e *MarksRaised) error {
	for _, m := range e.Marks {
		if m.Mark <= i.marks[m.Lane] {
			return fmt.Errorf("mark %d of lane %d of identity '%s' is not above %d", m.Mark, m.Lane, e.Name, i.marks[m.Lane])
		}
		if i.marks[m.Lane] == 0 {
			i.bytes += markSize
		}
		i.marks[m.Lane] = m.Mark
	}
	return nil
}

func findKey(keys []Key, id uint32) (int, bool) {
	return slices.BinarySearchFunc(keys, id, func(k Key, id uint32) int { return compare(k.ID, id) })
}

func findSigned(keys []SignedKey, id uint32) (int, bool) {
	return slices.BinarySearchFunc(keys, id, func(k SignedKey, id uint32) int { return compare(k.ID, id) })
}

func compare(a, b uint32) int { return int(int64(a) - int64(b)) }

// What things take in memory beside their bytes, about.
const (
	identityOverhead = 512
	keyOverhead      = 64
	signedOverhead   = 128
	markSize         = 48
)

func (e *IdentityStored) size() int {
	return 2*len(e.Name) + len(e.Certificate) + signedSize(&e.Signed) + signedSize(&e.LastResort)
}

func signedSize(k *SignedKey) int { return len(k.Key) + len(k.Signature) }

func keysSize(keys []Key) (n int) {
	for i := range keys {
		n += len(keys[i].Key) + keyOverhead
	}
	return n
}

func signedKeysSize(keys []SignedKey) (n int) {
	for i := range keys {
		n += signedSize(&keys[i]) + signedOverhead
	}
	return n
}

// Totals count what is there.
func (d *Durable) Totals() Totals { return d.totals }

// Names lists the identities by name.
func (d *Durable) Names() []string { return slices.Sorted(maps.Keys(d.identities)) }

// Status says what is there of an identity, or fails with an *Error.
func (d *Durable) Status(name string) (Status, error) {
	i := d.identities[name]
	if i == nil {
		return Status{}, noIdentity(name)
	}
	return Status{
		RegistrationID: i.RegistrationID, Certificate: i.Certificate, Signed: i.Signed, LastResort: i.LastResort,
		OneTime: len(i.oneTime), OneTimeKEM: len(i.oneTimeKEM), OneTimeMax: i.oneTimeMax, OneTimeKEMMax: i.oneTimeKEMMax,
	}, nil
}

// Marks are all marks of an identity, by lane, for the caller to keep; or it fails
// with an *Error.
func (d *Durable) Marks(name string) (map[uint32]uint64, error) {
	i := d.identities[name]
	if i == nil {
		return nil, noIdentity(name)
	}
	return maps.Clone(i.marks), nil
}

// Equal says whether both hold the same. It costs a snapshot of each: it is for
// tests and checks.
func (d *Durable) Equal(o *Durable) bool { return bytes.Equal(d.Snapshot(nil), o.Snapshot(nil)) }

const snapshotVersion = 1

// Snapshot appends the state; equal states give equal bytes:
//
//	u version 1 · n × str entry, as EncodeEntry writes it, by name:
//	IdentityStored · KeysAdded unless none ever were · MarksRaised unless there are none
func (d *Durable) Snapshot(dst []byte) []byte {
	n := 0
	for range d.entries {
		n++
	}
	dst = appendUints(dst, snapshotVersion, uint64(n))
	var scratch []byte
	for e := range d.entries {
		scratch = EncodeEntry(scratch[:0], e)
		dst = enc.Bytes(dst, scratch)
	}
	return dst
}

// entries are the facts that make the state from nothing.
func (d *Durable) entries(yield func(Entry) bool) {
	for _, name := range d.Names() {
		i := d.identities[name]
		if !yield(&i.IdentityStored) {
			return
		}
		if (i.oneTimeMax > 0 || i.oneTimeKEMMax > 0) && !yield(&KeysAdded{name, i.oneTimeMax, i.oneTimeKEMMax, i.oneTime, i.oneTimeKEM}) {
			return
		}
		if len(i.marks) > 0 && !yield(&MarksRaised{name, sorted(i.marks)}) {
			return
		}
	}
}

func sorted(marks map[uint32]uint64) []Mark {
	out := make([]Mark, 0, len(marks))
	for _, lane := range slices.Sorted(maps.Keys(marks)) {
		out = append(out, Mark{lane, marks[lane]})
	}
	return out
}

// Restore reads what Snapshot wrote, and keeps no reference to it. It fails with
// ErrNewer or ErrMalformed; the state is then undefined.
func (d *Durable) Restore(r *enc.Reader) error {
	*d = *NewDurable()
	if v := r.Uvarint(); r.Err() == nil && v != snapshotVersion {
		if v == 0 {
			return fmt.Errorf("prekey snapshot: %w", ErrMalformed)
		}
		return fmt.Errorf("prekey snapshot of version %d: %w", v, ErrNewer)
	}
	for n := r.Count(3); n > 0 && r.Err() == nil; n-- {
		b := r.Bytes()
		if r.Err() != nil {
			break
		}
		e, err := DecodeEntry(b)
		if err != nil {
			return fmt.Errorf("prekey snapshot: %w", err)
		}
		if err := d.Apply(e); err != nil {
			return fmt.Errorf("prekey snapshot: %w: %w", ErrMalformed, err)
		}
	}
	return r.Err()
}
