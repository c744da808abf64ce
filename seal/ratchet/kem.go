package ratchet

import "io"

// A KEM is a key encapsulation mechanism, by the type byte in front of its keys and ciphertexts.
type KEM uint8

const (
	// Kyber1024 is Kyber's third round, which libsignal speaks.
	Kyber1024 KEM = 0x08
	// MLKEM1024 is FIPS 203's.
	MLKEM1024 KEM = 0x0A
)

// A KEMPrivateKey decapsulates.
type KEMPrivateKey struct {
	kem  KEM
	seed [64]byte
}

// GenerateKEM reads 64 bytes of rand and makes a key of them.
func GenerateKEM(rand io.Reader, k KEM) (KEMPrivateKey, error) { return KEMPrivateKey{}, ErrMalformed }

// ParseKEMPrivateKey reads what Bytes wrote.
func ParseKEMPrivateKey(b []byte) (KEMPrivateKey, error) { return KEMPrivateKey{}, ErrMalformed }

// Bytes returns the type byte and the seed: 65 bytes, a secret.
func (k KEMPrivateKey) Bytes() []byte { return nil }

// Public returns the type byte and the encapsulation key: 1,569 bytes.
func (k KEMPrivateKey) Public() []byte { return nil }
