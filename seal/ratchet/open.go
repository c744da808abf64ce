package ratchet

import (
	"io"
	"math"
)

// Opened is what Open found. Whoever keeps it stores Next and Skipped and
// deletes Used and the keys of the chains in Gone, in one transaction.
type Opened struct {
	Next      *Session
	Plaintext []byte
	ID        KeyID        // whose key it was: no two messages of a session have the same
	Skipped   []SkippedKey // to be kept, for messages that have not arrived
	Used      []KeyID      // to be deleted
	Gone      [][32]byte   // WaxwingHE: chains, all of whose keys are to be deleted
}

// Open decrypts message. Where the message is behind its chain, the error is a
// *NeedKeys, which tells the keys that Open wants to be given. Keys that are
// not needed do no harm. Of a chain that the session does not remember any more
// it cannot tell: there the error is ErrMAC, and Inspect and LateKey say which
// key would open the message. After an error nothing has changed. ad is what Seal
// was given; rand is read when the peer's turn begins, for the next ratchet
// key.
func (s *Session) Open(rand io.Reader, ad, message []byte, keys []SkippedKey) (*Opened, error) {
	o, err := s.open(rand, ad, message, keys)
	if err != nil {
		return nil, err
	}
	o.Next, o.keys = &o.next, nil
	return &o.Opened, nil
}

// open is Open, which a test can ask for the work that was done.
func (s *Session) open(rand io.Reader, ad, message []byte, keys []SkippedKey) (*opening, error) {
	if len(message) == 0 {
		return &opening{}, ErrMalformed
	}
	if !s.profile.speaks(message[0]) {
		return &opening{}, ErrVersion
	}
	o := &opening{next: *s, keys: keys}
	if s.profile == WaxwingHE {
		return o, o.openHE(rand, ad, message)
	}
	if len(ad) > 0 {
		return o, ErrAssociatedData
	}
	return o, o.openSignal(rand, message)
}

// An opening is a message that is being opened.
type opening struct {
	Opened
	next Session
	keys []SkippedKey // given by the caller
	need []KeyID      // and which of those are not among them
	work int          // steps of chains and key agreements
}

// openSignal decrypts a message of libsignal's profiles (Double Ratchet,
// section 3.5, except that a chain is not closed by the previous counter, up to
// which its keys are skipped: libsignal keeps it open until MaxChains later ones
// have come).
func (o *opening) openSignal(rand io.Reader, message []byte) error {
	s := &o.next
	m, err := parseSignal(message)
	if err != nil {
		return err
	}
	var index uint32
	if s.profile == SignalV4 {
		if index, err = parsePQ(m.pq); err != nil {
			return err
		}
	}
	o.ID = KeyID{Chain: m.ratchet, N: m.counter}
	at := s.find(&m.ratchet)
	late := at < 0 && o.has(o.ID)
	if err := o.check(at, late, m.counter, index); err != nil {
		return err
	}
	if at < 0 && !late {
		if err := o.step(&m.ratchet); err != nil {
			return err
		}
	}
	var seed [32]byte
	if late {
		seed = o.given(o.ID)
	} else {
		seed = o.seed(&s.receive[max(at, 0)], m.counter)
	}
	var pqKey []byte
	if s.profile == SignalV4 {
		k := o.pqKey(index)
		pqKey = k[:]
	}
	if err := o.decrypt(&m, &seed, pqKey); err != nil {
		return err
	}
	if at < 0 && !late {
		o.close(m.previous)
		o.work++
		return s.turn(rand, &m.ratchet)
	}
	return nil
}

// close skips what has not come of the chain that was the current one before the
// step, which has so many messages by the peer's word: their keys outlast it.
func (o *opening) close(previous uint32) {
	if s := &o.next; s.chains > 1 {
		r := &s.receive[1]
		if previous > r.chain.n && !tooFar(r.chain.n, previous) {
			o.work += int(previous - r.chain.n)
			o.Skipped = r.chain.skip(previous, r.id, o.Skipped)
		}
	}
}

