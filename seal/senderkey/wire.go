package senderkey

import (
	"encoding/binary"
	"math"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// The first byte of both: version 3 in the high half, and again as the highest that the sender knows. A reader looks at the high half.
//
//	distribution: 0x33 ‖ protobuf{1 group (16 bytes), 2 chain id, 3 iteration, 4 chain key (32 bytes), 5 signing key (0x05 ‖ 32 bytes)}
//	message:      0x33 ‖ protobuf{1 group (16 bytes), 2 chain id, 3 iteration, 4 ciphertext} ‖ XEdDSA of all before (64 bytes)
const version = 0x33

const signatureSize = 64

// Header is what anybody can read in a message and in a distribution.
type Header struct {
	Group     [16]byte // a UUID
	ChainID   uint32   // of 31 bits: which of the sender's chains of the group
	Iteration uint32   // the number in the chain; of a distribution: of the first message that it opens
}

// Inspect returns the public parts of a message. Nothing is verified.
func Inspect(message []byte) (Header, error) {
	h, _, _, err := parseMessage(message)
	return h, err
}

// parseMessage returns the parts of a message, which it does not copy: signed is what the signature, the last 64 bytes, is of.
func parseMessage(b []byte) (h Header, ciphertext, signed []byte, err error) {
	if len(b) < 1+signatureSize {
		return h, nil, nil, ratchet.ErrMalformed
	}
	signed = b[:len(b)-signatureSize]
	f, err := parse(signed)
	if err != nil {
		return h, nil, nil, err
	}
	if h, err = f.header(); err != nil || f.bytes[4] == nil {
		return h, nil, nil, ratchet.ErrMalformed
	}
	return h, f.bytes[4], signed, nil
}

func appendMessage(b []byte, h Header, ciphertext []byte) []byte {
	return appendBytes(appendHeader(b, h), 4, ciphertext)
}

func parseDistribution(b []byte) (h Header, chainKey [32]byte, signing ratchet.PublicKey, err error) {
	f, err := parse(b)
	if err != nil {
		return h, chainKey, signing, err
	}
	if h, err = f.header(); err != nil || len(f.bytes[4]) != len(chainKey) {
		return h, chainKey, signing, ratchet.ErrMalformed
	}
	signing, err = ratchet.ParsePublicKey(f.bytes[5])
	return h, [32]byte(f.bytes[4]), signing, err
}

func appendDistribution(b []byte, h Header, chainKey [32]byte, signing ratchet.PublicKey) []byte {
	return appendBytes(appendBytes(appendHeader(b, h), 4, chainKey[:]), 5, signing.Encode())
}

func appendHeader(b []byte, h Header) []byte {
	b = appendBytes(append(b, version), 1, h.Group[:])
	return appendUint(appendUint(b, 2, h.ChainID), 3, h.Iteration)
}

// Protobuf's wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// fields are the fields 1 to 5 of a protobuf message: numbers, if they are there, and bytes, nil if they are not. The last of several counts.
type fields struct {
	num   [6]uint64
	has   [6]bool
	bytes [6][]byte
}

// parse reads a version byte and fields. It skips those that it does not know.
func parse(b []byte) (f fields, err error) {
	if len(b) == 0 {
		return f, ratchet.ErrMalformed
	}
	if b[0]>>4 != version>>4 {
		return f, ratchet.ErrVersion
	}
	for b = b[1:]; len(b) > 0; {
		tag, n := binary.Uvarint(b)
		id := tag >> 3
		if n <= 0 || id == 0 || id > math.MaxInt32>>2 {
			return f, ratchet.ErrMalformed
		}
		b = b[n:]
		var num, size uint64
		switch tag & 7 {
		case wireVarint, wireBytes:
			if num, n = binary.Uvarint(b); n <= 0 {
				return f, ratchet.ErrMalformed
			}
			if b = b[n:]; tag&7 == wireBytes {
				size = num
			}
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		default: // groups, which nobody sends
			return f, ratchet.ErrMalformed
		}
		if size > uint64(len(b)) {
			return f, ratchet.ErrMalformed
		}
		if id < uint64(len(f.num)) {
			switch tag & 7 {
			case wireVarint:
				f.num[id], f.has[id] = num, true
			case wireBytes:
				f.bytes[id] = b[:size:size]
			}
		}
		b = b[size:]
	}
	return f, nil
}

// header returns the fields that messages and distributions share.
func (f *fields) header() (h Header, err error) {
	if len(f.bytes[1]) != len(h.Group) || !f.has[2] || !f.has[3] ||
		f.num[2] > math.MaxUint32 || f.num[3] > math.MaxUint32 {
		return h, ratchet.ErrMalformed
	}
	return Header{Group: [16]byte(f.bytes[1]), ChainID: uint32(f.num[2]), Iteration: uint32(f.num[3])}, nil
}

func appendUint(b []byte, id int, v uint32) []byte {
	return binary.AppendUvarint(append(b, byte(id<<3|wireVarint)), uint64(v))
}

func appendBytes(b []byte, id int, v []byte) []byte {
	b = binary.AppendUvarint(append(b, byte(id<<3|wireBytes)), uint64(len(v)))
	return append(b, v...)
}
