package ratchet

import "io"

const (
	// MaxJump is how far a message may be ahead of its chain.
	MaxJump = 25_000
	// MaxSkipped is how many skipped keys of one chain are kept, the highest numbers. Open hands out no more than these; that those of
	// several calls do not add up to more is for the caller to see to.
	MaxSkipped = 2_000
	// MaxChains is how many receiving chains a session keeps.
	MaxChains = 5
)

// A Session is one end of a conversation: a value, which no method changes.
type Session struct{}

// A KeyID names the key of one message.
type KeyID struct {
	Chain [32]byte // the peer's ratchet key; waxwing-he: a hash of the header key; PQ: the epoch
	N     uint32   // the number in the chain
	PQ    bool     // a key of the post-quantum chain
}

// A SkippedKey is the key of a message that has not arrived yet, a secret.
type SkippedKey struct {
	ID  KeyID
	Key [32]byte
}

// Opened is what Open found. Whoever keeps it stores Next and Skipped, and deletes Used and the keys of the chains in Gone, in one transaction.
type Opened struct {
	Next      *Session
	Plaintext []byte
	ID        KeyID        // whose key it was: two messages of a session never have the same
	Skipped   []SkippedKey // to be kept
	Used      []KeyID      // to be deleted
	Gone      [][32]byte   // chains, all of whose keys are to be deleted
}

// Profile returns what the session speaks.
func (s *Session) Profile() Profile { return 0 }

// Peer returns the peer's identity key.
func (s *Session) Peer() PublicKey { return PublicKey{} }

// Encode returns the session as bytes, secrets and all.
func (s *Session) Encode() []byte { return nil }

// DecodeSession reads what Encode wrote.
func DecodeSession(b []byte) (*Session, error) { return nil, ErrMalformed }

// SendIndex returns the chain and the number of the next message that Seal makes.
func (s *Session) SendIndex() (chain [32]byte, n uint32) { return chain, 0 }

// Burn moves the sending chain on, so that the next message has number n, at least. The keys before it are never used.
func (s *Session) Burn(n uint32) (*Session, error) { return nil, ErrMalformed }

// Seal encrypts plaintext. The associated data ad is authenticated by waxwing-he alone; the other profiles have none, and refuse it.
func (s *Session) Seal(rand io.Reader, ad, plaintext []byte) (next *Session, message []byte, err error) {
	return nil, nil, ErrMalformed
}

// Open decrypts message. Where it needs keys from outside the session, its error is a *NeedKeys.
func (s *Session) Open(rand io.Reader, ad, message []byte, keys []SkippedKey) (*Opened, error) {
	return nil, ErrMalformed
}

// Public is what anybody can read in a message.
type Public struct {
	Version  byte      // as on the wire
	Ratchet  PublicKey // zero under header encryption
	Counter  uint32
	Previous uint32
	PQIndex  uint32 // 0 if there is no post-quantum chain
	Size     int    // of the ciphertext
}

// Inspect returns the public parts of a message.
func Inspect(message []byte) (Public, error) { return Public{}, ErrMalformed }
