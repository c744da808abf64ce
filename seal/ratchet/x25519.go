package ratchet

import (
	"crypto/subtle"

	"filippo.io/edwards25519/field"
)

// agree is X25519 (RFC 7748, section 5). It refuses points of small order,
// whose secret everybody knows.
//
// crypto/ecdh does the same arithmetic, and computes the public key of every
// private key that it reads: half of a ratchet step would go into that.
func (k *PrivateKey) agree(p *PublicKey) (secret [32]byte, err error) {
	scalar := *k
	defer clear(scalar[:])
	scalar[0] &= 248
	scalar[31] = scalar[31]&127 | 64

	x, z := ladder(&scalar, p)
	copy(secret[:], x.Multiply(&x, z.Invert(&z)).Bytes())
	if subtle.ConstantTimeCompare(secret[:], make([]byte, 32)) == 1 {
		return secret, ErrMalformed
	}
	return secret, nil
}

// order is that of the prime-order subgroup, in little-endian.
var order = [32]byte{
	0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10,
}

// primeOrder says whether p is a point of the prime-order subgroup: order times
// p is at infinity. It is not for points of the twist, whose order is another
// one, nor for what has a part of small order, since order is odd. The ladder
// cannot multiply 0, which is of order 2.
func (p *PublicKey) primeOrder() bool {
	_, z := ladder((*PrivateKey)(&order), p)
	return z.Equal(new(field.Element)) == 1 && *p != PublicKey{}
}

// ladder is the Montgomery ladder of RFC 7748, with its names. The result is
// x/z, at infinity if z is 0. It takes the same time for all scalars.
func ladder(k *PrivateKey, u *PublicKey) (x2, z2 field.Element) {
	var x1, x3, z3, a, b, c, d, aa, bb, e, da, cb field.Element
	if _, err := x1.SetBytes(u[:]); err != nil {
		panic(err) // it has 32 bytes
	}
	x2.One()
	x3.Set(&x1)
	z3.One()
	swap := 0
	for t := 254; t >= 0; t-- {
		bit := int(k[t/8]>>(t&7)) & 1
		swap ^= bit
		x2.Swap(&x3, swap)
		z2.Swap(&z3, swap)
		swap = bit

		a.Add(&x2, &z2)
		aa.Square(&a)
		b.Subtract(&x2, &z2)
		bb.Square(&b)
		e.Subtract(&aa, &bb)
		c.Add(&x3, &z3)
		d.Subtract(&x3, &z3)
		da.Multiply(&d, &a)
		cb.Multiply(&c, &b)
		x3.Square(x3.Add(&da, &cb))
		z3.Multiply(&x1, z3.Square(z3.Subtract(&da, &cb)))
		x2.Multiply(&aa, &bb)
		z2.Multiply(&e, z2.Add(&aa, z2.Mult32(&e, 121665)))
	}
	x2.Swap(&x3, swap)
	z2.Swap(&z3, swap)
	return x2, z2
}
