package wire

import "encoding/binary"

// coder walks the fields of a method, in one of two directions: it appends
// them to b, or cuts them off b. A method says once how its fields lie (its
// layout), and both directions follow. Passed by value, it stays off the heap.
type coder struct {
	b        []byte // encoding: what is written; decoding: what is left
	decoding bool
	err      error // the first one; decoding only
}

// take cuts n bytes off the input; nil if there are fewer.
func (c *coder) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		if c.err == nil {
			c.err = newError(FrameError, "a field needs %d bytes where %d are left", n, len(c.b))
		}
		c.b = nil
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *coder) u8(v *uint8) {
	if !c.decoding {
		c.b = append(c.b, *v)
	} else if b := c.take(1); b != nil {
		*v = b[0]
	}
}

func (c *coder) u16(v *uint16) {
	if !c.decoding {
		c.b = binary.BigEndian.AppendUint16(c.b, *v)
	} else if b := c.take(2); b != nil {
		*v = binary.BigEndian.Uint16(b)
	}
}

func (c *coder) u32(v *uint32) {
	if !c.decoding {
		c.b = binary.BigEndian.AppendUint32(c.b, *v)
	} else if b := c.take(4); b != nil {
		*v = binary.BigEndian.Uint32(b)
	}
}

func (c *coder) u64(v *uint64) {
	if !c.decoding {
		c.b = binary.BigEndian.AppendUint64(c.b, *v)
	} else if b := c.take(8); b != nil {
		*v = binary.BigEndian.Uint64(b)
	}
}

// bits are eight booleans at most that follow each other; they share an octet,
// from its lowest bit.
func (c *coder) bits(vs ...*bool) {
	var octet uint8
	for i, v := range vs {
		if *v {
			octet |= 1 << i
		}
	}
	c.u8(&octet)
	if c.decoding {
		for i, v := range vs {
			*v = octet>>i&1 != 0
		}
	}
}

// shortStr leaves a string that is already there where it is: a client that
// publishes to one exchange costs no allocation for its name.
func (c *coder) shortStr(v *string) {
	if !c.decoding {
		c.b = appendShortStr(c.b, *v)
		return
	}
	var n uint8
	c.u8(&n)
	if b := c.take(uint64(n)); string(b) != *v {
		*v = string(b)
	}
}

func (c *coder) longStr(v *[]byte) {
	if !c.decoding {
		c.b = appendLongStr(c.b, *v)
		return
	}
	var n uint32
	c.u32(&n)
	*v = c.take(uint64(n))
}

func (c *coder) table(v *Table) {
	if !c.decoding {
		c.b = AppendTable(c.b, *v)
		return
	}
	var b []byte
	c.longStr(&b)
	t, err := ParseTable(b)
	if err != nil && c.err == nil {
		c.err = err
	}
	*v = t
}

func (c *coder) replyCode(v *ReplyCode) { c.u16((*uint16)(v)) }

// What the specification reserves: whatever comes is ignored, and zero goes.

func (c *coder) reservedShort() { var v uint16; c.u16(&v) }

func (c *coder) reservedBit() { var v bool; c.bits(&v) }

func (c *coder) reservedShortStr() {
	var n uint8
	c.u8(&n)
	if c.decoding {
		c.take(uint64(n))
	}
}

func (c *coder) reservedLongStr() { var v []byte; c.longStr(&v) }

// appendShortStr appends s with its length, and of a longer one than fits the
// beginning.
func appendShortStr[S ~string | ~[]byte](dst []byte, s S) []byte {
	n := min(len(s), ShortStrMax)
	return append(append(dst, byte(n)), s[:n]...)
}

func appendLongStr(dst, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(len(s))), s...)
}