// LateKey names the key of a message, as Inspect reads it, whose chain a session may
// have forgotten. It is zero under WaxwingHE, which tells nothing.
func (p *Public) LateKey() KeyID { return KeyID{Chain: p.Ratchet, N: p.Counter} }

// find returns the receiving chain with that id, -1 if there is none.
func (s *Session) find(id *PublicKey) int {
	for i := range s.receive[:s.chains] {
		if s.receive[i].id == *id {
			return i
		}
	}
	return -1
}

// check says, before there is any work, whether the keys of a message can be
// had: its chain is at, or a new one, or late: gone but for the key that was given;
// its number there n, and in the post-quantum chain index, of which 0 says that it
// does not matter.
func (o *opening) check(at int, late bool, n, index uint32) error {
	from := uint32(0)
	if at >= 0 {
		from = o.next.receive[at].chain.n
	}
	last := o.next.pq.receive.n
	if tooFar(from, n) && !late || index > 0 && tooFar(last+1, index) {
		return ErrTooFar
	}
	if n < from || late {
		o.wants(KeyID{Chain: o.ID.Chain, N: n})
	}
	if index > 0 && index <= last {
		o.wants(KeyID{N: index, PQ: true})
	}
	if o.need != nil {
		return &NeedKeys{IDs: o.need}
	}
	return nil
}

// tooFar says whether n is more than MaxJump ahead of from, or the last number,
// after which a chain could not go on.
func tooFar(from, n uint32) bool { return n > from && n-from > MaxJump || n == math.MaxUint32 }

// wants notes that a key from outside is needed. If one is missing, NeedKeys
// names them all.
func (o *opening) wants(id KeyID) {
	o.Used = append(o.Used, id)
	for _, u := range o.Used {
		if !o.has(u) {
			o.need = o.Used
		}
	}
}

func (o *opening) has(id KeyID) bool {
	for i := range o.keys {
		if o.keys[i].ID == id {
			return true
		}
	}
	return false
}

// given returns a key that check has found.
func (o *opening) given(id KeyID) [32]byte {
	for i := range o.keys {
		if o.keys[i].ID == id {
			return o.keys[i].Key
		}
	}
	panic("ratchet: a key that check did not ask for")
}

// step is the receiving half of a step of the Diffie-Hellman ratchet: it puts
// the chain of the peer's ratchet key in front.
func (o *opening) step(peer *PublicKey) error {
	s := &o.next
	o.work++
	secret, err := s.ratchet.agree(peer)
	if err != nil {
		return err
	}
	r := receiving{id: *peer}
	deriveRoot(&s.root, &secret, labelRoot, &r.chain.key)
	s.addChain(r)
	return nil
}

// seed returns the key with number n of chain r, which may be behind it.
func (o *opening) seed(r *receiving, n uint32) [32]byte {
	if n < r.chain.n {
		return o.given(o.ID)
	}
	o.work += int(n-r.chain.n) + 1
	o.Skipped = r.chain.skip(n, o.ID.Chain, o.Skipped)
	return r.chain.step()
}

// pqKey is seed of the post-quantum chain.
func (o *opening) pqKey(index uint32) [32]byte {
	c := &o.next.pq.receive
	if index <= c.n {
		return o.given(KeyID{N: index, PQ: true})
	}
	o.work += int(index - c.n)
	o.Skipped = c.skip(index, o.Skipped)
	return c.step()
}

// decrypt checks m and takes the plaintext out of it. It clears the keys.
func (o *opening) decrypt(m *signalMessage, seed *[32]byte, pqKey []byte) (err error) {
	var k messageKeys
	defer clear(k[:])
	k.derive(seed, pqKey)
	if !m.authentic(k.mac(), &o.next.peer, &o.next.self) {
		return ErrMAC
	}
	o.Plaintext, err = cbcOpen(k.cipher(), k.iv(), m.body)
	return err
}
