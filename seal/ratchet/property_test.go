package ratchet

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// A side is a party, the model beside it, and what was sent to it.
type side struct {
	*party
	model  *model
	inbox  [][]byte // every message that was ever sent to it, as it was sealed: without the handshake
	texts  []string
	opened map[int]bool
}

// modelled makes two sides that share everything with their models: keys and
// randomness.
func modelled(t rapid.TB, p Profile, seed uint64) (a, b *side) {
	stream := func(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n, byte(seed), byte(seed >> 8)}) }
	setup := stream(0)
	a = &side{party: &party{name: "alice", profile: p, self: must(GenerateKey(setup)), skipped: map[KeyID][32]byte{}, rand: stream(1)}, opened: map[int]bool{}}
	b = &side{party: &party{name: "bob", profile: p, self: must(GenerateKey(setup)), skipped: map[KeyID][32]byte{}, rand: setup}, opened: map[int]bool{}}

	bundle := b.bundle(t, seed%2 == 0)
	b.rand = stream(2)
	s, h, err := Initiate(a.rand, p, a.self, 5, bundle)
	if err != nil {
		t.Fatal(err)
	}
	a.row = s.Encode()
	if s, err = Accept(b.self, b.keys, *h); err != nil {
		t.Fatal(err)
	}
	b.row = s.Encode()

	again := stream(1)
	base := must(GenerateKey(again))
	secrets, used := modelSecrets(p, a.self, b.self, base, b.keys, h), map[string]bool{}
	a.model = newModel(p, true, again, a.self, b.self, b.keys.Signed, secrets, used)
	b.model = newModel(p, false, stream(2), b.self, a.self, b.keys.Signed, secrets, used)
	return a, b
}

// TestModel compares sessions with the model: the same bytes are sealed, the
// same messages open, with loss, repetition, any order, broken messages and
// stored rows. The model sees to it that no message key is used twice.
func TestModel(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		rapid.Check(t, func(t *rapid.T) {
			a, b := modelled(t, p, rapid.Uint64Max(1000).Draw(t, "seed"))
			send := func(t *rapid.T, from, to *side) {
				if from.session(t).sending {
					sealBoth(t, from, to)
				}
			}
			t.Repeat(map[string]func(*rapid.T){
				"alice sends": func(t *rapid.T) { send(t, a, b) },
				"bob sends":   func(t *rapid.T) { send(t, b, a) },
				"alice opens": func(t *rapid.T) { openBoth(t, a) },
				"bob opens":   func(t *rapid.T) { openBoth(t, b) },
				"":            func(t *rapid.T) { roundTrip(t, a, b) },
			})
			forwardSecrecy(t, a)
			forwardSecrecy(t, b)
		})
	})
}

// sealBoth seals a message with the session and the model.
func sealBoth(t rapid.TB, from, to *side) {
	text := fmt.Sprint(from.name, len(to.inbox))
	m := from.seal(t, text)
	if by := from.model.seal(from.ad(), []byte(text)); !bytes.Equal(m, by) {
		t.Fatalf("sealed %x, the model %x", m, by)
	}
	to.inbox, to.texts = append(to.inbox, m), append(to.texts, text)
}

