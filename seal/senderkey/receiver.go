package senderkey

import (
	"fmt"
	"math"
	"slices"

	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// MaxStates is how many chains of one sender in one group are to be kept, the newest: messages of the one before may still be on their way
// when a new one comes, as libsignal has it.
const MaxStates = 5

// A Receiver is a chain of somebody else: a value, which no method changes.
type Receiver struct {
	group   [16]byte
	chainID uint32
	chain   chain
	signing ratchet.PublicKey
}

// Opened is what Open found. Whoever keeps it stores Next and Skipped and deletes Used, in one transaction. Of a chain's skipped keys no more
// than ratchet.MaxSkipped are to be kept, those with the highest numbers.
type Opened struct {
	Next      *Receiver
	Plaintext []byte
	ID        ratchet.KeyID        // whose key it was: two messages of a chain never have the same
	Skipped   []ratchet.SkippedKey // to be kept
	Used      []ratchet.KeyID      // to be deleted
}

// ProcessDistribution makes a receiver of a distribution. Whoever has a receiver of the same Chain already must keep that one: a
// distribution that is repeated would take it back to where it began. That the distribution comes from the sender is for the session to
// say that it came in.
func ProcessDistribution(b []byte) (*Receiver, error) {
	h, key, signing, err := parseDistribution(b)
	if err != nil {
		return nil, err
	}
	return &Receiver{group: h.Group, chainID: h.ChainID, chain: chain{key: key, n: h.Iteration}, signing: signing}, nil
}

// Format keeps the secrets of a receiver out of logs.
func (r Receiver) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "senderkey.Receiver(%x/%d)", r.group, r.chainID)
}

// Header returns the group, the chain and the number of the next message, if none is lost.
func (r *Receiver) Header() Header {
	return Header{Group: r.group, ChainID: r.chainID, Iteration: r.chain.n}
}

// Chain names the chain by its signing key, as the KeyIDs of its messages do.
func (r *Receiver) Chain() [32]byte { return r.signing }

// Open verifies and decrypts message. Where it needs a skipped key, its error is a *ratchet.NeedKeys. A message of another group or chain is
// ErrSignature, as is one that somebody else made: Inspect tells which chain a message is of.
func (r *Receiver) Open(message []byte, keys []ratchet.SkippedKey) (*Opened, error) {
	h, ciphertext, signed, err := parseMessage(message)
	if err != nil {
		return nil, err
	}
	if h.Group != r.group || h.ChainID != r.chainID || !ratchet.Verify(r.signing, signed, message[len(signed):]) {
		return nil, ratchet.ErrSignature
	}
	next := *r
	o := &Opened{Next: &next, ID: r.keyID(h.Iteration)}
	var seed [32]byte
	defer clear(seed[:])
	switch {
	case h.Iteration < r.chain.n:
		i := slices.IndexFunc(keys, func(k ratchet.SkippedKey) bool { return k.ID == o.ID })
		if i < 0 {
			return nil, &ratchet.NeedKeys{IDs: []ratchet.KeyID{o.ID}}
		}
		seed, o.Used = keys[i].Key, []ratchet.KeyID{o.ID}
	case h.Iteration-r.chain.n > ratchet.MaxJump:
		return nil, ratchet.ErrTooFar
	case h.Iteration == math.MaxUint32: // which Seal never makes
		return nil, ratchet.ErrMalformed
	default:
		o.Skipped = next.skip(h.Iteration)
		seed = next.chain.step()
	}
	o.Plaintext, err = decrypt(&seed, ciphertext)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// skip moves the chain on to number n and returns the keys on the way: the last MaxSkipped of them.
func (r *Receiver) skip(n uint32) (skipped []ratchet.SkippedKey) {
	if n-r.chain.n > ratchet.MaxSkipped {
		r.chain.burn(n - ratchet.MaxSkipped)
	}
	for r.chain.n < n {
		id := r.keyID(r.chain.n)
		skipped = append(skipped, ratchet.SkippedKey{ID: id, Key: r.chain.step()})
	}
	return skipped
}

func (r *Receiver) keyID(n uint32) ratchet.KeyID { return ratchet.KeyID{Chain: r.signing, N: n} }

// Encode returns the receiver as bytes, secrets and all.
func (r *Receiver) Encode() []byte {
	return appendRow(rowReceiver, r.group, r.chainID, &r.chain, r.signing)
}

// DecodeReceiver reads what Encode wrote.
func DecodeReceiver(b []byte) (*Receiver, error) {
	r := &Receiver{}
	if err := decodeRow(b, rowReceiver, &r.group, &r.chainID, &r.chain, (*[32]byte)(&r.signing)); err != nil {
		return nil, err
	}
	return r, nil
}
