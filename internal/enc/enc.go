// Package enc reads and writes the small binary values that entries,
// snapshots and directories are made of: varints, strings, byte slices.
//
// Appending uses encoding/binary's Append functions and the two below;
// reading uses Reader, which never panics, never allocates more than the
// input could hold, and remembers its first error.
package enc

import (
	"encoding/binary"
	"errors"
)

// ErrShort says that the input ended early or held a malformed value.
var ErrShort = errors.New("truncated or malformed value")

// String appends the length of s as an uvarint, then s.
func String(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Bytes appends the length of b as an uvarint, then b.
func Bytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// Reader consumes a slice from the front. After an error every read returns
// zero values; look at Err once, at the end.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b, which it does not copy.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err is the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Len is the number of bytes left.
func (r *Reader) Len() int { return len(r.b) }

// Done is Err, or ErrShort when bytes are left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail()
	}
	return r.err
}

func (r *Reader) fail() {
	r.err = ErrShort
	r.b = nil
}

// Uvarint reads an unsigned varint.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Varint reads a signed (zigzag) varint.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Count reads a number of things that take at least min bytes each. A number
// that the rest of the input cannot hold is an error.
func (r *Reader) Count(min int) int {
	v := r.Uvarint()
	if v > uint64(len(r.b)/max(min, 1)) {
		r.fail()
		return 0
	}
	return int(v)
}

// Take returns the next n bytes, aliasing the input.
func (r *Reader) Take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// Bytes reads a length and that many bytes, aliasing the input.
func (r *Reader) Bytes() []byte { return r.Take(r.Count(1)) }

// String reads a length and that many bytes as a string.
func (r *Reader) String() string { return string(r.Bytes()) }
