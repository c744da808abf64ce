package seal

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// bundleBy is what somebody publishes who has an identity of their own.
func bundleBy(t *testing.T, id *Identity) directory.Bundle {
	t.Helper()
	w := quick(t)
	w.ids[id.Name()] = id
	ep := w.with(w.db, id)
	w.must(ep.Publish(t.Context()))
	b, err := w.dir.Take(t.Context(), id.Name())
	w.must(err)
	return b
}

// TestALyingDirectoryIsDetected: whatever a directory swaps, no message is sealed to
// somebody else.
func TestALyingDirectoryIsDetected(t *testing.T) {
	w := quick(t)
	w.service("billing", OneTimeKeys(100))
	mallory := w.service("mallory") // has a certificate, of her own
	foreign, err := NewRoot()
	w.must(err)
	impostor, err := NewIdentity("billing")
	w.must(err)
	by := func(root *Root, name string, from, until time.Duration) *Identity {
		id := *impostor
		id.name = name
		c, err := root.Issue(Certificate{Name: name, Key: impostor.Key(), Lanes: 1, NotBefore: w.now().Add(from), NotAfter: w.now().Add(until)})
		w.must(err)
		out, err := id.WithCertificate(c)
		w.must(err)
		return out
	}
	self, err := impostor.SelfSigned(1, w.now().Add(time.Hour))
	w.must(err)
	evil, err := ratchet.GenerateKey(w.bare("x").core.rand)
	w.must(err)
	theirs := bundleBy(t, by(foreign, "billing", -time.Hour, time.Hour))
	hers, err := w.dir.Take(t.Context(), "mallory")
	w.must(err)
	for name, lie := range map[string]func(b *directory.Bundle){
		"all of mallory's":  func(b *directory.Bundle) { *b = hers },
		"a foreign root's":  func(b *directory.Bundle) { *b = theirs },
		"a self-signed one": func(b *directory.Bundle) { *b = theirs; b.Certificate = self.Certificate().Bytes() },
		"an expired certificate": func(b *directory.Bundle) {
			b.Certificate = by(w.root, "billing", -2*time.Hour, -time.Hour).Certificate().Bytes()
		},
		"one that is not valid yet": func(b *directory.Bundle) {
			b.Certificate = by(w.root, "billing", time.Hour, 2*time.Hour).Certificate().Bytes()
		},
		"another name": func(b *directory.Bundle) {
			b.Certificate = by(w.root, "billing2", -time.Hour, time.Hour).Certificate().Bytes()
		},
		"another key's certificate": func(b *directory.Bundle) {
			b.Certificate = by(w.root, "billing", -time.Hour, time.Hour).Certificate().Bytes()
		},
		"a signed prekey of its own":  func(b *directory.Bundle) { b.Signed = theirs.Signed },
		"a signed prekey, not signed": func(b *directory.Bundle) { b.Signed.Key = evil.Public().Encode() },
		"a KEM key of its own":        func(b *directory.Bundle) { b.KEM = theirs.KEM },
		"no KEM key":                  func(b *directory.Bundle) { b.KEM = nil },
		"a damaged certificate":       func(b *directory.Bundle) { b.Certificate = b.Certificate[:len(b.Certificate)-1] },
		"a changed certificate": func(b *directory.Bundle) {
			b.Certificate = append([]byte(nil), b.Certificate...)
			b.Certificate[len(b.Certificate)-70] ^= 1 // its end
		},
	} {
		w.dir.lie = func(_ string, b *directory.Bundle) { lie(b) }
		a := w.bare("orders")
		err := w.trySeal(a, "billing", w.message("things", "k", "secret"))
		if !errors.Is(err, ErrUntrusted) && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: sealing: %v", name, err)
		}
		if err := a.Prepare(t.Context(), "billing"); strings.Contains(name, "certificate") && name != "another key's certificate" && err == nil {
			t.Errorf("%s: it is fetched ahead", name)
		}
		err = w.trySeal(a, "billing", w.message("things", "k", "secret"))
		if !errors.Is(err, ErrUntrusted) && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: sealing with what was fetched ahead: %v", name, err)
		}
		_, err = w.pool.Exec("DELETE FROM waxwing_seal_bundle")
		w.must(err)
	}
	w.dir.lie = nil
	// A one-time key that is not the recipient's is not signed; the message cannot be opened.
	w.dir.lie = func(_ string, b *directory.Bundle) { b.OneTime.Key = evil.Public().Encode() }
	m := w.seal(w.bare("orders"), "billing", "secret")
	w.dir.lie = nil
	for _, at := range []*endpoint{w.bare("billing"), mallory} {
		if _, err := w.open(at, m); err == nil {
			t.Error("it opens")
		}
	}
}

