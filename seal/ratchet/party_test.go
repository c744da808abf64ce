package ratchet

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"

	"pgregory.net/rapid"
)

var profiles = []Profile{X3DH, PQXDH, SignalV4, WaxwingHE}

// forEachProfile runs f as a subtest of each profile.
func forEachProfile(t *testing.T, f func(t *testing.T, p Profile)) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// A party is one end, with what its database would hold: it encodes and decodes
// its session for every message.
type party struct {
	name     string
	self     PrivateKey
	keys     Prekeys
	row      []byte // nil without a session
	pending  *Handshake
	accepted PublicKey // the base key of the handshake that it accepted
	skipped  map[KeyID][32]byte
	profile  Profile
	rand     io.Reader
	lateToo  bool // it looks for keys of chains that are gone
}

func newParty(t rapid.TB, name string, p Profile) *party {
	t.Helper()
	return &party{name: name, self: newKey(t), profile: p, skipped: map[KeyID][32]byte{}, rand: rand.Reader}
}

func newKey(t rapid.TB) PrivateKey {
	t.Helper()
	k, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// bundle makes prekeys and returns their public halves.
func (a *party) bundle(t rapid.TB, oneTime bool) Bundle {
	t.Helper()
	sign := func(b []byte) []byte {
		sig, err := Sign(a.rand, a.self, b)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	a.keys = Prekeys{Signed: must(GenerateKey(a.rand))}
	b := Bundle{RegistrationID: 7, Identity: a.self.Public(), SignedID: 1, Signed: a.keys.Signed.Public()}
	b.SignedSig = sign(b.Signed.Encode())
	if oneTime {
		k := must(GenerateKey(a.rand))
		pub := k.Public()
		a.keys.OneTime, b.OneTime, b.OneTimeID = &k, &pub, 2
	}
	if kem := a.profile.kem(); kem != 0 {
		k := must(GenerateKEM(a.rand, kem))
		a.keys.KEM, b.KEMID, b.KEMKey = &k, 3, k.Public()
		b.KEMSig = sign(b.KEMKey)
	}
	return b
}

// initiate begins a session.
func (a *party) initiate(t rapid.TB, b Bundle) {
	t.Helper()
	s, h, err := Initiate(a.rand, a.profile, a.self, 5, b)
	if err != nil {
		t.Fatal(err)
	}
	a.row, a.pending = s.Encode(), h
}

func (a *party) session(t rapid.TB) *Session {
	t.Helper()
	s, err := DecodeSession(a.row)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (a *party) ad() []byte {
	if a.profile == WaxwingHE {
		return []byte("associated")
	}
	return nil
}

// seal seals text, with the handshake as long as nothing was opened.
func (a *party) seal(t rapid.TB, text string) []byte {
	t.Helper()
	next, m, err := a.session(t).Seal(a.rand, a.ad(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a.row = next.Encode()
	if a.pending != nil {
		return EncodePreKeyMessage(a.pending, m)
	}
	return m
}

// open opens what the other sealed, and keeps what Open says.
func (a *party) open(message []byte) (string, error) {
	o, err := a.try(message)
	if err != nil {
		return "", err
	}
	a.keep(o)
	return string(o.Plaintext), nil
}

// try opens a message and keeps nothing.
func (a *party) try(message []byte) (*Opened, error) {
	var s *Session
	if h, m, err := ParsePreKeyMessage(message); err == nil {
		message = m
		if a.row == nil {
			if s, err = Accept(a.self, a.keys, *h); err != nil {
				return nil, err
			}
			a.accepted = h.Base
		}
	}
	if s == nil {
		var err error
		if s, err = DecodeSession(a.row); err != nil {
			return nil, err
		}
	}
	var keys []SkippedKey
	if p, err := Inspect(message); err == nil && a.lateToo {
		if k, ok := a.skipped[p.LateKey()]; ok {
			keys = append(keys, SkippedKey{ID: p.LateKey(), Key: k})
		}
	}
	o, err := s.Open(a.rand, a.ad(), message, keys)
	if need := (*NeedKeys)(nil); errors.As(err, &need) {
		for _, id := range need.IDs {
			if k, ok := a.skipped[id]; ok {
				keys = append(keys, SkippedKey{ID: id, Key: k})
			}
		}
		o, err = s.Open(a.rand, a.ad(), message, keys)
	}
	return o, err
}

func (a *party) keep(o *Opened) {
	a.row, a.pending = o.Next.Encode(), nil
	for _, k := range o.Skipped {
		a.skipped[k.ID] = k.Key
	}
	for _, id := range o.Used {
		delete(a.skipped, id)
	}
	for _, c := range o.Gone {
		for id := range a.skipped {
			if id.Chain == c && !id.PQ {
				delete(a.skipped, id)
			}
		}
	}
}

// pair returns two parties with a session, of which the initiator has sent
// nothing yet.
func pair(t rapid.TB, p Profile) (a, b *party) {
	t.Helper()
	a, b = newParty(t, "alice", p), newParty(t, "bob", p)
	a.initiate(t, b.bundle(t, true))
	return a, b
}

// want opens a message that has to be text.
func want(t rapid.TB, to *party, message []byte, text string) {
	t.Helper()
	if got, err := to.open(message); err != nil || got != text {
		t.Fatalf("%s opened %q, %v; want %q", to.name, got, err, text)
	}
}

func TestConversation(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		for i := range 20 {
			from, to := a, b
			if i%2 == 1 {
				from, to = b, a
			}
			for j := range 1 + i%3 {
				text := fmt.Sprint(i, j)
				want(t, to, from.seal(t, text), text)
			}
		}
		if len(a.row) > 1000 || len(b.row) > 1000 {
			t.Errorf("rows of %d and %d bytes", len(a.row), len(b.row))
		}
		if len(a.skipped)+len(b.skipped) != 0 {
			t.Errorf("%d and %d keys were kept of what came in order", len(a.skipped), len(b.skipped))
		}
	})
}

func TestOutOfOrder(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		want(t, b, a.seal(t, "first"), "first")
		want(t, a, b.seal(t, "answer"), "answer")
		var old [][]byte
		for i := range 5 {
			old = append(old, a.seal(t, fmt.Sprint(i)))
		}
		want(t, b, old[3], "3")
		want(t, b, old[1], "1")
		want(t, a, b.seal(t, "turn"), "turn")
		want(t, b, a.seal(t, "new turn"), "new turn")
		want(t, b, old[4], "4")
		want(t, b, old[0], "0")
		want(t, b, old[2], "2")
		for i, m := range old {
			if _, err := b.open(m); !errors.Is(err, ErrDuplicate) {
				t.Errorf("message %d again: %v", i, err)
			}
		}
		if len(b.skipped) != 0 {
			t.Errorf("%d keys left", len(b.skipped))
		}
	})
}
