package ratchet

import (
	"fmt"
	"io"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

// A PublicKey is an X25519 public key. It also verifies XEdDSA signatures.
type PublicKey [32]byte

// A PrivateKey is an X25519 private key, which also signs (XEdDSA). It prints
// as nothing.
type PrivateKey [32]byte

// Format keeps the key out of logs.
func (PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, "ratchet.PrivateKey") }

// djb is the type byte in front of a public key.
const djb = 0x05

// Encode returns 0x05 and the key's 32 bytes.
func (k PublicKey) Encode() []byte { return append([]byte{djb}, k[:]...) }

// ParsePublicKey reads what Encode wrote. It refuses a key that is not
// canonical, and one that is not in the prime-order subgroup: no private key
// has it, and what it agrees on says something about the other key.
func ParsePublicKey(b []byte) (PublicKey, error) {
	k, err := parseRatchetKey(b)
	if err != nil {
		return k, err
	}
	if !k.primeOrder() {
		return k, ErrMalformed
	}
	return k, nil
}

// parseRatchetKey is ParsePublicKey for keys that an authentic peer vouches
// for, whom torsion would not help: it refuses only what is not canonical.
// Points of small order fail in agree.
func parseRatchetKey(b []byte) (k PublicKey, err error) {
	if len(b) != 33 || b[0] != djb {
		return k, ErrMalformed
	}
	copy(k[:], b[1:])
	if !k.canonical() {
		return k, ErrMalformed
	}
	return k, nil
}

// canonical says whether k is below 2^255-19.
func (k PublicKey) canonical() bool {
	if k[31] != 0x7f {
		return k[31] < 0x7f
	}
	for i := 30; i > 0; i-- {
		if k[i] != 0xff {
			return true
		}
	}
	return k[0] < 0xed
}

// edwards maps k to the encoding of a point of edwards25519 whose x has that
// sign (XEdDSA, section 2.3): y = (u-1)/(u+1). It fails for u = -1, which has
// no image.
func (k PublicKey) edwards(sign byte) (y [32]byte, ok bool) {
	var u, num, den, one field.Element
	if _, err := u.SetBytes(k[:]); err != nil || !k.canonical() {
		return y, false
	}
	one.One()
	num.Subtract(&u, &one)
	den.Add(&u, &one)
	if den.Equal(new(field.Element)) == 1 {
		return y, false
	}
	copy(y[:], num.Multiply(&num, den.Invert(&den)).Bytes())
	y[31] |= sign << 7
	return y, true
}

// GenerateKey reads 32 bytes of rand and makes a private key of them.
func GenerateKey(rand io.Reader) (k PrivateKey, err error) {
	if _, err := io.ReadFull(rand, k[:]); err != nil {
		return k, fmt.Errorf("ratchet: randomness: %w", err)
	}
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k, nil
}

// Public returns the public key of k.
func (k PrivateKey) Public() (p PublicKey) {
	copy(p[:], new(edwards25519.Point).ScalarBaseMult(k.scalar()).BytesMontgomery())
	return p
}

// scalar returns k as a scalar, clamped.
func (k PrivateKey) scalar() *edwards25519.Scalar {
	s, err := edwards25519.NewScalar().SetBytesWithClamping(k[:])
	if err != nil {
		panic(err) // it has 32 bytes
	}
	return s
}
