package access

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// Algorithm hashes passwords. The numbers are stored; they never change.
type Algorithm uint8

// The algorithms.
const (
	NoPassword Algorithm = iota // the user cannot log in with a password
	SHA256
	SHA512
	algorithms
)

// SaltBytes is the length of a salt, as RabbitMQ has it.
const SaltBytes = 4

// String is the algorithm's name in RabbitMQ's definitions.
func (a Algorithm) String() string {
	switch a {
	case NoPassword:
		return ""
	case SHA256:
		return "rabbit_password_hashing_sha256"
	case SHA512:
		return "rabbit_password_hashing_sha512"
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// digestBytes is the length of the algorithm's result.
func (a Algorithm) digestBytes() int {
	switch a {
	case SHA256:
		return sha256.Size
	case SHA512:
		return sha512.Size
	}
	return 0
}

// PasswordHash is what is kept of a password: the hash of salt and password.
// It can be compared with ==.
type PasswordHash struct {
	Algorithm Algorithm
	salt      [SaltBytes]byte
	digest    [sha512.Size]byte // of which the algorithm fills digestBytes
}

// HashPassword hashes a password. The salt must be random; it may be known. An
// empty password gives a hash that nothing matches.
func HashPassword(a Algorithm, salt [SaltBytes]byte, password string) PasswordHash {
	h := PasswordHash{Algorithm: a, salt: salt}
	salted := append(salt[:], password...)
	switch {
	case password == "" || a.digestBytes() == 0:
		return PasswordHash{}
	case a == SHA256:
		sum := sha256.Sum256(salted)
		copy(h.digest[:], sum[:])
	case a == SHA512:
		h.digest = sha512.Sum512(salted)
	}
	return h
}

// Matches says whether the hash is that of a password, in a time that does not
// depend on how nearly it is. An empty password never matches.
func (h PasswordHash) Matches(password string) bool {
	again := HashPassword(h.Algorithm, h.salt, password)
	same := subtle.ConstantTimeCompare(h.digest[:], again.digest[:]) == 1
	return same && again.Algorithm != NoPassword
}

// ParseHash reads a hash as RabbitMQ's definitions have it: the algorithm's
// name (empty: SHA-256) and the base64 of salt and digest (empty: no password).
func ParseHash(algorithm, encoded string) (PasswordHash, error) {
	if encoded == "" {
		return PasswordHash{}, nil
	}
	a := SHA256
	if algorithm != "" {
		for a = algorithms - 1; a != NoPassword && a.String() != algorithm; a-- {
		}
	}
	if a == NoPassword {
		return PasswordHash{}, refuse(Invalid, "unknown password hashing algorithm '%s'", algorithm)
	}
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(b) != SaltBytes+a.digestBytes() {
		return PasswordHash{}, refuse(Invalid, "the password hash is not the base64 of %d bytes, as %s has them", SaltBytes+a.digestBytes(), a)
	}
	return hashOf(a, b), nil
}

// hashOf makes a hash of salt and digest, which have the right length.
func hashOf(a Algorithm, b []byte) PasswordHash {
	h := PasswordHash{Algorithm: a}
	copy(h.digest[:], b[copy(h.salt[:], b):])
	return h
}

// bytes are salt and digest; none if there is no password.
func (h *PasswordHash) bytes() []byte {
	if h.Algorithm == NoPassword {
		return nil
	}
	return append(h.salt[:], h.digest[:h.Algorithm.digestBytes()]...)
}

// Encoded is the hash as RabbitMQ's definitions have it; see ParseHash.
func (h PasswordHash) Encoded() string { return base64.StdEncoding.EncodeToString(h.bytes()) }
