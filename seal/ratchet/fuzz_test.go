package ratchet

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// fixture is a conversation that is the same in every run, apart from the KEM's
// randomness, which it does without: what the fuzz targets begin with. It
// returns both ends and messages that Bob has not opened yet, one of a chain
// that he knows and one of a new one.
func fixture(t testing.TB, p Profile) (a, b *party, late, fresh []byte) {
	t.Helper()
	a = &party{name: "alice", profile: p, skipped: map[KeyID][32]byte{}, rand: rand.NewChaCha8([32]byte{1})}
	b = &party{name: "bob", profile: p, skipped: map[KeyID][32]byte{}, rand: rand.NewChaCha8([32]byte{2})}
	a.self, b.self = must(GenerateKey(a.rand)), must(GenerateKey(b.rand))
	spk := must(GenerateKey(b.rand))
	begin := func(of *party, peer *party, initiator bool) *Session {
		s := &Session{profile: p, initiator: initiator, self: of.self.Public(), peer: peer.self.Public(), ratchet: spk, public: spk.Public()}
		s.start(newAgreement(), [32]byte{})
		return s
	}
	s := begin(a, b, true)
	pub := spk.Public()
	if err := s.turn(a.rand, &pub); err != nil {
		t.Fatal(err)
	}
	a.row, b.row = s.Encode(), begin(b, a, false).Encode()
	for range 3 {
		want(t, b, a.seal(t, "to bob"), "to bob")
		want(t, a, b.seal(t, "to alice"), "to alice")
	}
	late = a.seal(t, "late")
	want(t, b, a.seal(t, "in time"), "in time")
	want(t, a, b.seal(t, "to alice"), "to alice")
	return a, b, late, a.seal(t, "fresh")
}

func FuzzDecodeSession(f *testing.F) {
	for _, p := range profiles {
		a, b, _, _ := fixture(f, p)
		f.Add(a.row)
		f.Add(b.row)
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		s, err := DecodeSession(row)
		if err != nil {
			return
		}
		if again := s.Encode(); !bytes.Equal(again, row) {
			t.Fatalf("%x came back as %x", row, again)
		}
		// Whatever it is, it seals and opens without a panic.
		s.SendIndex()
		if next, m, err := s.Seal(zeros{}, nil, []byte("x")); err == nil {
			if _, err := DecodeSession(next.Encode()); err != nil {
				t.Fatal(err)
			}
			_, _ = next.Open(zeros{}, nil, m, nil)
		}
		_, _ = s.Burn(s.send.n + 3)
	})
}

// FuzzOpen opens hostile bytes with a session of each profile: only what the
// peer sealed opens, and only once.
func FuzzOpen(f *testing.F) {
	sessions, good := map[Profile]*party{}, map[string]bool{}
	for _, p := range profiles {
		_, b, late, fresh := fixture(f, p)
		sessions[p] = b
		for _, m := range [][]byte{late, fresh, fresh[:len(fresh)-1], append(fresh[:len(fresh):len(fresh)], 0)} {
			f.Add(byte(p), m)
		}
		good[p.String()+string(late)], good[p.String()+string(fresh)] = true, true
	}
	f.Fuzz(func(t *testing.T, p byte, message []byte) {
		b := sessions[Profile(p)]
		if b == nil {
			return
		}
		before := bytes.Clone(b.row)
		o, err := b.try(message)
		if (err == nil) != good[Profile(p).String()+string(message)] {
			t.Fatalf("%v: opened %+v, %v", Profile(p), o, err)
		}
		if !bytes.Equal(before, b.row) {
			t.Fatal("the session changed")
		}
		if err == nil && (len(o.Skipped) > 2*MaxSkipped || len(o.Next.Encode()) > 1000) {
			t.Fatalf("%d keys, a row of %d bytes", len(o.Skipped), len(o.Next.Encode()))
		}
	})
}

// FuzzMessage parses messages as anybody can.
func FuzzMessage(f *testing.F) {
	for _, p := range profiles {
		_, _, late, fresh := fixture(f, p)
		f.Add(late)
		f.Add(fresh)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Inspect(b)
		if err == nil && p.Size > len(b) {
			t.Fatalf("%+v of %d bytes", p, len(b))
		}
		_, _ = parsePQ(b)
	})
}

// FuzzPreKeyMessage: what parses comes back the same after it was encoded.
func FuzzPreKeyMessage(f *testing.F) {
	for _, p := range profiles {
		a, _, _, fresh := fixture(f, p)
		h := &Handshake{Profile: p, RegistrationID: 1, OneTimeID: 2, SignedID: 3, Base: a.session(f).public, Identity: a.self.Public()}
		if kem := p.kem(); kem != 0 {
			h.KEMID, h.KEMCiphertext = 4, append([]byte{byte(kem)}, make([]byte, kemCiphertextSize-1)...)
		}
		f.Add(EncodePreKeyMessage(h, fresh))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, m, err := ParsePreKeyMessage(b)
		if err != nil {
			return
		}
		again, m2, err := ParsePreKeyMessage(EncodePreKeyMessage(h, m))
		if err != nil || !bytes.Equal(m, m2) || !bytes.Equal(h.Encode(), again.Encode()) {
			t.Fatalf("%x came back as %x, %v", h.Encode(), again.Encode(), err)
		}
		row, err := DecodeHandshake(h.Encode())
		if err != nil || !bytes.Equal(row.Encode(), h.Encode()) {
			t.Fatalf("a row came back as %+v, %v", row, err)
		}
	})
}

func FuzzDecodeHandshake(f *testing.F) {
	for _, p := range profiles {
		h := &Handshake{Profile: p, RegistrationID: 1, OneTimeID: 2, SignedID: 3, Base: PublicKey{9}, Identity: PublicKey{9}}
		if kem := p.kem(); kem != 0 {
			h.KEMCiphertext = append([]byte{byte(kem)}, make([]byte, kemCiphertextSize-1)...)
		}
		f.Add(h.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeHandshake(b)
		if err != nil {
			return
		}
		if again, err := DecodeHandshake(h.Encode()); err != nil || !bytes.Equal(again.Encode(), h.Encode()) {
			t.Fatalf("%x came back as %x, %v", h.Encode(), again.Encode(), err)
		}
	})
}

// FuzzKeys parses keys and signatures. Whoever parses agrees and verifies
// without a panic.
func FuzzKeys(f *testing.F) {
	k := must(GenerateKey(rand.NewChaCha8([32]byte{3})))
	f.Add(k.Public().Encode(), must(Sign(rand.NewChaCha8([32]byte{3}), k, []byte("m"))))
	f.Add(must(hex.DecodeString("05ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")), make([]byte, 64))
	f.Fuzz(func(t *testing.T, key, sig []byte) {
		p, err := ParsePublicKey(key)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), key) {
			t.Fatalf("%x came back as %x", key, p.Encode())
		}
		if _, err := k.agree(&p); err != nil {
			t.Fatalf("%x: %v", key, err)
		}
		Verify(p, []byte("m"), sig)
	})
}
