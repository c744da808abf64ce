package senderkey

import (
	"crypto/hmac"
	"crypto/sha256"
)

// A chain is a symmetric-key ratchet (Double Ratchet, section 2.2): the key and number of its next message.
type chain struct {
	key [32]byte
	n   uint32
}

// step returns the seed of the next message's key and moves on: HMAC with the constants 1 and 2 (section 5.2).
func (c *chain) step() (seed [32]byte) {
	seed = c.mac(1)
	c.key = c.mac(2)
	c.n++
	return seed
}

// burn moves on to number n, which is not behind, and makes no keys.
func (c *chain) burn(n uint32) {
	for ; c.n < n; c.n++ {
		c.key = c.mac(2)
	}
}

func (c *chain) mac(constant byte) (sum [32]byte) {
	h := hmac.New(sha256.New, c.key[:])
	h.Write([]byte{constant})
	h.Sum(sum[:0])
	return sum
}
