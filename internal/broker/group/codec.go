package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The kinds of failure of DecodeEntry and Restore; test with errors.Is.
var (
	// ErrNewer says that the bytes have a type or version that this
	// program does not know.
	ErrNewer = errors.New("written by a newer version of Waxwing")
	// ErrMalformed says that the bytes are not what an encoder wrote.
	ErrMalformed = errors.New("malformed")
)

// Numbers are varints as encoding/binary writes them: uvarint for lengths,
// counts and durations, zigzag varint for everything that has a sign. A
// string or byte slice is its length and its bytes. Only the shortest form of
// a number is accepted, so each value has exactly one encoding.

func appendBytes[T string | []byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendTopicID writes 0, or 1 and the id.
func appendTopicID(dst []byte, id TopicID) []byte {
	if id == (TopicID{}) {
		return append(dst, 0)
	}
	return append(append(dst, 1), id[:]...)
}

// reader reads what the functions above wrote. After the first error it
// returns zero values.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("too short")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 1 && r.b[n-1] == 0 {
		r.fail("bad number")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int64() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) int32() int32 {
	v := r.int64()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail("number out of range")
		return 0
	}
	return int32(v)
}

// millis reads a duration in milliseconds that fits an int32.
func (r *reader) millis() int64 {
	v := r.uvarint()
	if v > math.MaxInt32 {
		r.fail("duration out of range")
		return 0
	}
	return int64(v)
}

func (r *reader) raw(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("too short")
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.raw(r.uvarint())) }

// bytes returns a copy, so that a small value does not keep a large buffer.
func (r *reader) bytes() []byte {
	v := r.raw(r.uvarint())
	if len(v) == 0 {
		return nil
	}
	return append([]byte(nil), v...)
}

func (r *reader) topicID() (id TopicID) {
	switch r.byte() {
	case 0:
	case 1:
		copy(id[:], r.raw(uint64(len(id))))
		if id == (TopicID{}) {
			r.fail("zero topic id")
		}
	default:
		r.fail("bad topic id")
	}
	return id
}

// count reads the number of elements that follow, each of which takes at
// least minBytes: a count that cannot be true takes no memory.
func (r *reader) count(minBytes int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/minBytes) {
		r.fail("count larger than the data")
		return 0
	}
	return int(n)
}

// end fails if anything is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("trailing bytes")
	}
	return r.err
}
