package ratchet

import (
	"encoding/binary"
	"math"
)

// Protobuf's wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// A protoField is one field of a protobuf message: num for a varint, b for
// bytes (not a copy).
type protoField struct {
	id, wire int
	num      uint64
	b        []byte
}

// takeField splits the first field off b. Groups, which nobody sends, are
// malformed.
func takeField(b []byte) (f protoField, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32>>2 {
		return f, nil, ErrMalformed
	}
	f.id, f.wire, b = int(tag>>3), int(tag&7), b[n:]
	size := uint64(0)
	switch f.wire {
	case wireVarint, wireBytes:
		if f.num, n = binary.Uvarint(b); n <= 0 {
			return f, nil, ErrMalformed
		}
		if b = b[n:]; f.wire == wireBytes {
			size = f.num
		}
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	default:
		return f, nil, ErrMalformed
	}
	if size > uint64(len(b)) {
		return f, nil, ErrMalformed
	}
	f.b = b[:size:size]
	return f, b[size:], nil
}

// uint32 returns the value of a varint field.
func (f protoField) uint32() (uint32, error) {
	if f.wire != wireVarint || f.num > math.MaxUint32 {
		return 0, ErrMalformed
	}
	return uint32(f.num), nil
}

// bytes returns the value of a bytes field.
func (f protoField) bytes() ([]byte, error) {
	if f.wire != wireBytes {
		return nil, ErrMalformed
	}
	return f.b, nil
}

// appendUint appends a varint field.
func appendUint(b []byte, id int, v uint32) []byte {
	return binary.AppendUvarint(append(b, byte(id<<3|wireVarint)), uint64(v))
}

// appendBytes appends a bytes field.
func appendBytes(b []byte, id int, v []byte) []byte {
	b = binary.AppendUvarint(append(b, byte(id<<3|wireBytes)), uint64(len(v)))
	return append(b, v...)
}

// appendKey appends a public key as a bytes field.
func appendKey(b []byte, id int, k *PublicKey) []byte {
	return append(append(b, byte(id<<3|wireBytes), 33, djb), k[:]...)
}
