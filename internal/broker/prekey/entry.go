package prekey

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Entry is a fact that the state is made of. The meaning of a released (type,
// version) never changes.
type Entry interface {
	entryType() byte
	appendBody(dst []byte) []byte
}

const entryVersion = 1

// The types of entries. Never used for anything else.
const (
	typeIdentityStored byte = iota + 1
	typeKeysAdded
	typeKeysDropped
	typeKeysTaken
	typeMarksRaised
	typeIdentityDeleted
	typeEnd
)

// IdentityStored says that there is an identity, or what it is from now on;
// one-time keys and marks stay.
type IdentityStored struct {
	Name           string
	RegistrationID uint32
	Certificate    []byte
	Signed         SignedKey
	LastResort     SignedKey // id 0: none
}

// KeysAdded says that one-time keys of an identity wait to be given out, behind
// those that do so already. No key with an id up to the highest one of its kind is
// ever added again.
type KeysAdded struct {
	Name                      string
	OneTimeMax, OneTimeKEMMax uint32 // the highest ids that were ever published
	OneTime                   []Key  // ascending
	OneTimeKEM                []SignedKey
}

// KeysDropped says that the waiting one-time keys with lower ids are gone without
// being given out.
type KeysDropped struct {
	Name                        string
	OneTimeFrom, OneTimeKEMFrom uint32 // the lowest ids that stay
}

// KeysTaken says that one-time keys were given out.
type KeysTaken struct {
	Name                string
	OneTime, OneTimeKEM uint32 // 0: none
}

// Mark is the highest sequence that was published in a lane.
type Mark struct {
	Lane uint32
	Mark uint64
}

// MarksRaised says what the marks of some lanes are from now on.
type MarksRaised struct {
	Name  string
	Marks []Mark // ascending by lane
}

// IdentityDeleted says that an identity is gone, with its keys and marks.
type IdentityDeleted struct{ Name string }

func (*IdentityStored) entryType() byte  { return typeIdentityStored }
func (*KeysAdded) entryType() byte       { return typeKeysAdded }
func (*KeysDropped) entryType() byte     { return typeKeysDropped }
func (*KeysTaken) entryType() byte       { return typeKeysTaken }
func (*MarksRaised) entryType() byte     { return typeMarksRaised }
func (*IdentityDeleted) entryType() byte { return typeIdentityDeleted }

// EncodeEntry appends the encoding of e to dst (u: unsigned varint, str: length
// and bytes, n ×: a count and as many):
//
//	type 1 · version 1 · body
//
//	IdentityStored   str name · u registration id · str certificate · signed key · last-resort key
//	KeysAdded        str name · u highest one-time id · u highest one-time KEM id ·
//	                 n × (u id · str key) · n × signed key
//	KeysDropped      str name · u lowest one-time id that stays · u lowest one-time KEM id that stays
//	KeysTaken        str name · u one-time id · u one-time KEM id
//	MarksRaised      str name · n × (u lane · u sequence)
//	IdentityDeleted  str name
//
//	signed key       u id · str key · str signature; id 0: none, and nothing follows
func EncodeEntry(dst []byte, e Entry) []byte {
	return e.appendBody(append(dst, e.entryType(), entryVersion))
}

// DecodeEntry reads one entry that takes the whole of b, and keeps no reference to
// b. It fails with ErrNewer or ErrMalformed.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) < 2 || b[0] == 0 || b[1] == 0 {
		return nil, fmt.Errorf("prekey entry: %w", ErrMalformed)
	}
	typ, version := b[0], b[1]
	if typ >= typeEnd || version > entryVersion {
		return nil, fmt.Errorf("prekey entry of type %d, version %d: %w", typ, version, ErrNewer)
	}
	r := reader{Reader: enc.NewReader(b[2:])}
	e := r.body(typ)
	if err := r.Done(); err != nil || r.bad {
		return nil, fmt.Errorf("prekey entry of type %d: %w", typ, ErrMalformed)
	}
	return e, nil
}

// reader reads entries; bad says that a value was out of its range or order.
type reader struct {
	enc.Reader
	bad bool
}

