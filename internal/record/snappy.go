package record

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/klauspost/compress/s2"
)

// Snappy comes in two shapes: one raw block, or the framing of the Java
// library (xerial), told apart by its first bytes:
//
//	8  82 'S' 'N' 'A' 'P' 'P' 'Y' 00
//	4  version
//	4  lowest version that can read it, at least 1
//	   chunks: 4 length, a raw block of that length; all big endian
var xerialMagic = []byte("\x82SNAPPY\x00")

const xerialHeaderLen = 16

func (d *decoder) unsnappy(src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		n, err := d.unsnappyBlock(0, src, limit)
		return d.buf[:n], err
	}
	if len(src) < xerialHeaderLen || int32(binary.BigEndian.Uint32(src[12:])) < 1 {
		return nil, errMalformed
	}
	src = src[xerialHeaderLen:]
	n := 0
	for len(src) > 0 {
		if len(src) < 4 {
			return nil, errMalformed
		}
		size := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; size > int64(len(src)) {
			return nil, errMalformed
		}
		var err error
		if n, err = d.unsnappyBlock(n, src[:size], limit); err != nil {
			return nil, err
		}
		src = src[size:]
	}
	return d.buf[:n], nil
}

// unsnappyBlock decompresses one raw block behind the first n bytes of d.buf
// and returns how many there are then. limit is for all together.
func (d *decoder) unsnappyBlock(n int, src []byte, limit int) (int, error) {
	size, ok := snappyLen(src)
	switch {
	case !ok:
		return 0, errMalformed
	case size > int64(limit-n):
		return 0, errLimit
	}
	end := n + int(size)
	for cap(d.buf) < end {
		d.grow(cap(d.buf), limit)
	}
	d.buf = d.buf[:cap(d.buf)]
	_, err := s2.Decode(d.buf[n:end], src)
	return end, err
}

// snappyLen adds up what the elements of a raw block decompress to, and
// reports whether that is what the block announces. So the announcement can
// be trusted with memory. It also refuses copies with offset zero: the
// decoder takes them for an S2 extension that no Kafka client can read.
func snappyLen(src []byte) (size int64, ok bool) {
	want, n := binary.Uvarint(src)
	if n <= 0 || want > math.MaxUint32 {
		return 0, false
	}
	for src = src[n:]; len(src) > 0; {
		length, skip, zeroOffset := snappyElement(src)
		if skip > len(src) || zeroOffset {
			return 0, false
		}
		size += int64(length)
		src = src[skip:]
	}
	return size, size == int64(want)
}

// snappyElement reads the element at the front of src: how many bytes it
// yields and how many it takes. A skip beyond src says that it is cut.
func snappyElement(src []byte) (length, skip int, zeroOffset bool) {
	tag := int(src[0])
	length = tag>>2 + 1
	switch tag & 3 {
	case 0: // literal; from 60 on the length stands in 1 to 4 bytes
		extra := length - 60
		if extra <= 0 {
			return length, 1 + length, false
		}
		if extra >= len(src) {
			return 0, math.MaxInt, false
		}
		length = 1
		for i, b := range src[1 : 1+extra] {
			length += int(b) << (8 * i)
		}
		return length, 1 + extra + length, false
	case 1:
		return 4 + tag>>2&7, 2, len(src) >= 2 && tag>>5 == 0 && src[1] == 0
	case 2:
		return length, 3, len(src) >= 3 && binary.LittleEndian.Uint16(src[1:]) == 0
	default:
		return length, 5, len(src) >= 5 && binary.LittleEndian.Uint32(src[1:]) == 0
	}
}
