package ratchet

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// MaxJump is how far a message may be ahead of its chain.
	MaxJump = 25_000
	// MaxSkipped is how many skipped keys are kept of one chain: those with the
	// highest numbers. Open hands out no more of a chain at a time; that those
	// of several calls do not add up to more is for the caller to see to. The
	// post-quantum chain counts as one, which never goes.
	MaxSkipped = 2_000
	// MaxChains is how many receiving chains a session remembers, the current
	// one included.
	MaxChains = 5
)

// A Session is one end of a conversation: a value, which no method changes. It
// is made by Initiate, Accept and DecodeSession.
type Session struct {
	profile    Profile
	initiator  bool
	sending    bool // send is there: not before an Accepted session has opened its first message
	chains     int  // how many of receive there are
	self, peer PublicKey
	root       [32]byte
	ratchet    PrivateKey
	public     PublicKey // of ratchet
	send       chain
	previous   uint32 // how long the sending chain before was
	receive    [MaxChains]receiving
	pq         pqChains   // SignalV4
	he         headerKeys // WaxwingHE
}

// A receiving is a receiving chain. WaxwingHE closes it when the peer goes on
// to the next: its key is gone then, and it is remembered for its header key,
// by which messages that come late are told from forgeries.
type receiving struct {
	id    [32]byte // the peer's ratchet key; WaxwingHE: the header key
	chain chain
}

// headerKeys are the header keys of section 4 of Double Ratchet: HKs, NHKs and
// NHKr. HKr is the id of the first receiving chain.
type headerKeys struct{ send, nextSend, nextReceive [32]byte }

// A KeyID names the key of one message.
type KeyID struct {
	Chain [32]byte // the peer's ratchet key; WaxwingHE: a hash of the header key; PQ: zeros, for epoch 0
	N     uint32   // the number in the chain
	PQ    bool     // a key of the post-quantum chain, of which SignalV4 needs one more for each message
}

// A SkippedKey is the key of a message that has not arrived yet, a secret.
type SkippedKey struct {
	ID  KeyID
	Key [32]byte
}

// Format keeps the secrets of a session out of logs.
func (Session) Format(f fmt.State, _ rune) { io.WriteString(f, "ratchet.Session") }

// Format keeps the key out of logs.
func (k SkippedKey) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "ratchet.SkippedKey(%x/%d)", k.ID.Chain[:4], k.ID.N)
}

// Profile returns what the session speaks.
func (s *Session) Profile() Profile { return s.profile }

// Self returns one's own identity key.
func (s *Session) Self() PublicKey { return s.self }

// Peer returns the peer's identity key.
func (s *Session) Peer() PublicKey { return s.peer }

// SendIndex returns the chain and the number of the next message that Seal
// makes. The chain is a new one after each message with which the peer's turn
// began. Before an accepted session has opened a message, both are zero.
func (s *Session) SendIndex() (chain [32]byte, n uint32) {
	switch {
	case !s.sending:
		return chain, 0
	case s.profile == WaxwingHE:
		return chainID(s.he.send), s.send.n
	}
	return s.public, s.send.n
}

// Burn moves the sending chain on to number n and forgets the keys before it.
// It does nothing if the chain is there already. A process that rolled back
// what it had sealed calls it, so that no key is used twice.
func (s *Session) Burn(n uint32) (*Session, error) {
	next := *s
	if n <= s.send.n {
		return &next, nil
	}
	if !s.sending {
		return nil, ErrNotYet
	}
	if n-s.send.n > MaxJump {
		return nil, ErrTooFar
	}
	if s.profile == SignalV4 {
		if err := next.pq.send.burn(n - s.send.n); err != nil {
			return nil, err
		}
	}
	next.send.burn(n)
	return &next, nil
}

// addChain puts a receiving chain in front, as the current one, and returns the
// one that there is no more room for.
func (s *Session) addChain(r receiving) (gone *receiving) {
	if s.chains == MaxChains {
		last := s.receive[MaxChains-1]
		gone = &last
	} else {
		s.chains++
	}
	copy(s.receive[1:s.chains], s.receive[:s.chains-1])
	s.receive[0] = r
	return gone
}

