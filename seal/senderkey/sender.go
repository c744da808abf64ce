package senderkey

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// A Sender is a chain of one's own: a value, which no method changes.
type Sender struct {
	group   [16]byte
	chainID uint32
	chain   chain
	signing ratchet.PrivateKey
}

// NewSender makes a new chain for group, which is a UUID.
func NewSender(rand io.Reader, group [16]byte) (*Sender, error) {
	s := &Sender{group: group}
	var id [4]byte
	for _, b := range [][]byte{id[:], s.chain.key[:]} {
		if _, err := io.ReadFull(rand, b); err != nil {
			return nil, fmt.Errorf("senderkey: randomness: %w", err)
		}
	}
	s.chainID = binary.BigEndian.Uint32(id[:]) >> 1
	var err error
	s.signing, err = ratchet.GenerateKey(rand)
	return s, err
}

// Format keeps the secrets of a sender out of logs.
func (s Sender) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "senderkey.Sender(%x/%d)", s.group, s.chainID)
}

// Distribution returns the message, a secret, with which others open what the sender seals from now on.
func (s *Sender) Distribution() []byte {
	h := Header{Group: s.group, ChainID: s.chainID, Iteration: s.chain.n}
	return appendDistribution(nil, h, s.chain.key, s.signing.Public())
}

// SendIndex returns the chain, which is named by its signing key, and the number of the next message that Seal makes.
func (s *Sender) SendIndex() (chain [32]byte, n uint32) { return s.signing.Public(), s.chain.n }

// Burn moves the chain on to number n and forgets the keys before it. It does nothing if the chain is there already. A process that rolled
// back what it had sealed calls it, so that no key is used twice.
func (s *Sender) Burn(n uint32) (*Sender, error) {
	next := *s
	if n <= s.chain.n {
		return &next, nil
	}
	if n-s.chain.n > ratchet.MaxJump {
		return nil, ratchet.ErrTooFar
	}
	next.chain.burn(n)
	return &next, nil
}

// Seal encrypts and signs plaintext for everyone who has a distribution.
func (s *Sender) Seal(rand io.Reader, plaintext []byte) (next *Sender, message []byte, err error) {
	if s.chain.n == math.MaxUint32 {
		return nil, nil, ratchet.ErrExhausted
	}
	n := *s
	seed := n.chain.step()
	defer clear(seed[:])
	h := Header{Group: s.group, ChainID: s.chainID, Iteration: s.chain.n}
	message = appendMessage(nil, h, encrypt(&seed, plaintext))
	signature, err := ratchet.Sign(rand, s.signing, message)
	if err != nil {
		return nil, nil, err
	}
	return &n, append(message, signature...), nil
}

// The first byte of a row.
const (
	rowSender   = 1
	rowReceiver = 2
)

// rowSize is that of both rows: kind (1), group (16), chain id (4), iteration (4), chain key (32), signing key, private or public (32).
const rowSize = 1 + 16 + 4 + 4 + 32 + 32

// Encode returns the sender as bytes, secrets and all.
func (s *Sender) Encode() []byte {
	return appendRow(rowSender, s.group, s.chainID, &s.chain, s.signing)
}

// DecodeSender reads what Encode wrote.
func DecodeSender(b []byte) (*Sender, error) {
	s := &Sender{}
	if err := decodeRow(b, rowSender, &s.group, &s.chainID, &s.chain, (*[32]byte)(&s.signing)); err != nil {
		return nil, err
	}
	return s, nil
}

func appendRow(kind byte, group [16]byte, chainID uint32, c *chain, signing [32]byte) []byte {
	b := append(append(make([]byte, 0, rowSize), kind), group[:]...)
	b = binary.BigEndian.AppendUint32(b, chainID)
	b = binary.BigEndian.AppendUint32(b, c.n)
	return append(append(b, c.key[:]...), signing[:]...)
}

func decodeRow(b []byte, kind byte, group *[16]byte, chainID *uint32, c *chain, signing *[32]byte) error {
	if len(b) != rowSize || b[0] != kind {
		return ratchet.ErrMalformed
	}
	copy(group[:], b[1:17])
	*chainID = binary.BigEndian.Uint32(b[17:])
	c.n = binary.BigEndian.Uint32(b[21:])
	copy(c.key[:], b[25:57])
	copy(signing[:], b[57:])
	return nil
}
