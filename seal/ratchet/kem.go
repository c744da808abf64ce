package ratchet

import (
	"crypto/mlkem"
	"crypto/sha3"
	"fmt"
	"io"
)

// A KEM is a key encapsulation mechanism, by the type byte in front of its keys
// and ciphertexts.
type KEM uint8

const (
	// Kyber1024 is Kyber as of its third round, which libsignal speaks.
	Kyber1024 KEM = 0x08
	// MLKEM1024 is FIPS 203's.
	MLKEM1024 KEM = 0x0A
)

const (
	kemKeySize        = 1 + mlkem.EncapsulationKeySize1024
	kemCiphertextSize = 1 + mlkem.CiphertextSize1024
)

// A KEMPrivateKey decapsulates. It prints as nothing.
type KEMPrivateKey struct {
	kem  KEM
	seed [mlkem.SeedSize]byte
}

// Format keeps the key out of logs.
func (KEMPrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, "ratchet.KEMPrivateKey") }

// GenerateKEM reads 64 bytes of rand and makes a key of them.
func GenerateKEM(rand io.Reader, k KEM) (KEMPrivateKey, error) {
	if !k.known() {
		return KEMPrivateKey{}, ErrMalformed
	}
	key := KEMPrivateKey{kem: k}
	if _, err := io.ReadFull(rand, key.seed[:]); err != nil {
		return KEMPrivateKey{}, fmt.Errorf("ratchet: randomness: %w", err)
	}
	return key, nil
}

func (k KEM) known() bool { return k == Kyber1024 || k == MLKEM1024 }

// ParseKEMPrivateKey reads what Bytes wrote.
func ParseKEMPrivateKey(b []byte) (KEMPrivateKey, error) {
	if len(b) != 1+mlkem.SeedSize || !KEM(b[0]).known() {
		return KEMPrivateKey{}, ErrMalformed
	}
	return KEMPrivateKey{kem: KEM(b[0]), seed: [mlkem.SeedSize]byte(b[1:])}, nil
}

// Bytes returns the type byte and the seed (FIPS 203's d and z): 65 bytes, a
// secret.
func (k KEMPrivateKey) Bytes() []byte { return append([]byte{byte(k.kem)}, k.seed[:]...) }

// Public returns the type byte and the encapsulation key: 1,569 bytes.
func (k KEMPrivateKey) Public() []byte {
	return append([]byte{byte(k.kem)}, k.expand().EncapsulationKey().Bytes()...)
}

// expand makes the key of its seed.
func (k KEMPrivateKey) expand() *mlkem.DecapsulationKey1024 {
	key, err := mlkem.NewDecapsulationKey1024(k.seed[:])
	if err != nil {
		panic(err) // the length was wrong
	}
	return key
}

// encapsulate makes a secret for the holder of key. The ciphertext has the
// key's type byte in front.
func encapsulate(kem KEM, key []byte) (secret [32]byte, ciphertext []byte, err error) {
	if len(key) != kemKeySize || KEM(key[0]) != kem {
		return secret, nil, ErrMalformed
	}
	ek, err := mlkem.NewEncapsulationKey1024(key[1:])
	if err != nil {
		return secret, nil, ErrMalformed
	}
	shared, ct := ek.Encapsulate()
	return kem.secret(shared, ct), append([]byte{byte(kem)}, ct...), nil
}

// decapsulate returns the secret in ciphertext. Of a ciphertext that is not for
// k it makes a secret that nobody else has.
func (k KEMPrivateKey) decapsulate(dk *mlkem.DecapsulationKey1024, ciphertext []byte) (secret [32]byte, err error) {
	if len(ciphertext) != kemCiphertextSize || KEM(ciphertext[0]) != k.kem {
		return secret, ErrMalformed
	}
	shared, err := dk.Decapsulate(ciphertext[1:])
	if err != nil {
		return secret, ErrMalformed
	}
	return k.kem.secret(shared, ciphertext[1:]), nil
}

// secret turns what ML-KEM agreed on into what k does. Kyber's third round
// hashed the ciphertext into it, once more: SHAKE256(K ‖ SHA3-256(ct)).
func (k KEM) secret(shared, ct []byte) [32]byte {
	defer clear(shared)
	if k == MLKEM1024 {
		return [32]byte(shared)
	}
	sum := sha3.Sum256(ct)
	h := sha3.NewSHAKE256()
	h.Write(shared)
	h.Write(sum[:])
	var out [32]byte
	h.Read(out[:])
	return out
}