func (r *reader) body(typ byte) Entry {
	name := r.String()
	switch typ {
	case typeIdentityStored:
		return &IdentityStored{Name: name, RegistrationID: r.uint32(), Certificate: r.bytes(), Signed: r.signed(), LastResort: r.signed()}
	case typeKeysAdded:
		e := &KeysAdded{Name: name, OneTimeMax: r.uint32(), OneTimeKEMMax: r.uint32()}
		e.OneTime, e.OneTimeKEM = r.keys(e.OneTimeMax), r.signedKeys(e.OneTimeKEMMax)
		return e
	case typeKeysDropped:
		return &KeysDropped{name, r.uint32(), r.uint32()}
	case typeKeysTaken:
		return &KeysTaken{name, r.uint32(), r.uint32()}
	case typeMarksRaised:
		return &MarksRaised{name, r.marks()}
	default:
		return &IdentityDeleted{name}
	}
}

func (r *reader) uint32() uint32 {
	v := r.Uvarint()
	r.bad = r.bad || v > math.MaxUint32
	return uint32(v)
}

// bytes are a copy.
func (r *reader) bytes() []byte { return slices.Clone(r.Bytes()) }

func (r *reader) signed() SignedKey {
	k := SignedKey{ID: r.uint32()}
	if k.ID != 0 {
		k.Key, k.Signature = r.bytes(), r.bytes()
	}
	return k
}

// keys reads keys whose ids ascend, up to most.
func (r *reader) keys(most uint32) (keys []Key) {
	last := uint32(0)
	for n := r.Count(2); n > 0 && r.Err() == nil; n-- {
		k := Key{r.uint32(), r.bytes()}
		r.ascends(&last, k.ID, most)
		keys = append(keys, k)
	}
	return keys
}

func (r *reader) signedKeys(most uint32) (keys []SignedKey) {
	last := uint32(0)
	for n := r.Count(3); n > 0 && r.Err() == nil; n-- {
		k := r.signed()
		r.ascends(&last, k.ID, most)
		keys = append(keys, k)
	}
	return keys
}

func (r *reader) ascends(last *uint32, id, most uint32) {
	r.bad = r.bad || id <= *last || id > most
	*last = id
}

func (r *reader) marks() (marks []Mark) {
	for n := r.Count(2); n > 0 && r.Err() == nil; n-- {
		m := Mark{r.uint32(), r.Uvarint()}
		r.bad = r.bad || len(marks) > 0 && m.Lane <= marks[len(marks)-1].Lane
		marks = append(marks, m)
	}
	return marks
}

func appendSigned(dst []byte, k *SignedKey) []byte {
	dst = binary.AppendUvarint(dst, uint64(k.ID))
	if k.ID == 0 {
		return dst
	}
	return enc.Bytes(enc.Bytes(dst, k.Key), k.Signature)
}

func appendUints(dst []byte, all ...uint64) []byte {
	for _, v := range all {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func (e *IdentityStored) appendBody(dst []byte) []byte {
	dst = appendUints(enc.String(dst, e.Name), uint64(e.RegistrationID))
	dst = enc.Bytes(dst, e.Certificate)
	return appendSigned(appendSigned(dst, &e.Signed), &e.LastResort)
}

func (e *KeysAdded) appendBody(dst []byte) []byte {
	dst = appendUints(enc.String(dst, e.Name), uint64(e.OneTimeMax), uint64(e.OneTimeKEMMax), uint64(len(e.OneTime)))
	for _, k := range e.OneTime {
		dst = enc.Bytes(binary.AppendUvarint(dst, uint64(k.ID)), k.Key)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.OneTimeKEM)))
	for i := range e.OneTimeKEM {
		dst = appendSigned(dst, &e.OneTimeKEM[i])
	}
	return dst
}

func (e *KeysDropped) appendBody(dst []byte) []byte {
	return appendUints(enc.String(dst, e.Name), uint64(e.OneTimeFrom), uint64(e.OneTimeKEMFrom))
}

func (e *KeysTaken) appendBody(dst []byte) []byte {
	return appendUints(enc.String(dst, e.Name), uint64(e.OneTime), uint64(e.OneTimeKEM))
}

func (e *MarksRaised) appendBody(dst []byte) []byte {
	dst = binary.AppendUvarint(enc.String(dst, e.Name), uint64(len(e.Marks)))
	for _, m := range e.Marks {
		dst = appendUints(dst, uint64(m.Lane), m.Mark)
	}
	return dst
}

func (e *IdentityDeleted) appendBody(dst []byte) []byte { return enc.String(dst, e.Name) }
