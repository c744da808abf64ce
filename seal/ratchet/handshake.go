package ratchet

import (
	"crypto/sha256"
	"fmt"
	"io"
)

// A Profile says what a session speaks.
type Profile uint8

const (
	// X3DH is version 3: no KEM. It is for tests against old peers.
	X3DH Profile = 3
	// PQXDH is version 4 without the post-quantum chain, as libsignal 0.24 to
	// 0.91 speak it.
	PQXDH Profile = 4
	// SignalV4 is version 4 with the post-quantum chain, as libsignal speaks it
	// from 0.92 on.
	SignalV4 Profile = 5
	// WaxwingHE has header encryption, ML-KEM-1024 and AES-256-GCM. Only
	// Waxwing speaks it.
	WaxwingHE Profile = 6
)

// String is the profile's name, as the command line has it.
func (p Profile) String() string {
	switch p {
	case X3DH:
		return "x3dh"
	case PQXDH:
		return "pqxdh"
	case SignalV4:
		return "signal-v4"
	case WaxwingHE:
		return "waxwing-he"
	}
	return fmt.Sprintf("unknown (%d)", uint8(p))
}

// kem returns the mechanism of p, 0 if it has none.
func (p Profile) kem() KEM {
	switch p {
	case PQXDH, SignalV4:
		return Kyber1024
	case WaxwingHE:
		return MLKEM1024
	}
	return 0
}

// A Bundle is what the directory gives out of a party, so that others may begin
// a session with it. An id of 0 means that there is no such key, and is never
// given to one.
type Bundle struct {
	RegistrationID uint32
	Identity       PublicKey
	SignedID       uint32
	Signed         PublicKey
	SignedSig      []byte // of Signed.Encode(), by Identity
	OneTimeID      uint32
	OneTime        *PublicKey
	KEMID          uint32
	KEMKey, KEMSig []byte // the key with its type byte, and the signature of that; not for X3DH
}

// Verify checks the signatures of what p uses.
func (b *Bundle) Verify(p Profile) error {
	if !Verify(b.Identity, b.Signed.Encode(), b.SignedSig) {
		return ErrSignature
	}
	if p.kem() != 0 && !Verify(b.Identity, b.KEMKey, b.KEMSig) {
		return ErrSignature
	}
	return nil
}

// A Handshake is what the first messages of a session carry, until the peer has
// answered. Its keys are authentic once a message opens; its numbers never are.
type Handshake struct {
	Profile        Profile
	RegistrationID uint32 // the initiator's
	OneTimeID      uint32 // 0: there was none
	SignedID       uint32
	KEMID          uint32 // 0 under X3DH
	Base, Identity PublicKey
	KEMCiphertext  []byte // type byte first
}

// Prekeys are the private keys that a handshake names.
type Prekeys struct {
	Signed  PrivateKey
	OneTime *PrivateKey
	KEM     *KEMPrivateKey
}

// Initiate begins a session with the party of bundle, of which it checks the
// signatures (X3DH, section 3.3; PQXDH, section 3.3). Whether bundle.Identity
// is that party's is for the caller to know. Every message that is sealed
// before the first is opened travels with the handshake.
func Initiate(rand io.Reader, p Profile, self PrivateKey, registrationID uint32, bundle Bundle) (*Session, *Handshake, error) {
	if p.version() == 0 {
		return nil, nil, ErrVersion
	}
	if err := bundle.Verify(p); err != nil {
		return nil, nil, err
	}
	base, err := GenerateKey(rand)
	if err != nil {
		return nil, nil, err
	}
	defer clear(base[:])
	h := &Handshake{Profile: p, RegistrationID: registrationID, SignedID: bundle.SignedID, Base: base.Public(), Identity: self.Public()}
	a := newAgreement()
	a.agree(&self, &bundle.Signed)
	a.agree(&base, &bundle.Identity)
	a.agree(&base, &bundle.Signed)
	if bundle.OneTime != nil {
		a.agree(&base, bundle.OneTime)
		h.OneTimeID = bundle.OneTimeID
	}
	if p.kem() != 0 {
		h.KEMID = bundle.KEMID
		h.KEMCiphertext = a.encapsulate(p.kem(), bundle.KEMKey)
	}
	if a.err != nil {
		return nil, nil, a.err
	}
	s := &Session{profile: p, initiator: true, self: h.Identity, peer: bundle.Identity}
	s.start(a, transcript(h, &bundle.Identity, &bundle.Signed, bundle.OneTime, bundle.KEMKey))
	return s, h, s.turn(rand, &bundle.Signed)
}

