package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// appendText appends a length (uvarint) and as many bytes.
func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// A reader takes apart what append functions made. After an error it returns zeros;
// ask failed at the end.
type reader struct {
	b      []byte
	failed bool
}

// take is the next n bytes. They are part of what is read.
func (r *reader) take(n int) []byte {
	if r.failed || n < 0 || n > len(r.b) {
		r.failed = true
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, width := binary.Uvarint(r.b)
	if r.failed || width <= 0 {
		r.failed = true
		return 0
	}
	r.b = r.b[width:]
	return n
}

// text is a length of at most max, and as many bytes.
func (r *reader) text(max int) []byte {
	n := r.uvarint()
	if n > uint64(max) {
		r.failed = true
	}
	return r.take(int(min(n, uint64(max))))
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// armor is a secret, or a certificate, as a line of a file.
func armor(label string, b []byte) []byte {
	return []byte(label + " " + base64.StdEncoding.EncodeToString(b) + "\n")
}

// unarmor reads such a line.
func unarmor(label string, line []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(bytes.TrimSpace(line)), label+" ")
	if !ok {
		return nil, fmt.Errorf("seal: this does not begin with %q", label)
	}
	b, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return nil, fmt.Errorf("seal: what follows %q is not base64", label)
	}
	return b, nil
}

// notNil is b, or no bytes: nil would be NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
