package ratchet

// The message with a handshake is
//
//	version (1) ‖ protobuf
//
//	1 one-time id (absent or 0: none)   2 base key   3 identity key   4 message   5 registration id   6 signed id
//	7 KEM id   8 KEM ciphertext (version 4 and WaxwingHE)
const (
	fieldOneTimeID    = 1
	fieldBase         = 2
	fieldIdentity     = 3
	fieldMessage      = 4
	fieldRegistration = 5
	fieldSignedID     = 6
	fieldKEMID        = 7
	fieldKEMText      = 8
)

// EncodePreKeyMessage wraps a sealed message with its handshake.
func EncodePreKeyMessage(h *Handshake, message []byte) []byte {
	b := make([]byte, 1, 128+len(h.KEMCiphertext)+len(message))
	b[0] = h.Profile.version()
	return appendBytes(h.append(b), fieldMessage, message)
}

// ParsePreKeyMessage unwraps one. Of the two profiles with version 4 it tells
// the one that the message shows: the caller says which it accepts. The message
// points into b.
func ParsePreKeyMessage(b []byte) (h *Handshake, message []byte, err error) {
	if len(b) == 0 {
		return nil, nil, ErrMalformed
	}
	for _, p := range [...]Profile{X3DH, PQXDH, WaxwingHE} {
		if p.speaks(b[0]) {
			h = &Handshake{Profile: p}
		}
	}
	if h == nil {
		return nil, nil, ErrVersion
	}
	if message, err = h.parse(b[1:], ParsePublicKey); err != nil {
		return nil, nil, err
	}
	if len(message) == 0 {
		return nil, nil, ErrMalformed
	}
	if h.Profile == PQXDH {
		m, err := parseSignal(message)
		if err != nil {
			return nil, nil, err
		}
		if len(m.pq) > 0 {
			h.Profile = SignalV4
		}
	}
	return h, message, nil
}

// Encode returns the handshake as bytes for DecodeHandshake. They are not what
// goes over the wire.
func (h *Handshake) Encode() []byte {
	return h.append(append(make([]byte, 0, 128+len(h.KEMCiphertext)), byte(h.Profile)))
}

// DecodeHandshake reads what Encode wrote.
func DecodeHandshake(b []byte) (*Handshake, error) {
	if len(b) == 0 || Profile(b[0]).version() == 0 {
		return nil, ErrMalformed
	}
	h := &Handshake{Profile: Profile(b[0])}
	_, err := h.parse(b[1:], parseRatchetKey) // the keys are our own and a bundle's: that they are well was seen
	if err != nil {
		return nil, err
	}
	return h, nil
}

// append encodes all but the message.
func (h *Handshake) append(b []byte) []byte {
	if h.OneTimeID != 0 {
		b = appendUint(b, fieldOneTimeID, h.OneTimeID)
	}
	b = appendKey(b, fieldBase, &h.Base)
	b = appendKey(b, fieldIdentity, &h.Identity)
	b = appendUint(b, fieldRegistration, h.RegistrationID)
	b = appendUint(b, fieldSignedID, h.SignedID)
	if h.Profile.kem() != 0 {
		b = appendUint(b, fieldKEMID, h.KEMID)
		b = appendBytes(b, fieldKEMText, h.KEMCiphertext)
	}
	return b
}

// parse is append's counterpart. It takes the keys last, since they are dear.
func (h *Handshake) parse(b []byte, parseKey func([]byte) (PublicKey, error)) (message []byte, err error) {
	var base, identity []byte
	for len(b) > 0 && err == nil {
		var f protoField
		if f, b, err = takeField(b); err != nil {
			break
		}
		switch f.id {
		case fieldOneTimeID:
			h.OneTimeID, err = f.uint32()
		case fieldBase:
			base, err = f.bytes()
		case fieldIdentity:
			identity, err = f.bytes()
		case fieldMessage:
			message, err = f.bytes()
		case fieldRegistration:
			h.RegistrationID, err = f.uint32()
		case fieldSignedID:
			h.SignedID, err = f.uint32()
		case fieldKEMID:
			h.KEMID, err = f.uint32()
		case fieldKEMText:
			h.KEMCiphertext, err = f.bytes()
		}
	}
	if err == nil {
		err = h.check()
	}
	if err == nil {
		h.Base, err = parseKey(base)
	}
	if err == nil {
		h.Identity, err = parseKey(identity)
	}
	return message, err
}

// check says whether h has the KEM of its profile. X3DH has none, whatever a
// peer puts there.
func (h *Handshake) check() error {
	kem := h.Profile.kem()
	if kem == 0 {
		h.KEMID, h.KEMCiphertext = 0, nil
		return nil
	}
	if len(h.KEMCiphertext) != kemCiphertextSize || KEM(h.KEMCiphertext[0]) != kem {
		return ErrMalformed
	}
	h.KEMCiphertext = append([]byte(nil), h.KEMCiphertext...)
	return nil
}
