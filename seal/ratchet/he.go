package ratchet

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
)

// A message of WaxwingHE (Double Ratchet, section 4) is
//
//	0x66 ‖ salt (32) ‖ sealed header (40 + 16) ‖ ciphertext ‖ tag (16)
//
// and the header
//
//	ratchet key (32) ‖ previous counter (4, big-endian) ‖ counter (4)
//
// Both are sealed with AES-256-GCM. Key and nonce are HKDF-SHA256 of the header
// key or the message key, with the message's random salt and a label of each.
// The associated data is: of the header, version ‖ salt; of the text, both
// identity keys (sender's first) ‖ version ‖ salt ‖ sealed header ‖ the
// caller's.
const (
	heSaltSize   = 32
	heHeaderSize = 40
	heTagSize    = 16
	heHead       = 1 + heSaltSize
	heBody       = heHead + heHeaderSize + heTagSize

	labelHERoot    = "WaxwingHE Root"
	labelHEHeader  = "WaxwingHE Header"
	labelHEMessage = "WaxwingHE Message"
	labelHEChain   = "WaxwingHE Chain"
)

// A heHeader is a header in the clear.
type heHeader struct {
	ratchet     PublicKey
	previous, n uint32
}

// start sets the header keys that the handshake made (section 4.4: shared_hka
// and shared_nhkb).
func (h *headerKeys) start(a, b *[32]byte, initiator bool) {
	if initiator {
		h.nextSend, h.nextReceive = *a, *b // Session.turn makes the first HKs
	} else {
		h.nextSend, h.nextReceive = *b, *a
	}
}

// turn makes the next sending header key the current one. The root chain gives
// another.
func (h *headerKeys) turn() { h.send, h.nextSend = h.nextSend, [32]byte{} }

// chainID names a chain outside the session, without betraying its header key.
func chainID(headerKey [32]byte) [32]byte { return hmacSHA256(headerKey[:], []byte(labelHEChain)) }

// sealHE moves s on by one message, which it returns.
func (s *Session) sealHE(rand io.Reader, ad, plaintext []byte) ([]byte, error) {
	b := make([]byte, heHead, heBody+len(plaintext)+heTagSize)
	b[0] = WaxwingHE.version()
	if _, err := io.ReadFull(rand, b[1:]); err != nil {
		return nil, fmt.Errorf("ratchet: randomness: %w", err)
	}
	salt := b[1:heHead]
	var header [heHeaderSize]byte
	copy(header[:], s.public[:])
	binary.BigEndian.PutUint32(header[32:], s.previous)
	binary.BigEndian.PutUint32(header[36:], s.send.n)
	aead, nonce := newGCM(&s.he.send, salt, labelHEHeader)
	b = aead.Seal(b, nonce[:], header[:], b)

	key := s.send.step()
	aead, nonce = newGCM(&key, salt, labelHEMessage)
	clear(key[:])
	return aead.Seal(b, nonce[:], plaintext, heAD(&s.self, &s.peer, b, ad)), nil
}

// newGCM returns the cipher of one use of key.
func newGCM(key *[32]byte, salt []byte, label string) (aead cipher.AEAD, nonce [12]byte) {
	var out [32 + 12]byte
	hkdf(out[:], salt, key[:], []byte(label))
	block, err := aes.NewCipher(out[:32])
	if err == nil {
		aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		panic(err) // the length was wrong
	}
	copy(nonce[:], out[32:])
	clear(out[:])
	return aead, nonce
}

// heAD is the associated data of a text.
func heAD(sender, receiver *PublicKey, head, ad []byte) []byte {
	b := make([]byte, 0, 64+len(head)+len(ad))
	return append(append(append(append(b, sender[:]...), receiver[:]...), head...), ad...)
}

