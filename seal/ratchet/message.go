package ratchet

import (
	"crypto/hmac"
	"encoding/binary"
)

// A message of the profiles that libsignal speaks is
//
//	version (1) ‖ protobuf ‖ MAC (8)
//
// where version is the session's in the high and the highest known in the low
// four bits, and the protobuf has
//
//	1 ratchet key (0x05 ‖ 32)   2 counter   3 previous counter   4 ciphertext   5 pq_ratchet (SignalV4)
//
// and, from libsignal, 6 addresses, which nobody but its makers can use. The
// MAC is the first 8 bytes of HMAC-SHA256 over both identity keys (sender's
// first, 33 bytes each) and all that comes before it.
const (
	macSize        = 8
	fieldRatchet   = 1
	fieldCounter   = 2
	fieldPrevious  = 3
	fieldBody      = 4
	fieldPQRatchet = 5
)

// version returns the version byte of messages of p.
func (p Profile) version() byte {
	switch p {
	case X3DH:
		return 0x33
	case PQXDH, SignalV4:
		return 0x44
	case WaxwingHE:
		return 0x66
	}
	return 0
}

// speaks says whether a message with that version byte can belong to a session
// of p. The low bits only say what else the sender can.
func (p Profile) speaks(version byte) bool {
	if p == WaxwingHE {
		return version == p.version()
	}
	return version>>4 == p.version()>>4 && version&15 >= version>>4
}

// A signalMessage is a parsed message. Its slices point into what was parsed.
type signalMessage struct {
	ratchet  PublicKey
	counter  uint32
	previous uint32
	body     []byte
	pq       []byte
	signed   []byte // what the MAC is over
	mac      []byte
}

// parseSignal parses a message of any version of libsignal's.
func parseSignal(b []byte) (m signalMessage, err error) {
	if len(b) < 1+macSize {
		return m, ErrMalformed
	}
	m.signed, m.mac = b[:len(b)-macSize], b[len(b)-macSize:]
	var key []byte
	for rest := m.signed[1:]; len(rest) > 0 && err == nil; {
		var f protoField
		if f, rest, err = takeField(rest); err != nil {
			break
		}
		switch f.id {
		case fieldRatchet:
			key, err = f.bytes()
		case fieldCounter:
			m.counter, err = f.uint32()
		case fieldPrevious:
			m.previous, err = f.uint32()
		case fieldBody:
			m.body, err = f.bytes()
		case fieldPQRatchet:
			m.pq, err = f.bytes()
		}
	}
	if err == nil {
		m.ratchet, err = parseRatchetKey(key)
	}
	return m, err
}

// tag is the MAC of a message from sender to receiver.
func tag(key []byte, sender, receiver *PublicKey, signed []byte) (t [macSize]byte) {
	sum := hmacSHA256(key, []byte{djb}, sender[:], []byte{djb}, receiver[:], signed)
	return [macSize]byte(sum[:])
}

// authentic says whether m is from sender to receiver.
func (m *signalMessage) authentic(key []byte, sender, receiver *PublicKey) bool {
	t := tag(key, sender, receiver, m.signed)
	return hmac.Equal(t[:], m.mac)
}

// The post-quantum field is
//
//	version (1) ‖ varint epoch ‖ varint index ‖ type (1) [‖ varint chunk ‖ 32 bytes]
//
// The first version is 1, the first epoch 1, the first index 1. We send no
// chunks (type 0), and ignore those of the peer: so its ML-KEM Braid never
// completes and both sides stay with the keys of epoch 0, those from the
// handshake.
const (
	pqVersion  = 1
	pqEpoch    = 1
	pqMaxField = 64
	pqMaxType  = 6
)

// appendPQ encodes the post-quantum field.
func appendPQ(b []byte, index uint32) []byte {
	b = binary.AppendUvarint(append(b, pqVersion, pqEpoch), uint64(index))
	return append(b, 0)
}

// parsePQ returns the index of a post-quantum field. It is strict: there has to
// be a key, of the epoch that we are in.
func parsePQ(b []byte) (index uint32, err error) {
	if len(b) < 4 || len(b) > pqMaxField || b[0] != pqVersion || b[1] != pqEpoch {
		return 0, ErrMalformed
	}
	v, n := binary.Uvarint(b[2:])
	if n <= 0 || v == 0 || v != uint64(uint32(v)) || len(b) <= 2+n || b[2+n] > pqMaxType {
		return 0, ErrMalformed
	}
	return uint32(v), nil
}
