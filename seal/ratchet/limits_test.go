package ratchet

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// burnt moves the sending chain of a on.
func burnt(t *testing.T, a *party, n uint32) {
	t.Helper()
	s, err := a.session(t).Burn(n)
	if err != nil {
		t.Fatal(err)
	}
	a.row = s.Encode()
}

func TestJump(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		want(t, b, a.seal(t, "0"), "0")
		early := a.seal(t, "1")
		burnt(t, a, MaxJump+1)
		if _, n := a.session(t).SendIndex(); n != MaxJump+1 {
			t.Fatalf("the next number is %d", n)
		}
		far := a.seal(t, "far")
		want(t, b, far, "far")
		count := map[bool]int{}
		for id := range b.skipped {
			count[id.PQ]++
		}
		if count[false] != MaxSkipped || p == SignalV4 && count[true] != MaxSkipped {
			t.Errorf("%v keys are kept", count)
		}
		if _, err := b.open(early); !errors.Is(err, ErrDuplicate) {
			t.Errorf("a message whose key was given up: %v", err)
		}

		burnt(t, a, MaxJump+2+MaxJump)
		burnt(t, a, MaxJump+2+MaxJump+1)
		before := bytes.Clone(b.row)
		if _, err := b.open(a.seal(t, "too far")); err != ErrTooFar {
			t.Errorf("one further than allowed: %v", err)
		}
		if !bytes.Equal(before, b.row) {
			t.Error("the session changed")
		}
	})
}

// TestChains: the sixth chain back is gone, the fifth is not. Messages of a chain that is
// gone open by their keys, which were skipped, and once; WaxwingHE keeps none.
func TestChains(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		var late, behind [][]byte
		for i := range MaxChains + 1 {
			late = append(late, a.seal(t, fmt.Sprint("late ", i)))
			want(t, b, a.seal(t, "in time"), "in time")
			behind = append(behind, a.seal(t, fmt.Sprint("behind ", i)))
			want(t, a, b.seal(t, "answer"), "answer")
		}
		want(t, b, a.seal(t, "last"), "last")
		for i, m := range slices.Concat(late, behind) {
			text, err := b.open(m)
			if i %= MaxChains + 1; i < 2 && err != ErrMAC {
				t.Errorf("a message of a chain that is gone: %q, %v", text, err)
			}
			if i >= 2 && err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		if p == WaxwingHE {
			if len(b.skipped) != 0 {
				t.Errorf("%d keys of chains that are gone are still stored", len(b.skipped))
			}
			return
		}
		for _, m := range [][]byte{behind[1], late[0], behind[0], late[1]} {
			b.lateToo = true
			if _, err := b.open(m); err != nil {
				t.Error("with its key: ", err)
			}
			if _, err := b.open(m); err == nil {
				t.Error("it opens again")
			}
		}
		if len(b.skipped) != 0 {
			t.Errorf("%d keys are left", len(b.skipped))
		}
	})
}

// TestWork: a hostile message costs no more than is promised, in steps and in
// memory, and changes nothing.
func TestWork(t *testing.T) {
	for _, p := range []Profile{X3DH, PQXDH, SignalV4} {
		t.Run(p.String(), func(t *testing.T) {
			a, b := pair(t, p)
			want(t, b, a.seal(t, "first"), "first")
			s, stranger := b.session(t), newKey(t).Public()
			row := s.Encode()
			for name, m := range map[string][]byte{
				"known chain": forge(a.session(t), MaxJump),
				"new chain":   forge(&Session{profile: p, public: stranger}, MaxJump),
			} {
				o, err := s.open(rand.Reader, nil, m, nil)
				if err != ErrMAC || o.work > 2*(MaxJump+1)+1 || len(o.Skipped) > 2*MaxSkipped {
					t.Errorf("%s: %v after %d steps with %d keys", name, err, o.work, len(o.Skipped))
				}
			}
			for name, m := range map[string][]byte{
				"known chain": forge(a.session(t), MaxJump+1),
				"new chain":   forge(&Session{profile: p, public: stranger}, MaxJump+1),
				"last number": forge(&Session{profile: p, public: stranger}, math.MaxUint32),
				"used number": forge(&Session{profile: p, public: a.session(t).public}, 0),
			} {
				if o, err := s.open(rand.Reader, nil, m, nil); err == nil || o.work != 0 {
					t.Errorf("%s: %v after %d steps", name, err, o.work)
				}
			}
			if !bytes.Equal(row, s.Encode()) {
				t.Error("the session changed")
			}
		})
	}
}