// A row is
//
//	format (1) ‖ profile (1) ‖ flags (1) ‖ chains (1) ‖ self ‖ peer ‖ root ‖ ratchet ‖ its public key (32 each) ‖
//	sending key (32) ‖ its number (4) ‖ previous (4) ‖ chains × (id (32) ‖ key (32) ‖ number (4))
//
// and then, under SignalV4, sending and receiving post-quantum key and number
// (2 × 36), or, under WaxwingHE, HKs, NHKs, NHKr (3 × 32).
const (
	rowFormat     = 1
	flagInitiator = 1
	flagSending   = 2
	rowHead       = 4 + 6*32 + 8
	rowChain      = 68
	rowPQ         = 72
	rowHE         = 96
)

// keys are those with which every row begins.
func (s *Session) keys() [5]*[32]byte {
	return [...]*[32]byte{
		(*[32]byte)(&s.self), (*[32]byte)(&s.peer), &s.root,
		(*[32]byte)(&s.ratchet), (*[32]byte)(&s.public),
	}
}

// rowSize returns how long a row is.
func rowSize(p Profile, chains int) int {
	n := rowHead + chains*rowChain
	switch p {
	case SignalV4:
		n += rowPQ
	case WaxwingHE:
		n += rowHE
	}
	return n
}

// Encode returns the session as bytes, secrets and all: less than 1 kB.
func (s *Session) Encode() []byte {
	b := make([]byte, 0, rowSize(s.profile, s.chains))
	var flags byte
	if s.initiator {
		flags |= flagInitiator
	}
	if s.sending {
		flags |= flagSending
	}
	b = append(b, rowFormat, byte(s.profile), flags, byte(s.chains))
	for _, k := range s.keys() {
		b = append(b, k[:]...)
	}
	b = binary.BigEndian.AppendUint32(s.send.append(b), s.previous)
	for i := range s.receive[:s.chains] {
		r := &s.receive[i]
		b = r.chain.append(append(b, r.id[:]...))
	}
	switch s.profile {
	case SignalV4:
		b = (*chain)(&s.pq.receive).append((*chain)(&s.pq.send).append(b))
	case WaxwingHE:
		b = append(append(append(b, s.he.send[:]...), s.he.nextSend[:]...), s.he.nextReceive[:]...)
	}
	return b
}

func (c *chain) append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, c.key[:]...), c.n)
}

// DecodeSession reads what Encode wrote.
func DecodeSession(b []byte) (*Session, error) {
	if len(b) < rowHead || b[0] != rowFormat {
		return nil, ErrMalformed
	}
	s := &Session{profile: Profile(b[1]), initiator: b[2]&flagInitiator != 0, sending: b[2]&flagSending != 0, chains: int(b[3])}
	if s.profile.version() == 0 || b[2]&^(flagInitiator|flagSending) != 0 || s.chains > MaxChains || len(b) != rowSize(s.profile, s.chains) {
		return nil, ErrMalformed
	}
	r := row(b[4:])
	for _, k := range s.keys() {
		r.key(k)
	}
	r.chain(&s.send)
	s.previous = r.uint32()
	for i := range s.receive[:s.chains] {
		r.key(&s.receive[i].id)
		r.chain(&s.receive[i].chain)
	}
	switch s.profile {
	case SignalV4:
		r.chain((*chain)(&s.pq.send))
		r.chain((*chain)(&s.pq.receive))
	case WaxwingHE:
		r.key(&s.he.send)
		r.key(&s.he.nextSend)
		r.key(&s.he.nextReceive)
	}
	return s, nil
}

// A row is the rest of an encoded session, of which the length was checked.
type row []byte

func (r *row) key(k *[32]byte) { *r = (*r)[copy(k[:], *r):] }

func (r *row) uint32() uint32 {
	v := binary.BigEndian.Uint32(*r)
	*r = (*r)[4:]
	return v
}

func (r *row) chain(c *chain) {
	r.key(&c.key)
	c.n = r.uint32()
}