// openHE decrypts a message (section 4.6).
func (o *opening) openHE(rand io.Reader, ad, message []byte) error {
	if len(message) < heBody+heTagSize {
		return ErrMalformed
	}
	s := &o.next
	h, at, err := s.openHeader(message[:heBody])
	if err != nil {
		return err
	}
	headerKey := s.he.nextReceive
	if at >= 0 {
		headerKey = s.receive[at].id
	}
	o.ID = KeyID{Chain: chainID(headerKey), N: h.n}
	if err := o.checkHE(at, &h); err != nil {
		return err
	}
	key, err := o.keyHE(at, &h)
	if err != nil {
		return err
	}
	aead, nonce := newGCM(&key, message[1:heHead], labelHEMessage)
	clear(key[:])
	o.Plaintext, err = aead.Open(nil, nonce[:], message[heBody:], heAD(&s.peer, &s.self, message[:heBody], ad))
	if err != nil {
		return ErrMAC
	}
	if at < 0 {
		o.work++
		return s.turn(rand, &h.ratchet)
	}
	return nil
}

// openHeader decrypts a header and says which receiving chain its key is of, -1
// for the next one (DecryptHeader and TrySkippedMessageKeysHE).
func (s *Session) openHeader(head []byte) (h heHeader, at int, err error) {
	if s.chains > 0 && h.open(&s.receive[0].id, head) {
		return h, 0, nil
	}
	if h.open(&s.he.nextReceive, head) {
		return h, -1, nil
	}
	for at = 1; at < s.chains; at++ {
		if h.open(&s.receive[at].id, head) {
			return h, at, nil
		}
	}
	return h, 0, ErrMAC
}

// open decrypts a header with key, if it is the right one.
func (h *heHeader) open(key *[32]byte, head []byte) bool {
	aead, nonce := newGCM(key, head[1:heHead], labelHEHeader)
	var buf [heHeaderSize]byte
	b, err := aead.Open(buf[:0], nonce[:], head[heHead:], head[:heHead])
	if err != nil {
		return false
	}
	h.ratchet = PublicKey(b[:32])
	h.previous, h.n = binary.BigEndian.Uint32(b[32:]), binary.BigEndian.Uint32(b[36:])
	return h.ratchet.canonical()
}

// checkHE is check for a header: what is behind its chain, or of a closed one,
// needs a key from outside.
func (o *opening) checkHE(at int, h *heHeader) error {
	if at > 0 || at == 0 && h.n < o.next.receive[0].chain.n {
		if o.wants(o.ID); o.need != nil {
			return &NeedKeys{IDs: o.need}
		}
		return nil
	}
	if at == 0 {
		if tooFar(o.next.receive[0].chain.n, h.n) {
			return ErrTooFar
		}
		return nil
	}
	if tooFar(0, h.n) || o.next.chains > 0 && tooFar(o.next.receive[0].chain.n, h.previous) {
		return ErrTooFar
	}
	return nil
}

// keyHE returns the key of a message that checkHE let through, and leaves the
// session as it is after that message.
func (o *opening) keyHE(at int, h *heHeader) (key [32]byte, err error) {
	if len(o.Used) > 0 {
		return o.given(o.ID), nil
	}
	if at < 0 {
		if err := o.stepHE(h); err != nil {
			return key, err
		}
	}
	return o.seed(&o.next.receive[0], h.n), nil
}

// stepHE is the receiving half of a step of the Diffie-Hellman ratchet (section
// 4.6, DHRatchetHE). First it closes the chain before, at the number where the
// peer says that it ended.
func (o *opening) stepHE(h *heHeader) error {
	s := &o.next
	o.work++
	secret, err := s.ratchet.agree(&h.ratchet)
	if err != nil {
		return err
	}
	if s.chains > 0 {
		o.closeHE(h.previous)
	}
	r := receiving{id: s.he.nextReceive}
	deriveRoot(&s.root, &secret, labelHERoot, &r.chain.key, &s.he.nextReceive)
	if gone := s.addChain(r); gone != nil {
		o.Gone = append(o.Gone, chainID(gone.id))
	}
	return nil
}

// closeHE takes what is missing out of the current receiving chain, up to
// number n, and forgets its key.
func (o *opening) closeHE(n uint32) {
	r := &o.next.receive[0]
	if n > r.chain.n {
		o.work += int(n - r.chain.n)
		o.Skipped = r.chain.skip(n, chainID(r.id), o.Skipped)
	}
	clear(r.chain.key[:])
}