// TestWorkHE: who does not know the header keys costs no step of any chain.
func TestWorkHE(t *testing.T) {
	a, b := pair(t, WaxwingHE)
	want(t, b, a.seal(t, "first"), "first")
	m := a.seal(t, "second")
	m[heHead] ^= 1
	if o, err := b.session(t).open(rand.Reader, b.ad(), m, nil); err != ErrMAC || o.work != 0 {
		t.Errorf("%v after %d steps", err, o.work)
	}
	m[heHead] ^= 1
	if _, err := b.session(t).Open(rand.Reader, []byte("other"), m, nil); err != ErrMAC {
		t.Errorf("with other associated data: %v", err)
	}
	want(t, b, m, "second")
}

func TestExhausted(t *testing.T) {
	a, _ := pair(t, SignalV4)
	s := a.session(t)
	s.send.n = math.MaxUint32
	if _, _, err := s.Seal(rand.Reader, nil, nil); err != ErrExhausted {
		t.Error(err)
	}
	s.send.n, s.pq.send.n = 0, math.MaxUint32
	if _, _, err := s.Seal(rand.Reader, nil, nil); err != ErrExhausted {
		t.Error(err)
	}
	if _, err := s.Burn(1); err != ErrExhausted {
		t.Error(err)
	}
	if _, err := s.Burn(MaxJump + 1); err != ErrTooFar {
		t.Error(err)
	}
}

func TestNotYet(t *testing.T) {
	_, b := pair(t, PQXDH)
	s := &Session{profile: PQXDH, ratchet: b.self}
	if _, _, err := s.Seal(rand.Reader, nil, nil); err != ErrNotYet {
		t.Error(err)
	}
	if _, err := s.Burn(1); err != ErrNotYet {
		t.Error(err)
	}
	if chain, n := s.SendIndex(); chain != [32]byte{} || n != 0 {
		t.Error("there is something to send under")
	}
}

// TestBurn: burning is as if the messages had been sealed, and the peer opens
// what follows.
func TestBurn(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		a.rand = zeros{}
		want(t, b, a.seal(t, "first"), "first")
		want(t, a, b.seal(t, "answer"), "answer")
		before := a.row
		a.seal(t, "rolled back")
		a.seal(t, "rolled back")
		sealed := a.row
		a.row = before
		burnt(t, a, 2)
		if !bytes.Equal(a.row, sealed) {
			t.Error("burning differs from sealing")
		}
		burnt(t, a, 1)
		if !bytes.Equal(a.row, sealed) {
			t.Error("burning went back")
		}
		want(t, b, a.seal(t, "after"), "after")
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestNoRandomness: where there is none, there is an error and nothing changes.
func TestNoRandomness(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		dry := iotest.ErrReader(io.ErrUnexpectedEOF)
		a, b := pair(t, p)
		if _, _, err := Initiate(dry, p, a.self, 1, b.bundle(t, true)); err == nil {
			t.Error("a session was begun")
		}
		if _, err := Sign(dry, a.self, nil); err == nil {
			t.Error("a signature was made")
		}
		a, b = pair(t, p)
		m := a.seal(t, "first")
		b.rand = dry
		if _, err := b.open(m); !errors.Is(err, io.ErrUnexpectedEOF) || b.row != nil {
			t.Errorf("opened: %v", err)
		}
		b.rand = rand.Reader
		want(t, b, m, "first")
	})
}

