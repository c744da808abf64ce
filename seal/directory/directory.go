// Package directory is the prekey directory as its callers see it: the types
// that travel as JSON, and a client over HTTPS. The broker serves it.
//
// An identity publishes what others need to begin a session with it: its
// certificate, its signed prekey, a last-resort KEM key, and one-time keys. Take
// hands these out, each one-time key once. The directory also keeps, per identity
// and lane, the highest sequence that was published, which only ever rises: a
// database that was restored from a backup finds out by it.
//
// Keys, signatures and certificates are bytes here, and nothing checks them: a
// directory can lie. What it says is to be believed only after its certificate and
// signatures have been verified (package seal does that).
//
// The keys of an identity are of one KEM. A service that has sessions of several
// profiles publishes an identity for each, such as "orders" and "orders/he".
package directory

// Limits of what can be published. The directory refuses what is beyond: what is too
// large in itself with ErrInvalid, what there is no room for any more with
// ErrQuota (OneTimeMax, UserIdentitiesMax, UserBytesMax).
const (
	NameBytesMax        = 255       // of an identity's name
	CertificateBytesMax = 16 << 10  // of a certificate
	KeyBytesMax         = 4 << 10   // of a key or signature
	OneTimeMax          = 1000      // one-time keys of each kind, that an identity has at a time
	LanesMax            = 1024      // lanes are numbered from 0 to LanesMax-1
	UserIdentitiesMax   = 64        // identities of a user; administrators may make more
	UserBytesMax        = 16 << 20  // of all identities of a user, in the broker's memory; an administrator may publish more
	PublicationBytesMax = 768 << 10 // of a publication's keys, signatures and certificate together; Client.Publish sends more in parts
)

// Key is a public key with its id. Ids are chosen by the publisher; 0 is none.
type Key struct {
	ID  uint32 `json:"id"`
	Key []byte `json:"key"`
}

// SignedKey is a public key that the identity key has signed.
type SignedKey struct {
	ID        uint32 `json:"id"`
	Key       []byte `json:"key"`
	Signature []byte `json:"signature"`
}

// Publication is what an identity publishes. What it leaves out (zero, nil) stays
// as it is; the first publication of an identity must have Certificate,
// RegistrationID and Signed.
//
// One-time keys are added to those that are there. Their ids rise: within a
// publication, and from one to the next, each kind for itself. A key whose id is
// not above all that were published before counts as published earlier and is
// skipped, so that a publication may be sent again when its answer was lost; but if
// a key with that id still waits, and is another one, the publication is refused
// with ErrConflict.
type Publication struct {
	RegistrationID uint32      `json:"registration_id,omitempty"`
	Certificate    []byte      `json:"certificate,omitempty"`
	Signed         *SignedKey  `json:"signed,omitempty"`       // the signed prekey
	LastResort     *SignedKey  `json:"last_resort,omitempty"`  // the KEM key that is given out when no one-time key is left
	OneTime        []Key       `json:"one_time,omitempty"`     // EC
	OneTimeKEM     []SignedKey `json:"one_time_kem,omitempty"` // an id is no other one-time or last-resort key's
	// Replace drops the one-time keys that wait and have an id below the lowest
	// of this publication's own of that kind (all, where it has none): the
	// private halves are lost, or the identity key has changed.
	Replace bool `json:"replace,omitempty"`
}

// Bundle is what Take hands out: what is needed to begin a session with an
// identity. OneTime is nil when there was none; KEM is nil when there is no KEM key
// at all.
type Bundle struct {
	Name           string     `json:"name"`
	RegistrationID uint32     `json:"registration_id"`
	Certificate    []byte     `json:"certificate"`
	Signed         SignedKey  `json:"signed"`
	OneTime        *Key       `json:"one_time,omitempty"`
	KEM            *SignedKey `json:"kem,omitempty"`
	LastResort     bool       `json:"last_resort"` // KEM is the last-resort key, which others are given too
}

// Status is what an identity has published, without its one-time keys. Asking for it
// uses none up. It is no more to be believed than a Bundle.
type Status struct {
	Name            string `json:"name"`
	RegistrationID  uint32 `json:"registration_id"`
	SignedID        uint32 `json:"signed_id"`
	LastResortID    uint32 `json:"last_resort_id"`      // 0: none
	OneTime         int    `json:"one_time"`            // EC keys that wait to be given out
	OneTimeKEM      int    `json:"one_time_kem"`        // KEM keys that wait to be given out
	OneTimeIDMax    uint32 `json:"one_time_id_max"`     // the highest id that was ever published; 0: none
	OneTimeKEMIDMax uint32 `json:"one_time_kem_id_max"` // the same of KEM keys

	Certificate []byte     `json:"certificate,omitempty"`
	Signed      *SignedKey `json:"signed,omitempty"`      // the signed prekey
	LastResort  *SignedKey `json:"last_resort,omitempty"` // nil: none
}

// Marks are the highest sequence that was published, by lane. A lane without a
// mark is not in it: its mark is 0.
type Marks struct {
	Marks map[uint32]uint64 `json:"marks"`
}

// Failure is what the directory answers when it does not do what was asked.
type Failure struct {
	Error  string `json:"error"`  // the status, in words
	Reason string `json:"reason"` // why
}
