package record

import (
	"encoding/binary"
	"math/bits"
)

// The readers below take the position in b where a value starts and return
// the position behind it, or -1 if the value is malformed or not whole. From
// position -1 they return -1, so a caller may read several values and look
// once.

// readVarint reads a zigzag varint of at most 32 bits. One and two bytes, by
// far the most frequent, are read without a loop.
func readVarint(b []byte, pos int) (v int32, next int) {
	if uint(pos) < uint(len(b)) {
		u := uint32(b[pos])
		pos++
		if u < 0x80 {
			return int32(u>>1) ^ -int32(u&1), pos
		}
		if pos < len(b) && b[pos] < 0x80 {
			u = u&0x7f | uint32(b[pos])<<7
			return int32(u>>1) ^ -int32(u&1), pos + 1
		}
		return readLongVarint(b, pos-1)
	}
	return 0, -1
}

func readLongVarint(b []byte, pos int) (v int32, next int) {
	var u uint32
	for i, c := range b[pos:] {
		if i == 4 && c > 0x0f {
			return 0, -1 // more than 32 bits
		}
		u |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int32(u>>1) ^ -int32(u&1), pos + i + 1
		}
	}
	return 0, -1
}

// readVarlong reads a zigzag varint of at most 64 bits.
func readVarlong(b []byte, pos int) (v int64, next int) {
	if uint(pos) < uint(len(b)) {
		u := uint64(b[pos])
		pos++
		if u < 0x80 {
			return int64(u>>1) ^ -int64(u&1), pos
		}
		if pos < len(b) && b[pos] < 0x80 {
			u = u&0x7f | uint64(b[pos])<<7
			return int64(u>>1) ^ -int64(u&1), pos + 1
		}
		v, n := binary.Varint(b[pos-1:])
		if n > 0 {
			return v, pos - 1 + n
		}
	}
	return 0, -1
}

// span is where a value stands in the bytes that were parsed. It holds no
// pointer, so that walking a batch costs the garbage collector nothing.
type span struct{ start, end int }

// null is the span of a null value.
var null = span{-1, -1}

func (s span) isNull() bool { return s.start < 0 }

// of is the value in b, nil if it is null.
func (s span) of(b []byte) []byte {
	if s.isNull() {
		return nil
	}
	return b[s.start:s.end:s.end]
}

// readSpan reads a varint length and skips that many bytes. Length -1 is
// null.
func readSpan(b []byte, pos int) (s span, next int) {
	n, pos := readVarint(b, pos)
	if pos < 0 || int(n) > len(b)-pos {
		return null, -1
	}
	if n >= 0 {
		return span{pos, pos + int(n)}, pos + int(n)
	}
	if n < -1 {
		return null, -1
	}
	return null, pos
}

// appendVarint appends v as a zigzag varint; a 32-bit value takes at most
// five bytes, so this serves for varints and varlongs alike.
func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

// varintLen is the number of bytes that appendVarint appends.
func varintLen(v int64) int {
	return (bits.Len64(uint64(v)<<1^uint64(v>>63)|1) + 6) / 7
}

func appendBytes(dst, v []byte) []byte {
	if v == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int64(len(v))), v...)
}

func bytesLen(v []byte) int {
	if v == nil {
		return 1
	}
	return varintLen(int64(len(v))) + len(v)
}
