// Package busrow is how messages lie in rows of the SDK's tables.
package busrow

import (
	"encoding/binary"
	"errors"

	"github.com/waxwing-mq/waxwing/bus"
)

// EncodeHeaders is the form of a column "headers":
//
//	┌─ once per header ────────────────────────────────────┐
//	│ length of name │ name │ length of value │ value      │
//	└──────────────────────────────────────────────────────┘
//
// Lengths are unsigned varints. A header without a value has one of length 0.
func EncodeHeaders(headers []bus.Header) []byte {
	b := []byte{} // not nil, which would be NULL
	for _, h := range headers {
		b = binary.AppendUvarint(b, uint64(len(h.Name)))
		b = append(b, h.Name...)
		b = binary.AppendUvarint(b, uint64(len(h.Value)))
		b = append(b, h.Value...)
	}
	return b
}

// ErrHeaders means that a column "headers" does not hold headers.
var ErrHeaders = errors.New("busrow: headers are damaged")

// DecodeHeaders reads what EncodeHeaders wrote. Values are parts of b.
func DecodeHeaders(b []byte) (out []bus.Header, err error) {
	for len(b) > 0 {
		var name, value []byte
		if name, b, err = text(b); err != nil {
			return nil, err
		}
		if value, b, err = text(b); err != nil {
			return nil, err
		}
		out = append(out, bus.Header{Name: string(name), Value: value})
	}
	return out, nil
}

// text reads a length and as many bytes.
func text(b []byte) (s, rest []byte, err error) {
	n, width := binary.Uvarint(b)
	if width <= 0 || n > uint64(len(b)-width) {
		return nil, nil, ErrHeaders
	}
	b = b[width:]
	return b[:n:n], b[n:], nil
}
