package ratchet

import (
	"encoding/binary"
	"math"
)

// pqChains are the two symmetric chains of the post-quantum ratchet (Double
// Ratchet, section 5), in the epoch that the handshake gave them. They are a
// second chain beside the Double Ratchet's: the key of a message is made of one
// key of each.
type pqChains struct{ send, receive pqChain }

// A pqChain is one direction. Its numbers begin with 1; n is the last that was
// used.
type pqChain chain

const (
	pqStart = "Signal PQ Ratchet V1 Chain  Start"
	pqNext  = "Signal PQ Ratchet V1 Chain Next"
)

// newPQChains makes the chains of a handshake's third secret.
func newPQChains(auth *[32]byte, initiator bool) (p pqChains) {
	var b [96]byte // the next root, which we have no use for, and both directions
	hkdf(b[:], nil, auth[:], []byte(pqStart))
	p.send.key, p.receive.key = [32]byte(b[32:64]), [32]byte(b[64:])
	if !initiator {
		p.send, p.receive = p.receive, p.send
	}
	clear(b[:])
	return p
}

// step moves on and returns the key of the new number.
func (c *pqChain) step() (key [32]byte) {
	c.n++
	var b [64]byte
	var ctr [4]byte
	binary.BigEndian.PutUint32(ctr[:], c.n)
	hkdf(b[:], nil, c.key[:], ctr[:], []byte(pqNext))
	copy(c.key[:], b[:32])
	copy(key[:], b[32:])
	clear(b[:])
	return key
}

// burn moves count numbers on.
func (c *pqChain) burn(count uint32) error {
	if count > math.MaxUint32-c.n {
		return ErrExhausted
	}
	for range count {
		c.step()
	}
	return nil
}

// skip moves on to just before number n and appends the keys on the way: the
// last MaxSkipped of them.
func (c *pqChain) skip(n uint32, to []SkippedKey) []SkippedKey {
	for c.n+1 < n {
		key := c.step()
		if n-c.n <= MaxSkipped {
			to = append(to, SkippedKey{ID: KeyID{N: c.n, PQ: true}, Key: key})
		}
	}
	return to
}