// openBoth opens some message that was ever sent, once broken and once whole.
func openBoth(t *rapid.T, s *side) {
	if len(s.inbox) == 0 {
		return
	}
	i := len(s.inbox) - 1 - rapid.IntRange(0, min(len(s.inbox)-1, 12)).Draw(t, "back")
	broken := bytes.Clone(s.inbox[i])
	broken[rapid.IntRange(0, len(broken)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	if o, err := s.try(broken); err == nil {
		t.Fatalf("%s opened a broken message: %q", s.name, o.Plaintext)
	}
	text, err := s.open(s.inbox[i])
	modelText, modelErr := s.model.open(s.ad(), s.inbox[i])
	switch {
	case err == nil && modelErr == nil:
		if text != string(modelText) || text != s.texts[i] || s.opened[i] {
			t.Fatalf("%s opened message %d: %q, the model %q; opened before: %v", s.name, i, text, modelText, s.opened[i])
		}
		s.opened[i] = true
	case errors.Is(err, ErrDuplicate) && modelErr == errModelDuplicate, errors.Is(err, ErrMAC) && modelErr == errModelMAC:
	default:
		t.Fatalf("%s, message %d: %v, the model: %v", s.name, i, err, modelErr)
	}
}

// roundTrip: a row is one session, and a session one row.
func roundTrip(t *rapid.T, sides ...*side) {
	for _, s := range sides {
		if again := s.session(t).Encode(); !bytes.Equal(again, s.row) {
			t.Fatalf("%s: %x was decoded and encoded to %x", s.name, s.row, again)
		}
		if len(s.row) >= 1000 {
			t.Fatalf("%s: a row of %d bytes", s.name, len(s.row))
		}
	}
}

// forwardSecrecy: what the database holds now opens nothing that was opened,
// neither by Open nor with any key that can be derived from it.
func forwardSecrecy(t *rapid.T, s *side) {
	now := s.session(t)
	var seeds, pqKeys [][32]byte
	for id, k := range s.skipped {
		if id.PQ {
			pqKeys = append(pqKeys, k)
		} else {
			seeds = append(seeds, k)
		}
	}
	const ahead = 8
	for _, r := range now.receive[:now.chains] {
		for range ahead {
			seeds = append(seeds, r.chain.step())
		}
	}
	for range ahead {
		pqKeys = append(pqKeys, now.pq.receive.step())
	}
	if s.profile != SignalV4 {
		pqKeys = pqKeys[:1]
	}
	for i, m := range s.inbox {
		if !s.opened[i] {
			continue
		}
		if o, err := s.try(m); err == nil {
			t.Fatalf("%s opened %q twice", s.name, o.Plaintext)
		}
		for _, seed := range seeds {
			for _, pq := range pqKeys {
				if opensWith(now, seed, pq, s.ad(), m) {
					t.Fatalf("%s still has the key of message %d", s.name, i)
				}
			}
		}
	}
}

// opensWith says whether a message opens with a key of each chain.
func opensWith(s *Session, seed, pq [32]byte, ad, message []byte) bool {
	if s.profile == WaxwingHE {
		aead, nonce := newGCM(&seed, message[1:heHead], labelHEMessage)
		_, err := aead.Open(nil, nonce[:], message[heBody:], heAD(&s.peer, &s.self, message[:heBody], ad))
		return err == nil
	}
	m, err := parseSignal(message)
	if err != nil {
		panic(err)
	}
	var pqKey []byte
	if s.profile == SignalV4 {
		pqKey = pq[:]
	}
	var k messageKeys
	k.derive(&seed, pqKey)
	return m.authentic(k.mac(), &s.peer, &s.self)
}

// TestHeals: whoever steals a session follows it in both directions, until the
// victim's next ratchet key has come back.
func TestHeals(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		for range 3 {
			want(t, b, a.seal(t, "to bob"), "to bob")
			want(t, a, b.seal(t, "to alice"), "to alice")
		}
		thief, mirror := *a, *a
		thief.skipped = map[KeyID][32]byte{}
		mirror.row, mirror.skipped = mirrored(a.session(t)).Encode(), map[KeyID][32]byte{}
		steal := func(m []byte, from *party) bool {
			of := &thief
			if from == a {
				of = &mirror
			}
			_, err := of.open(m)
			return err == nil
		}

		m := a.seal(t, "one")
		if !steal(m, a) {
			t.Error("the thief of a sending chain does not read what is sent: the test shows nothing")
		}
		want(t, b, m, "one")
		m = b.seal(t, "two") // for the ratchet key that was stolen
		if !steal(m, b) {
			t.Error("the thief of a ratchet key does not read the answer: the test shows nothing")
		}
		want(t, a, m, "two")
		for range 4 {
			m = a.seal(t, "three")
			if steal(m, a) {
				t.Error("the thief reads what the victim sends under a new ratchet key")
			}
			want(t, b, m, "three")
			m = b.seal(t, "four")
			if steal(m, b) {
				t.Error("the thief reads what is sent to the new ratchet key")
			}
			want(t, a, m, "four")
		}
	})
}

// mirrored is what a thief of s can make of it to read what s sends: the other
// end's receiving chain.
func mirrored(s *Session) *Session {
	m := &Session{profile: s.profile, self: s.peer, peer: s.self, chains: 1, ratchet: s.ratchet, root: s.root}
	m.receive[0] = receiving{id: s.public, chain: s.send}
	m.pq.receive = s.pq.send
	if s.profile == WaxwingHE {
		m.receive[0].id, m.he.nextReceive = s.he.send, s.he.nextSend
	}
	return m
}
