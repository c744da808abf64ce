// Package prekey is the state behind the prekey directory: what identities have
// published, one-time keys that are given out once, and per lane the highest
// sequence that was published.
//
// Durable is the state; it changes only in Apply. Machine decides. Both are pure.
// Keys and certificates are bytes that nothing here looks into. DESIGN.md says why
// it is so.
package prekey

import "time"

// Key is a public key. Its id is not 0.
type Key struct {
	ID  uint32
	Key []byte
}

// SignedKey is a public key with a signature. Where the id is 0 there is none.
type SignedKey struct {
	ID             uint32
	Key, Signature []byte
}

// Publication is what an identity publishes. What is zero stays as it is. One-time
// keys ascend by id.
type Publication struct {
	RegistrationID uint32
	Certificate    []byte
	Signed         SignedKey
	LastResort     SignedKey // the KEM key for when no one-time key is left
	OneTime        []Key
	OneTimeKEM     []SignedKey
	// Replace drops waiting one-time keys that are below the first of this
	// publication, of each kind; all, if it has none.
	Replace bool
	// Account says which identities count together with this one, for
	// Limits.UserIdentities and UserBytes: those of its user. It is called while the
	// publication is decided, and waits for nothing. nil: only the limits of all
	// identities together bound it.
	Account func(identity string) bool
}

// Bundle is what is given out to begin a session with an identity. Its bytes are
// never changed.
type Bundle struct {
	RegistrationID uint32
	Certificate    []byte
	Signed         SignedKey
	OneTime        Key       // id 0: none
	KEM            SignedKey // id 0: none
	LastResort     bool      // KEM is the last-resort key
}

// Status is what is there of an identity. Its bytes are never changed.
type Status struct {
	RegistrationID            uint32
	Certificate               []byte
	Signed                    SignedKey
	LastResort                SignedKey
	OneTime, OneTimeKEM       int    // keys that wait
	OneTimeMax, OneTimeKEMMax uint32 // the highest ids that were ever published
}

// Totals are counts over all identities.
type Totals struct {
	Identities          int
	OneTime, OneTimeKEM int // keys that wait
	Bytes               int // about what they take in memory
}

// Limits bound what is stored and given out.
type Limits struct {
	Identities       int
	NameBytes        int
	CertificateBytes int
	KeyBytes         int // of a key, and of a signature
	OneTime          int // keys of each kind that wait, of an identity
	Lanes            uint32
	Bytes            int // of all identities together, as Totals counts

	// What Publication.Account counts together: so many identities may be made, and
	// may grow to so many bytes.
	UserIdentities int
	UserBytes      int

	// A user gets one-time keys of an identity TakeBurst times at once, and
	// then once per TakeEvery.
	TakeBurst int
	TakeEvery time.Duration
	Takers    int // pairs of user and identity that are remembered for it
}

// DefaultLimits hold unless others are set.
var DefaultLimits = Limits{
	Identities:       10_000,
	NameBytes:        255,
	CertificateBytes: 16 << 10,
	KeyBytes:         4 << 10,
	OneTime:          1000,
	Lanes:            1024,
	Bytes:            64 << 20,
	UserIdentities:   64,
	UserBytes:        16 << 20,
	TakeBurst:        100,
	TakeEvery:        36 * time.Second,
	Takers:           1 << 16,
}