// TestHandshakeOfAnImpostor: what the initiator says of itself is verified, too.
func TestHandshakeOfAnImpostor(t *testing.T) {
	w := quick(t)
	b := w.service("billing")
	foreign, err := NewRoot()
	w.must(err)
	id, err := NewIdentity("orders")
	w.must(err)
	c, err := foreign.Issue(Certificate{Name: "orders", Key: id.Key(), Lanes: 1, NotBefore: w.now(), NotAfter: w.now().Add(time.Hour)})
	w.must(err)
	id, err = id.WithCertificate(c)
	w.must(err)
	impostor := w.with(w.db, id, Pinned(w.root.Public(), foreign.Public()))
	m := w.seal(impostor, "billing", "text")
	_, err = w.open(b, m)
	w.want(err, ErrUntrusted)
	// With the certificate of the real one, and the impostor's key.
	env, err := ParseEnvelope(m.Body)
	w.must(err)
	env.Certificate = w.identity("orders", 1).Certificate().Bytes()
	m.Body = append(env.header(), env.Body...)
	_, err = w.open(b, m)
	w.want(err, ErrUntrusted)
	// A certificate that ends.
	a := w.service("shipping")
	w.opens(b, w.seal(a, "billing", "text"), "text")
	w.later(366 * 24 * time.Hour)
	w.want(w.trySeal(a, "billing", w.message("things", "k", "late")), ErrExpired)
}

// TestCertificateRenewed: a session begins anew when a certificate has ended, and what was
// sealed before it still opens for some days.
func TestCertificateRenewed(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.opens(b, w.seal(a, "billing", "one"), "one")
	w.opens(a, w.seal(b, "orders", "back"), "back")
	w.later(364 * 24 * time.Hour)
	early := w.seal(a, "billing", "early")
	w.later(2 * 24 * time.Hour)
	renewed := map[string]*Identity{}
	for _, name := range []string{"orders", "billing"} {
		old := w.ids[name]
		c, err := w.root.Issue(Certificate{Name: name, Key: old.Key(), Lanes: 1, NotBefore: w.now(), NotAfter: w.now().Add(time.Hour * 24 * 365)})
		w.must(err)
		renewed[name], err = old.WithCertificate(c)
		w.must(err)
	}
	w.ids = renewed
	a, b = w.service("orders"), w.service("billing")
	m := w.seal(a, "billing", "two")
	if env, _ := ParseEnvelope(m.Body); env.Kind != KindHandshake {
		t.Error("the session goes on")
	}
	w.opens(b, m, "two")
	w.opens(b, early, "early")
	w.opens(a, w.seal(b, "orders", "back"), "back")
}

// TestTOFU: the first key is trusted, another one never.
func TestTOFU(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		selfSigned := func(name string) *Identity {
			id, err := NewIdentity(name)
			w.must(err)
			id, err = id.SelfSigned(1, w.now().Add(time.Hour))
			w.must(err)
			return id
		}
		start := func(id *Identity) *endpoint {
			ep, err := New(w.db, id, w.keys, TOFU(), Through(w.dir), Clock(w.now), OneTimeKeys(4))
			w.must(err)
			w.must(ep.Publish(t.Context()))
			return ep
		}
		a, b := start(selfSigned("orders")), start(selfSigned("billing"))
		w.opens(b, w.seal(a, "billing", "one"), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		// Somebody else takes the name.
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM waxwing_seal_session")
			return err
		}))
		late := start(selfSigned("billing"))
		w.want(w.trySeal(a, "billing", w.message("things", "k", "secret")), ErrUntrusted)
		m := w.seal(late, "orders", "hello")
		_, err := w.open(a, m)
		w.want(err, ErrUntrusted)
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return a.Forget(ctx, tx, "billing") }))
		w.opens(a, m, "hello")
		// A certificate by a root that is not pinned is not trusted on first use either.
		w.service("shipping")
		w.want(w.trySeal(a, "shipping", w.message("things", "k", "secret")), ErrUntrusted)
	})
}