// Accept makes the other end of the session (X3DH, section 3.4). Whether the
// handshake is authentic shows when its message is opened: keep the session
// only then, and delete the one-time keys in the same transaction. Whether
// h.Identity is whose it should be, and whether the handshake was there before
// (the last-resort KEM key and the signed prekey do not stop that), is for the
// caller to know.
func Accept(self PrivateKey, keys Prekeys, h Handshake) (*Session, error) {
	p := h.Profile
	if p.version() == 0 {
		return nil, ErrVersion
	}
	if (keys.OneTime != nil) != (h.OneTimeID != 0) || (keys.KEM != nil) != (p.kem() != 0) {
		return nil, ErrMalformed
	}
	a := newAgreement()
	a.agree(&keys.Signed, &h.Identity)
	a.agree(&self, &h.Base)
	a.agree(&keys.Signed, &h.Base)
	if keys.OneTime != nil {
		a.agree(keys.OneTime, &h.Base)
	}
	var kemKey []byte
	if keys.KEM != nil {
		kemKey = a.decapsulate(p.kem(), keys.KEM, h.KEMCiphertext)
	}
	if a.err != nil {
		return nil, a.err
	}
	s := &Session{profile: p, self: self.Public(), peer: h.Identity, ratchet: keys.Signed, public: keys.Signed.Public()}
	var oneTime *PublicKey
	if keys.OneTime != nil && p == WaxwingHE {
		k := keys.OneTime.Public()
		oneTime = &k
	}
	s.start(a, transcript(&h, &s.self, &s.public, oneTime, kemKey))
	return s, nil
}

// An agreement collects the secrets of a handshake: 32 times 0xff, the results
// of X25519, that of the KEM (X3DH, section 2.2).
type agreement struct {
	secret []byte
	err    error
}

func newAgreement() *agreement {
	a := &agreement{secret: make([]byte, 32, 6*32)}
	for i := range a.secret {
		a.secret[i] = 0xff
	}
	return a
}

func (a *agreement) add(secret [32]byte, err error) {
	if a.err == nil {
		a.err = err
	}
	a.secret = append(a.secret, secret[:]...)
	clear(secret[:])
}

func (a *agreement) agree(k *PrivateKey, p *PublicKey) { a.add(k.agree(p)) }

func (a *agreement) encapsulate(kem KEM, key []byte) (ciphertext []byte) {
	secret, ciphertext, err := encapsulate(kem, key)
	a.add(secret, err)
	return ciphertext
}

func (a *agreement) decapsulate(kem KEM, k *KEMPrivateKey, ciphertext []byte) (public []byte) {
	if k.kem != kem {
		a.add([32]byte{}, ErrMalformed)
		return nil
	}
	dk := k.expand()
	a.add(k.decapsulate(dk, ciphertext))
	return append([]byte{byte(kem)}, dk.EncapsulationKey().Bytes()...)
}

// The labels of the handshakes.
const (
	labelX3DH      = "WhisperText"
	labelPQXDH     = "WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024"
	labelWaxwingHE = "WaxwingHE_X25519_SHA-256_ML-KEM-1024"
)

// start derives the session's first secrets of the agreement's. Of what
// libsignal derives, the second 32 bytes are a chain by which the accepting
// side could send before it has opened anything. We have no use for it.
func (s *Session) start(a *agreement, transcript [32]byte) {
	var out [96]byte
	third := (*[32]byte)(out[64:])
	switch s.profile {
	case X3DH:
		hkdf(out[:32], nil, a.secret, []byte(labelX3DH))
	case PQXDH:
		hkdf(out[:32], nil, a.secret, []byte(labelPQXDH))
	case SignalV4:
		hkdf(out[:], nil, a.secret, []byte(labelPQXDH))
		s.pq = newPQChains(third, s.initiator)
	case WaxwingHE:
		hkdf(out[:], nil, a.secret, []byte(labelWaxwingHE), transcript[:])
		s.he.start((*[32]byte)(out[32:64]), third, s.initiator)
	}
	copy(s.root[:], out[:])
	clear(out[:])
	clear(a.secret)
}

// transcript hashes all public keys of a handshake of WaxwingHE, so that both
// ends agree on them and not only on the secrets: that is what the formal
// analysis of PQXDH (Bhargavan and others, 2024) asks of a KEM that does not
// bind its key. Each part has a fixed length.
func transcript(h *Handshake, identity, signed, oneTime *PublicKey, kemKey []byte) (sum [32]byte) {
	if h.Profile != WaxwingHE {
		return sum
	}
	t := sha256.New()
	for _, k := range [...]*PublicKey{&h.Identity, identity, &h.Base, signed} {
		t.Write(k[:])
	}
	t.Write(kemKey)
	t.Write(h.KEMCiphertext)
	if oneTime != nil {
		t.Write(oneTime[:])
	}
	t.Sum(sum[:0])
	return sum
}
