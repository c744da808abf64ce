package seal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// The tests of this file show what docs/seal/guarantees.md says that is not guaranteed: if
// one fails, the page may promise more.

// TestLimitLastResort: a session that began without one-time keys can be begun again by a
// thief of rows, storage key and identity, until the prekeys are deleted.
func TestLimitLastResort(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.dir.drain("billing")
	m := w.seal(a, "billing", "text")
	w.opens(b, m, "text")
	steal := func() error {
		taken := w.dump()
		defer w.restore(taken, "")
		for _, table := range []string{"session", "replay"} { // a thief need not look at them
			_, err := w.pool.Exec("DELETE FROM waxwing_seal_" + table)
			w.must(err)
		}
		_, err := w.open(w.bare("billing"), m)
		return err
	}
	w.must(steal())
	w.later(prekeyAge + time.Hour)
	w.must(b.Maintain(t.Context())) // replaces the prekeys
	w.must(steal())
	w.later(prekeyKept + time.Hour)
	w.must(b.Maintain(t.Context())) // and deletes those
	w.want(steal(), ErrExpired)
}

// TestLimitFirstMessages: what a service seals before its peer has answered is under the
// secret of the handshake; a thief of the sender's rows opens nothing that was sealed.
func TestLimitFirstMessages(t *testing.T) {
	w := quick(t)
	a := w.service("orders")
	w.service("billing")
	sealed := []*bus.Message{w.seal(a, "billing", "one"), w.seal(a, "billing", "two")}
	for _, m := range sealed {
		if env, _ := ParseEnvelope(m.Body); env.Kind != KindHandshake || len(m.Body) < 2000 {
			t.Errorf("a %v of %d bytes", env.Kind, len(m.Body))
		}
		if _, err := w.open(w.bare("orders"), m); err == nil {
			t.Error("the sender's rows open what it sealed")
		}
	}
}

// TestLimitOldSession: who has stolen the rows of a session that is not sealed with any more
// can still seal with it, and the peer goes on with that session, until it is deleted or
// forgotten.
func TestLimitOldSession(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders", OneTimeKeys(100)), w.service("billing", OneTimeKeys(100))
	both := func() {
		w.opens(b, w.seal(a, "billing", "there"), "there")
		w.opens(a, w.seal(b, "orders", "back"), "back")
	}
	both()
	stolen := w.dump()
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Renew(ctx, tx, "billing") })
	both()
	current := func() (tag []byte) {
		w.must(sqltx.One(t.Context(), w.db.Conn(), "SELECT tag FROM waxwing_seal_session WHERE local = 'billing' AND slot = 0", nil, &tag))
		return tag
	}
	fresh, now := current(), w.dump()
	w.restore(stolen, "orders")
	forged := w.seal(w.bare("orders"), "billing", "forged")
	w.restore(now, "orders")
	w.opens(b, forged, "forged")
	if bytes.Equal(current(), fresh) {
		t.Error("the peer stays with the new session")
	}
	// Forget ends that.
	w.restore(stolen, "orders")
	again := w.seal(w.bare("orders"), "billing", "forged again")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return b.Forget(ctx, tx, "orders") })
	_, err := w.open(b, again)
	w.want(err, ErrNoSession)
}

// TestLimitGroupTheft: who steals a member's rows reads on until the chain is replaced.
func TestLimitGroupTheft(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing") })
	first, keys := w.sealGroup(a, "readers", "k", "first")
	w.hand(keys, b)
	w.opens(b, first, "first")
	stolen := w.dump()
	second, _ := w.sealGroup(a, "readers", "k", "second")
	w.opens(b, second, "second")
	greet := func(from, to *endpoint) { // both sides of the session get new keys
		var out []bus.Message
		w.change(func(ctx context.Context, tx *sql.Tx) (err error) {
			out, err = from.Greet(ctx, tx, to.Name())
			return err
		})
		for i := range out {
			_, err := w.open(to, &out[i])
			w.must(err)
		}
	}
	greet(b, a)
	greet(a, b)
	greet(b, a)
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Rotate(ctx, tx) })
	third, keys := w.sealGroup(a, "readers", "k", "third")
	w.hand(keys, b)
	w.opens(b, third, "third")
	w.restore(stolen, "billing")
	thief := w.bare("billing")
	w.opens(thief, second, "second")
	if _, err := w.open(thief, &keys[0]); err == nil {
		t.Error("the thief gets the new key")
	}
	_, err := w.open(thief, third)
	w.want(err, ErrNoSession)
	_, err = w.open(thief, first)
	w.want(err, ErrDuplicate)
}