func TestBundleSignatures(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := newParty(t, "alice", p), newParty(t, "bob", p)
		good := b.bundle(t, true)
		bad := good
		bad.Signed = newKey(t).Public()
		if _, _, err := Initiate(rand.Reader, p, a.self, 1, bad); err != ErrSignature {
			t.Errorf("another signed prekey: %v", err)
		}
		bad = good
		bad.Identity = newKey(t).Public()
		if _, _, err := Initiate(rand.Reader, p, a.self, 1, bad); err != ErrSignature {
			t.Errorf("another identity: %v", err)
		}
		if p.kem() == 0 {
			return
		}
		bad = good
		bad.KEMKey = bytes.Clone(good.KEMKey)
		bad.KEMKey[100] ^= 1
		if _, _, err := Initiate(rand.Reader, p, a.self, 1, bad); err != ErrSignature {
			t.Errorf("another KEM key: %v", err)
		}
		bad = good
		bad.KEMKey, bad.KEMSig = nil, nil
		if _, _, err := Initiate(rand.Reader, p, a.self, 1, bad); err != ErrSignature {
			t.Errorf("no KEM key: %v", err)
		}
	})
}

// TestHandshakeMismatch: a handshake that names other keys than there are, or
// was meddled with, gives no session that opens anything.
func TestHandshakeMismatch(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		h := *a.pending
		_, message, err := a.session(t).Seal(a.rand, a.ad(), []byte("first"))
		if err != nil {
			t.Fatal(err)
		}
		accept := func(k Prekeys, h Handshake) error {
			s, err := Accept(b.self, k, h)
			if err != nil {
				return err
			}
			_, err = s.Open(rand.Reader, b.ad(), message, nil)
			return err
		}
		without := b.keys
		without.OneTime = nil
		if err := accept(without, h); err != ErrMalformed {
			t.Errorf("without the one-time key: %v", err)
		}
		noID := h
		noID.OneTimeID = 0
		if err := accept(without, noID); err != ErrMAC {
			t.Errorf("the one-time key was dropped: %v", err)
		}
		other := h
		other.Base = newKey(t).Public()
		if err := accept(b.keys, other); err != ErrMAC {
			t.Errorf("another base key: %v", err)
		}
		other = h
		other.Identity = newKey(t).Public()
		if err := accept(b.keys, other); err != ErrMAC {
			t.Errorf("another identity: %v", err)
		}
		if p.kem() != 0 {
			other = h
			other.KEMCiphertext = bytes.Clone(h.KEMCiphertext)
			other.KEMCiphertext[9] ^= 1
			if err := accept(b.keys, other); err != ErrMAC {
				t.Errorf("another ciphertext: %v", err)
			}
			other.KEMCiphertext[0] ^= 2 // Kyber to ML-KEM or back
			if err := accept(b.keys, other); err != ErrMalformed {
				t.Errorf("another mechanism: %v", err)
			}
		}
		if err := accept(b.keys, h); err != nil {
			t.Errorf("as it was: %v", err)
		}
	})
}