// TestVerifiedOnly: nothing goes to a peer whose number nobody has compared.
func TestVerifiedOnly(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders", VerifiedOnly()), w.service("billing")
	w.want(w.trySeal(a, "billing", w.message("things", "k", "secret")), ErrUntrusted)
	_, err := a.SafetyNumber(t.Context(), "billing")
	w.want(err, ErrNoSession)
	w.must(a.Prepare(t.Context(), "billing"))
	w.want(w.trySeal(a, "billing", w.message("things", "k", "secret")), ErrUntrusted)
	w.must(b.Prepare(t.Context(), "orders"))
	mine, err := a.SafetyNumber(t.Context(), "billing")
	w.must(err)
	theirs, err := b.SafetyNumber(t.Context(), "orders")
	w.must(err)
	if mine != theirs || len(strings.Fields(mine)) != 12 {
		t.Fatalf("%s and %s", mine, theirs)
	}
	w.want(a.Verify(t.Context(), "billing", strings.Repeat("0", 60)), ErrUntrusted)
	w.must(a.Verify(t.Context(), "billing", theirs))
	w.opens(b, w.seal(a, "billing", "text"), "text")
	if err := w.trySeal(b, "orders", w.message("things", "k", "back")); err != nil {
		t.Error(err)
	}
}

// TestCertificateBytes: every bit of a certificate matters, and files come back.
func TestCertificateBytes(t *testing.T) {
	w := quick(t)
	id := w.identity("orders", 8)
	raw := id.Certificate().Bytes()
	c, err := w.root.Public().Verify(raw, w.now())
	w.must(err)
	if c.Name != "orders" || c.Lanes != 8 || c.Key != id.Key() {
		t.Errorf("%+v", c)
	}
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 0x40
		if _, err := w.root.Public().Verify(bad, w.now()); err == nil {
			t.Errorf("byte %d does not matter", i)
		}
		if _, err := ParseCertificate(raw[:i]); err == nil {
			t.Errorf("%d bytes are a certificate", i)
		}
	}
	back, err := DecodeIdentity(id.Encode())
	w.must(err)
	if back.key != id.key || back.registration != id.registration || string(back.Certificate().Bytes()) != string(raw) {
		t.Error("another identity")
	}
	if c, err = DecodeCertificate(id.Certificate().Encode()); err != nil || string(c.Bytes()) != string(raw) {
		t.Error("another certificate", err)
	}
	root, err := DecodeRoot(w.root.Encode())
	w.must(err)
	key, err := ParseRootKey(root.Public().Encode())
	w.must(err)
	if key != w.root.Public() {
		t.Error("another root")
	}
	for _, bad := range [][]byte{nil, []byte("x"), w.root.Encode(), []byte(identityLabel + " !"), []byte(identityLabel + " AQ==")} {
		if _, err := DecodeIdentity(bad); err == nil {
			t.Errorf("%q is an identity", bad)
		}
		if _, err := DecodeCertificate(bad); err == nil {
			t.Errorf("%q is a certificate", bad)
		}
	}
	for _, name := range []string{"", "a b", "é", "a\n", strings.Repeat("a", 101), "#a"} {
		if _, err := NewIdentity(name); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
	if _, err := w.root.Issue(Certificate{Name: "a", Key: id.Key(), Lanes: 0, NotAfter: w.now()}); err == nil {
		t.Error("no lanes")
	}
}

// TestStoredIdentity: an identity comes back from the database, with the key only.
func TestStoredIdentity(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := w.identity("orders", 1)
		_, err := LoadIdentity(t.Context(), w.db, w.keys, "orders")
		w.want(err, ErrNoIdentity)
		w.service("orders")
		_, err = LoadIdentity(t.Context(), w.db, w.keys, "orders")
		w.want(err, ErrNoIdentity)
		for range 2 {
			w.must(StoreIdentity(t.Context(), w.db, w.keys, id))
			got, err := LoadIdentity(t.Context(), w.db, w.keys, "orders")
			w.must(err)
			if got.key != id.key || got.certificate == nil {
				t.Error("another identity")
			}
		}
		other, err := NewStorageKey(1)
		w.must(err)
		ring, err := NewKeyRing(other)
		w.must(err)
		if _, err := LoadIdentity(t.Context(), w.db, ring, "orders"); err == nil {
			t.Error("any storage key opens it")
		}
	})
}

// TestIdentityReplaced: sessions of an identity's old key are not sealed with, and what the
// old key has signed is not given out.
func TestIdentityReplaced(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	lost := w.seal(a, "billing", "one")
	delete(w.ids, "orders")
	a = w.service("orders")
	w.opens(b, w.seal(a, "billing", "two"), "two")
	w.opens(a, w.seal(b, "orders", "back"), "back")
	_ = lost
	w.opens(a, w.seal(w.service("shipping"), "orders", "hello"), "hello")
}
