package ratchet

import (
	"encoding/binary"
	"io"
	"math"
)

// Seal encrypts plaintext and returns the session that follows (Double Ratchet,
// sections 3.4 and 4.5). The associated data ad is authenticated by WaxwingHE
// alone; the other profiles carry none, and Seal refuses it. Only WaxwingHE
// reads rand.
func (s *Session) Seal(rand io.Reader, ad, plaintext []byte) (next *Session, message []byte, err error) {
	if !s.sending {
		return nil, nil, ErrNotYet
	}
	if s.send.n == math.MaxUint32 || s.pq.send.n == math.MaxUint32 {
		return nil, nil, ErrExhausted
	}
	n := *s
	if s.profile == WaxwingHE {
		message, err = n.sealHE(rand, ad, plaintext)
	} else if len(ad) > 0 {
		err = ErrAssociatedData
	} else {
		message = n.sealSignal(plaintext)
	}
	if err != nil {
		return nil, nil, err
	}
	return &n, message, nil
}

// sealSignal moves s on by one message, which it returns.
func (s *Session) sealSignal(plaintext []byte) []byte {
	b := make([]byte, 0, 96+len(plaintext))
	b = append(b, s.profile.version())
	b = appendKey(b, fieldRatchet, &s.public)
	b = appendUint(b, fieldCounter, s.send.n)
	b = appendUint(b, fieldPrevious, s.previous)

	seed := s.send.step()
	var pqKey []byte
	if s.profile == SignalV4 {
		k := s.pq.send.step()
		pqKey = k[:]
	}
	var k messageKeys
	k.derive(&seed, pqKey)
	b = append(b, fieldBody<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(cbcSize(len(plaintext))))
	b = cbcSeal(b, k.cipher(), k.iv(), plaintext)
	if pqKey != nil {
		var pq [16]byte
		b = appendBytes(b, fieldPQRatchet, appendPQ(pq[:0], s.pq.send.n))
	}
	t := tag(k.mac(), &s.self, &s.peer, b)
	clear(k[:])
	return append(b, t[:]...)
}

// messageKeys are what encrypts and authenticates one message.
type messageKeys [keySize]byte

func (k *messageKeys) cipher() []byte { return k[:32] }
func (k *messageKeys) mac() []byte    { return k[32:64] }
func (k *messageKeys) iv() []byte     { return k[64:] }

// derive makes the keys of a message of its keys in both chains, which it
// clears.
func (k *messageKeys) derive(seed *[32]byte, pqKey []byte) {
	hkdf(k[:], pqKey, seed[:], []byte("WhisperMessageKeys"))
	clear(seed[:])
	clear(pqKey)
}

// turn is the sending half of a step of the Diffie-Hellman ratchet (section
// 3.5, DHRatchet): it begins a sending chain.
func (s *Session) turn(rand io.Reader, peer *PublicKey) error {
	key, err := GenerateKey(rand)
	if err != nil {
		return err
	}
	secret, err := key.agree(peer)
	if err != nil {
		return err
	}
	s.previous = s.send.n
	s.send = chain{}
	s.ratchet, s.public = key, key.Public()
	s.sending = true
	if s.profile == WaxwingHE {
		s.he.turn()
		deriveRoot(&s.root, &secret, labelHERoot, &s.send.key, &s.he.nextSend)
	} else {
		deriveRoot(&s.root, &secret, labelRoot, &s.send.key)
	}
	return nil
}

// labelRoot is the label of the root chain.
const labelRoot = "WhisperRatchet"