// TestStrictPQ: a field that has no key of epoch 0 opens nothing, whatever
// libsignal thinks of it.
func TestStrictPQ(t *testing.T) {
	a, b := pair(t, SignalV4)
	want(t, b, a.seal(t, "first"), "first")
	for name, field := range map[string][]byte{
		"none":             nil,
		"empty":            {},
		"no version":       {0},
		"index 0":          {1, 1, 0, 0},
		"version 2":        {2, 1, 1, 0},
		"epoch 2":          {1, 2, 1, 0},
		"no type":          {1, 1, 1},
		"type 7":           {1, 1, 1, 7},
		"index of 64 bits": {1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
	} {
		m := []byte{0x44}
		m = appendKey(m, fieldRatchet, &b.session(t).public)
		m = appendBytes(appendUint(m, fieldCounter, 1), fieldBody, make([]byte, 16))
		if field != nil {
			m = appendBytes(m, fieldPQRatchet, field)
		}
		if _, err := b.open(append(m, make([]byte, macSize)...)); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for version, speaks := range map[byte][]Profile{
		0x33: {X3DH}, 0x34: {X3DH}, 0x44: {PQXDH, SignalV4}, 0x45: {PQXDH, SignalV4}, 0x66: {WaxwingHE},
		0x22: nil, 0x32: nil, 0x43: nil, 0x55: nil, 0x67: nil, 0: nil,
	} {
		for _, p := range profiles {
			want := strings.Contains(fmt.Sprint(speaks), p.String())
			if p == PQXDH { // "x3dh" is no part of it
				want = len(speaks) == 2
			}
			if got := p.speaks(version); got != want {
				t.Errorf("%v speaks %#x: %v", p, version, got)
			}
		}
	}
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		want(t, b, a.seal(t, "first"), "first")
		for _, m := range [][]byte{nil, {0}, {0x22, 1, 2}, {p.version()}} {
			if _, err := b.session(t).Open(rand.Reader, b.ad(), m, nil); err != ErrMalformed && err != ErrVersion {
				t.Errorf("%x: %v", m, err)
			}
		}
	})
}

// TestAD: what cannot be authenticated is refused.
func TestAD(t *testing.T) {
	for _, p := range []Profile{X3DH, PQXDH, SignalV4} {
		a, _ := pair(t, p)
		if _, _, err := a.session(t).Seal(rand.Reader, []byte("ad"), nil); err != ErrAssociatedData {
			t.Errorf("%v: sealing: %v", p, err)
		}
		_, m, err := a.session(t).Seal(rand.Reader, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.session(t).Open(rand.Reader, []byte("ad"), m, nil); err != ErrAssociatedData {
			t.Errorf("%v: opening: %v", p, err)
		}
	}
}

// TestSecretsDoNotPrint: nothing secret appears, however it is printed.
func TestSecretsDoNotPrint(t *testing.T) {
	a, b := pair(t, SignalV4)
	m := a.seal(t, "x")
	late := a.seal(t, "y")
	want(t, b, late, "y")
	_ = m
	s := b.session(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		for _, v := range []any{a.self, &a.self, *s, s, *b.keys.KEM, b.keys.KEM, SkippedKey{Key: s.root}} {
			out := fmt.Sprintf(verb, v)
			if len(out) > 80 || !strings.Contains(out, "ratchet.") {
				t.Errorf("%s of %T prints %q", verb, v, out)
			}
		}
	}
}

func TestInspect(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, b := pair(t, p)
		want(t, b, a.seal(t, "first"), "first")
		s := a.session(t)
		m := a.seal(t, "second")
		_, inner, err := ParsePreKeyMessage(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Inspect(inner)
		if err != nil {
			t.Fatal(err)
		}
		wanted := Public{Version: p.version(), Ratchet: s.public, Counter: 1, Size: 16}
		switch p {
		case SignalV4:
			wanted.PQIndex = 2
		case WaxwingHE:
			wanted = Public{Version: 0x66, Size: len("second") + heTagSize}
		}
		if got != wanted {
			t.Errorf("got %+v, want %+v", got, wanted)
		}
	})
}

// TestHandshakeEncoding: a handshake comes back as it was, over the wire and
// from a row.
func TestHandshakeEncoding(t *testing.T) {
	forEachProfile(t, func(t *testing.T, p Profile) {
		a, _ := pair(t, p)
		row, err := DecodeHandshake(a.pending.Encode())
		if err != nil {
			t.Fatal(err)
		}
		wire, _, err := ParsePreKeyMessage(a.seal(t, "first"))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []*Handshake{row, wire} {
			if fmt.Sprintf("%+v", h) != fmt.Sprintf("%+v", a.pending) {
				t.Errorf("got %+v, want %+v", h, a.pending)
			}
		}
	})
}
