package ratchet

import "crypto/sha256"

// hmacSHA256 is HMAC (RFC 2104) of the parts, one after another. Short input
// stays on the stack.
func hmacSHA256(key []byte, parts ...[]byte) [32]byte {
	var stack [384]byte
	defer clear(stack[:])
	if len(key) > 64 {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	buf := stack[:64]
	copy(buf, key)
	for i := range buf {
		buf[i] ^= 0x36
	}
	for _, p := range parts {
		buf = append(buf, p...)
	}
	inner := sha256.Sum256(buf)
	clear(buf[:64]) // append may have moved it
	buf = stack[:64]
	clear(buf)
	copy(buf, key)
	for i := range buf {
		buf[i] ^= 0x5c
	}
	return sha256.Sum256(append(buf, inner[:]...))
}

// hkdf fills out with HKDF-SHA256 (RFC 5869). A missing salt counts as 32
// zeros.
func hkdf(out, salt, secret []byte, info ...[]byte) {
	prk := hmacSHA256(salt, secret)
	var t [32]byte
	parts := make([][]byte, 0, 4)
	for i := byte(1); len(out) > 0; i++ {
		parts = parts[:0]
		if i > 1 {
			parts = append(parts, t[:])
		}
		parts = append(append(parts, info...), []byte{i})
		t = hmacSHA256(prk[:], parts...)
		out = out[copy(out, t[:]):]
	}
	clear(prk[:])
	clear(t[:])
}

// A chain is a symmetric-key ratchet (Double Ratchet, section 2.2): the key and
// number of its next message.
type chain struct {
	key [32]byte
	n   uint32
}

// step returns the key of the next message and moves on (section 5.2: HMAC with
// the constants 1 and 2).
func (c *chain) step() (seed [32]byte) {
	seed = hmacSHA256(c.key[:], []byte{1})
	c.key = hmacSHA256(c.key[:], []byte{2})
	c.n++
	return seed
}

// burn moves on to number n and makes no keys.
func (c *chain) burn(n uint32) {
	for ; c.n < n; c.n++ {
		c.key = hmacSHA256(c.key[:], []byte{2})
	}
}

// skip moves on to number n and appends the keys on the way: the last
// MaxSkipped of them.
func (c *chain) skip(n uint32, id [32]byte, to []SkippedKey) []SkippedKey {
	if n > MaxSkipped {
		c.burn(n - MaxSkipped)
	}
	for c.n < n {
		k := KeyID{Chain: id, N: c.n}
		to = append(to, SkippedKey{ID: k, Key: c.step()})
	}
	return to
}

// deriveRoot is KDF_RK (Double Ratchet, sections 5.2 and 4.2) for one step: out
// takes what is beyond the new root.
func deriveRoot(root *[32]byte, secret *[32]byte, label string, out ...*[32]byte) {
	var buf [96]byte
	b := buf[:32*(1+len(out))]
	hkdf(b, root[:], secret[:], []byte(label))
	copy(root[:], b)
	for i, o := range out {
		copy(o[:], b[32*(1+i):])
	}
	clear(buf[:])
	clear(secret[:])
}
