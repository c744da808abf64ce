package ratchet

import "io"

// A PublicKey is an X25519 public key. It also verifies XEdDSA signatures.
type PublicKey [32]byte

// A PrivateKey is an X25519 private key, which also signs (XEdDSA).
type PrivateKey [32]byte

// ParsePublicKey reads what Encode wrote: 0x05 and 32 bytes. It refuses keys that are not canonical or not in the prime-order subgroup.
func ParsePublicKey(b []byte) (PublicKey, error) { return PublicKey{}, ErrMalformed }

// Encode returns 0x05 and the key's 32 bytes.
func (k PublicKey) Encode() []byte { return append([]byte{5}, k[:]...) }

// GenerateKey reads 32 bytes of rand and makes a private key of them.
func GenerateKey(rand io.Reader) (k PrivateKey, err error) { return k, ErrMalformed }

// Public returns the public key of k.
func (k PrivateKey) Public() PublicKey { return PublicKey{} }

// Sign signs message with k (XEdDSA, section 4). The signature has 64 bytes.
func Sign(rand io.Reader, k PrivateKey, message []byte) ([]byte, error) { return nil, ErrMalformed }

// Verify says whether signature is one of message by the private key of k.
func Verify(k PublicKey, message, signature []byte) bool { return false }
