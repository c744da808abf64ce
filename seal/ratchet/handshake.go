package ratchet

import "io"

// A Profile says what a session speaks.
type Profile uint8

const (
	// X3DH is version 3: no KEM. It is for tests against old peers.
	X3DH Profile = 3
	// PQXDH is version 4 without the post-quantum chain, as libsignal 0.24 to 0.91 speak it.
	PQXDH Profile = 4
	// SignalV4 is version 4 with the post-quantum chain, as libsignal speaks it from 0.92 on.
	SignalV4 Profile = 5
	// WaxwingHE has header encryption, ML-KEM-1024 and AES-256-GCM. Only Waxwing speaks it.
	WaxwingHE Profile = 6
)

// A Bundle is what the directory gives out of a party, so that others may begin a session with it. An id of 0 means that there is no such key.
type Bundle struct {
	RegistrationID uint32
	Identity       PublicKey
	SignedID       uint32
	Signed         PublicKey
	SignedSig      []byte
	OneTimeID      uint32
	OneTime        *PublicKey
	KEMID          uint32
	KEMKey, KEMSig []byte
}

// A Handshake is the public part of the first messages of a session, repeated until the peer has answered.
type Handshake struct {
	Profile                    Profile
	RegistrationID             uint32
	OneTimeID, SignedID, KEMID uint32 // OneTimeID: 0 if there was none
	Base, Identity             PublicKey
	KEMCiphertext              []byte // type byte first
}

// Prekeys are the private keys that a handshake names.
type Prekeys struct {
	Signed  PrivateKey
	OneTime *PrivateKey
	KEM     *KEMPrivateKey
}

// Initiate begins a session with the party of bundle, of which it checks the signatures. Every message that is sealed before the first is
// opened travels together with the handshake.
func Initiate(rand io.Reader, p Profile, self PrivateKey, registrationID uint32, bundle Bundle) (*Session, *Handshake, error) {
	return nil, nil, ErrMalformed
}

// Accept makes the other end of the session. It cannot know whether the handshake is authentic: that is what opening its message shows.
// Keep the session only then; delete the one-time keys in the same transaction.
func Accept(rand io.Reader, self PrivateKey, keys Prekeys, h Handshake) (*Session, error) {
	return nil, ErrMalformed
}

// Encode returns the handshake as bytes for DecodeHandshake: not what goes over the wire.
func (h *Handshake) Encode() []byte { return nil }

// DecodeHandshake reads what Encode wrote.
func DecodeHandshake(b []byte) (*Handshake, error) { return nil, ErrMalformed }

// EncodePreKeyMessage wraps a sealed message with its handshake.
func EncodePreKeyMessage(h *Handshake, message []byte) []byte { return nil }

// ParsePreKeyMessage unwraps one. The profile is what the message shows: the caller decides whether it accepts that one.
func ParsePreKeyMessage(b []byte) (h *Handshake, message []byte, err error) {
	return nil, nil, ErrMalformed
}
