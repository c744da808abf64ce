package ratchet

import (
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"io"

	"filippo.io/edwards25519"
)

const signatureSize = 64

// Sign signs message with k, by XEdDSA (section 3). The signature has 64 bytes.
func Sign(rand io.Reader, k PrivateKey, message []byte) ([]byte, error) {
	var z [64]byte
	if _, err := io.ReadFull(rand, z[:]); err != nil {
		return nil, fmt.Errorf("ratchet: randomness: %w", err)
	}
	a, public := k.edwardsPair()

	// r = hash1(a ‖ M ‖ Z), where hash1 begins with 2^256-2.
	h := sha512.New()
	h.Write(hash1[:])
	h.Write(a.Bytes())
	h.Write(message)
	h.Write(z[:])
	var sum [64]byte
	r := mustScalar(edwards25519.NewScalar().SetUniformBytes(h.Sum(sum[:0])))
	sig := append(make([]byte, 0, signatureSize), new(edwards25519.Point).ScalarBaseMult(r).Bytes()...)

	// s = r + hash(R ‖ A ‖ M)·a
	h.Reset()
	h.Write(sig)
	h.Write(public[:])
	h.Write(message)
	c := mustScalar(edwards25519.NewScalar().SetUniformBytes(h.Sum(sum[:0])))
	return append(sig, c.MultiplyAdd(c, a, r).Bytes()...), nil
}

// hash1 is the prefix of XEdDSA's hash_1 (section 2.5).
var hash1 = func() (b [32]byte) {
	b[0] = 0xfe
	for i := range b[1:] {
		b[1+i] = 0xff
	}
	return b
}()

// edwardsPair is calculate_key_pair (XEdDSA, section 2.3): of the two private
// keys that have k's public key it takes the one whose point has sign 0. It
// takes the same time for both.
func (k PrivateKey) edwardsPair() (a *edwards25519.Scalar, public [32]byte) {
	a = k.scalar()
	copy(public[:], new(edwards25519.Point).ScalarBaseMult(a).Bytes())
	bytes := a.Bytes()
	subtle.ConstantTimeCopy(int(public[31]>>7), bytes, edwards25519.NewScalar().Negate(a).Bytes())
	public[31] &= 0x7f
	return mustScalar(edwards25519.NewScalar().SetCanonicalBytes(bytes)), public
}

func mustScalar(s *edwards25519.Scalar, err error) *edwards25519.Scalar {
	if err != nil {
		panic(err) // the length was wrong
	}
	return s
}

// Verify says whether signature is one of message by the private key of k. In
// the top bit of the last byte it takes the sign of k's point, which the paper
// has at 0 and libsignal sends.
func Verify(k PublicKey, message, signature []byte) bool {
	if len(signature) != signatureSize {
		return false
	}
	public, ok := k.edwards(signature[63] >> 7)
	if !ok {
		return false
	}
	var sig [signatureSize]byte
	copy(sig[:], signature)
	sig[63] &= 0x7f
	return ed25519.Verify(public[:], message, sig[:])
}