// TestLimitFiles: SQLite's log keeps rows that were overwritten, until the maintenance
// truncates it, for who has the storage key that wrapped them; without that they are noise.
func TestLimitFiles(t *testing.T) {
	w := quick(t)
	path := filepath.Join(t.TempDir(), "app.db")
	db, pool, err := sqldb.Open("sqlite:" + path)
	w.must(err)
	t.Cleanup(func() { pool.Close() })
	w.must(sqldb.Migrate(t.Context(), db))
	w.db, w.pool = db, pool
	a, b := w.service("orders"), w.service("billing")
	w.opens(b, w.seal(a, "billing", "one"), "one")
	var old, state, tag []byte
	w.must(sqltx.One(t.Context(), w.db.Conn(), "SELECT tag, state FROM waxwing_seal_session WHERE local = 'billing'", nil, &tag, &old))
	captured := w.seal(a, "billing", "two")
	w.opens(b, captured, "two")
	w.must(sqltx.One(t.Context(), w.db.Conn(), "SELECT state FROM waxwing_seal_session WHERE local = 'billing'", nil, &state))
	if bytes.Equal(old, state) {
		t.Fatal("the row was not overwritten")
	}
	kept := func() bool {
		var files []byte
		for _, name := range []string{path, path + "-wal"} {
			b, err := os.ReadFile(name)
			w.must(err)
			files = append(files, b...)
		}
		return bytes.Contains(files, old)
	}
	if !kept() {
		t.Error("what was overwritten is not in the files any more")
	}
	w.must(b.Maintain(t.Context()))
	if kept() {
		t.Error("what was overwritten is in the files after the maintenance")
	}
	raw, err := w.keys.unwrap(b.core.sessionRow([16]byte(tag)), old)
	w.must(err)
	s, err := ratchet.DecodeSession(raw)
	w.must(err)
	env, err := ParseEnvelope(captured.Body)
	w.must(err)
	_, body, err := ratchet.ParsePreKeyMessage(env.Body)
	w.must(err)
	if _, err := s.Open(b.core.rand, nil, body, nil); err != nil {
		t.Error("with the storage key it opens nothing: the test shows nothing", err)
	}
	another, err := NewStorageKey(2)
	w.must(err)
	ring, err := NewKeyRing(another)
	w.must(err)
	if _, err := ring.unwrap(b.core.sessionRow([16]byte(tag)), old); err == nil {
		t.Error("it opens without the storage key that wrapped it")
	}
}

// TestLimitMetadata: what stays outside of an envelope, and what is inside.
func TestLimitMetadata(t *testing.T) {
	w := quick(t)
	a := w.service("orders")
	w.service("billing")
	m := w.message("payments", "order-7", "card 4111")
	w.must(w.trySeal(a, "billing", m))
	if m.Topic != "payments" || m.Key != "order-7" || m.ID == "" || m.Type != "thing.done" || string(m.Header("traceparent")) == "" || string(m.Header(HeaderSealed)) != "0:1:orders" {
		t.Errorf("%+v", m)
	}
	if m.ContentType != ContentType || m.Header("tenant") != nil || bytes.Contains(m.Body, []byte("4111")) || bytes.Contains(m.Body, []byte("text/plain")) {
		t.Errorf("%+v", m)
	}
	// In a bucket all bodies have one length.
	sizes := map[int]int{}
	for _, n := range []int{1, 20, 60, 100} {
		x := w.message("payments", "k", string(make([]byte, n)))
		w.must(w.trySeal(a, "billing", x))
		sizes[len(x.Body)]++
	}
	if len(sizes) > 2 {
		t.Errorf("%v", sizes)
	}
	if _, err := w.open(w.bare("orders"), m); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}
}

// TestLimitRollback: a sender that was set back, and is not counted, uses a key again. In
// signal-v4 the ciphertexts tell how far the texts begin alike; in waxwing-he they do not.
func TestLimitRollback(t *testing.T) {
	for p, alike := range map[ratchet.Profile]bool{ratchet.SignalV4: true, ratchet.WaxwingHE: false} {
		w := quick(t)
		a, b := w.service("orders", Profile(p)), w.service("billing", Profile(p))
		w.opens(b, w.seal(a, "billing", "one"), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		saved := w.dump()
		first := w.seal(a, "billing", "two")
		w.opens(b, first, "two")
		w.restore(saved, "orders")
		second := w.seal(w.bare("orders", Profile(p)), "billing", "another two")
		n := 0
		for n < len(first.Body) && first.Body[n] == second.Body[n] {
			n++
		}
		if got := n >= envelopeMin+43+16; got != alike { // version, ratchet key, numbers, length; a block
			t.Errorf("profile %d: the bodies begin with %d bytes that are alike", p, n)
		}
		_, err := w.open(b, second)
		w.want(err, ErrDuplicate)
	}
}
