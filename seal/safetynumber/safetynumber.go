// Package safetynumber makes the number that two people compare, to see that each has the other's identity key and not that of somebody in
// between: 60 digits, the same on both sides, and the same as libsignal's.
//
// It is as strong as the comparison: whoever compares all digits over a channel that shows who speaks is safe from a directory that lies. Half
// of the digits depend on each key, so to find a key for a given half takes about 2^99 tries of 5,200 hashes.
package safetynumber

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

const (
	iterations = 5200 // makes each try of an attacker dear
	version    = 0    // of the way to hash

	chunks     = 6 // of five bytes each, which become five digits
	chunkBytes = 5
)

// A Party is one of the two: its identifier, which both must know in the same form, and its identity key.
type Party struct {
	ID  []byte
	Key ratchet.PublicKey
}

// Compute returns the 60 digits of a and b, in whatever order they are given. It takes some milliseconds.
func Compute(a, b Party) string {
	x, y := a.digits(), b.digits()
	if x > y {
		x, y = y, x
	}
	return x + y
}

// Group returns digits in groups of five, with spaces between, for people to read.
func Group(digits string) string {
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && i%5 == 0 {
			out.WriteByte(' ')
		}
		out.WriteRune(d)
	}
	return out.String()
}

// digits returns a party's half: SHA-512(version ‖ key ‖ identifier ‖ key), then SHA-512(hash ‖ key) over and over; of the last, six times
// five bytes as a number modulo 100,000.
func (p Party) digits() string {
	key := p.Key.Encode()
	buf := binary.BigEndian.AppendUint16(nil, version)
	buf = append(append(buf, key...), p.ID...)
	for range iterations {
		sum := sha512.Sum512(append(buf, key...))
		buf = append(buf[:0], sum[:]...)
	}
	var out strings.Builder
	for i := range chunks {
		var n uint64
		for _, b := range buf[i*chunkBytes:][:chunkBytes] {
			n = n<<8 | uint64(b)
		}
		fmt.Fprintf(&out, "%05d", n%100_000)
	}
	return out.String()
}
