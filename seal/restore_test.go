package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// a broker keeps what is published.
type broker struct {
	got  []bus.Message
	fail error
}

func (b *broker) Publish(_ context.Context, msgs []bus.Message) error {
	if b.fail == nil {
		b.got = append(b.got, msgs...)
	}
	return b.fail
}
func (*broker) System() string { return "kafka" }

// numberOf is the number of a message in its chain, and the chain.
func numberOf(w *world, m *bus.Message) string {
	w.t.Helper()
	env, err := ParseEnvelope(m.Body)
	w.must(err)
	body := env.Body
	if env.Kind == KindHandshake {
		_, body, err = ratchet.ParsePreKeyMessage(body)
		w.must(err)
	}
	p, err := ratchet.Inspect(body)
	w.must(err)
	return fmt.Sprintf("%x/%d", p.Ratchet, p.Counter)
}

// TestRestore: a database that was set back does not use a key again, and messages go on.
func TestRestore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var restored []Restore
		start := func() *endpoint {
			ep := w.bare("orders", CountedBy(w.dir), OnRestore(func(r Restore) { restored = append(restored, r) }))
			return ep
		}
		br := &broker{}
		relay := Counted(br, w.dir)
		publish := func(m *bus.Message) *bus.Message {
			t.Helper()
			w.must(relay.Publish(t.Context(), []bus.Message{*w.message("plain", "k", "plain"), *m}))
			return m
		}
		a, b := start(), w.service("billing")
		w.want(w.trySeal(a, "billing", w.message("things", "k", "early")), ErrRolledBack)
		if was, err := a.Check(t.Context()); was || err != nil {
			t.Fatal(was, err)
		}
		w.must(a.Publish(t.Context()))
		used := map[string]bool{}
		note := func(m *bus.Message) *bus.Message {
			if n := numberOf(w, m); used[n] {
				t.Errorf("%s is used again", n)
			} else {
				used[n] = true
			}
			return m
		}
		w.opens(b, note(publish(w.seal(a, "billing", "one"))), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		w.opens(b, note(publish(w.seal(a, "billing", "two"))), "two")
		saved := w.dump()
		underWay := w.seal(b, "orders", "under way")
		afterwards := note(publish(w.seal(a, "billing", "three")))
		w.opens(b, afterwards, "three")
		// A process that starts after nothing has happened finds nothing.
		if was, err := start().Check(t.Context()); was || err != nil {
			t.Fatal(was, err)
		}
		w.restore(saved, "orders")
		a = start()
		if was, err := a.Check(t.Context()); !was || err != nil {
			t.Fatal(was, err)
		}
		if len(restored) != 1 || len(restored[0].Behind) != 1 || restored[0].Behind[0].Peer != "billing" || restored[0].Behind[0].Counter != 3 || restored[0].Behind[0].Database != 2 {
			t.Errorf("%+v", restored)
		}
		if was, err := start().Check(t.Context()); was || err != nil {
			t.Fatal("a second time: ", was, err)
		}
		m := note(publish(w.seal(a, "billing", "four")))
		if env, _ := ParseEnvelope(m.Body); env.Kind != KindHandshake {
			t.Error("the old session goes on")
		}
		w.opens(a, underWay, "under way")
		m2 := note(publish(w.seal(a, "billing", "five")))
		if env, _ := ParseEnvelope(m2.Body); env.Kind != KindHandshake {
			t.Error("the old session is sealed with again")
		}
		w.opens(b, m2, "five")
		w.opens(b, m, "four")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		if was, err := start().Check(t.Context()); was || err != nil {
			t.Fatal(was, err)
		}
		// Prekeys that the backup does not know are not given out any more.
		before, _ := w.dir.Status(t.Context(), "orders")
		w.must(a.Publish(t.Context()))
		after, _ := w.dir.Status(t.Context(), "orders")
		if after.SignedID <= before.OneTimeKEMIDMax || after.OneTime != 4 || after.OneTimeIDMax == before.OneTimeIDMax {
			t.Errorf("%+v, then %+v", before, after)
		}
		w.opens(a, w.seal(w.service("shipping"), "orders", "hello"), "hello")
	})
}

// TestRestoreOfAStranger: a stream that the database has forgotten is not given to
// anybody.
func TestRestoreOfAStranger(t *testing.T) {
	w := quick(t)
	a := w.bare("orders", CountedBy(w.dir))
	_, err := a.Check(t.Context())
	w.must(err)
	empty := w.dump()
	b := w.service("billing")
	relay := Counted(&broker{}, w.dir)
	m := w.seal(a, "billing", "one")
	w.must(relay.Publish(t.Context(), []bus.Message{*m}))
	w.restore(empty, "orders")
	a = w.bare("orders", CountedBy(w.dir))
	if was, err := a.Check(t.Context()); !was || err != nil {
		t.Fatal(was, err)
	}
	m2 := w.seal(a, "billing", "two")
	w.must(relay.Publish(t.Context(), []bus.Message{*m2}))
	w.opens(b, m, "one")
	w.opens(b, m2, "two")
	if was, err := w.bare("orders", CountedBy(w.dir)).Check(t.Context()); was || err != nil {
		t.Fatal(was, err)
	}
}

// TestSetBackSenderIsNoticed: without a counter, the receiver says that it is no ordinary
// duplicate.
func TestSetBackSenderIsNoticed(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.opens(b, w.seal(a, "billing", "one"), "one")
	saved := w.dump()
	w.opens(b, w.seal(a, "billing", "two"), "two")
	w.restore(saved, "orders")
	a = w.bare("orders") // another process, which knows nothing
	m := w.seal(a, "billing", "other two")
	_, err := w.open(b, m)
	w.want(err, ErrDuplicate)
	m.SetHeader(HeaderSealed, []byte("0:9:orders"))
	_, err = w.open(b, m)
	w.want(err, ErrRolledBack)
}

// TestCounted: the counter is raised once for a batch, and before that is sent.
func TestCounted(t *testing.T) {
	w := quick(t)
	a := w.service("orders")
	w.service("billing")
	batch := []bus.Message{*w.seal(a, "billing", "one"), *w.seal(a, "billing", "two"), *w.message("plain", "k", "plain")}
	br := &broker{}
	w.dir.down = errors.New("down")
	relay := Counted(br, w.dir)
	if err := relay.Publish(t.Context(), batch); err == nil || len(br.got) != 0 {
		t.Fatal(err, len(br.got))
	}
	w.dir.down = nil
	w.must(relay.Publish(t.Context(), batch))
	if len(br.got) != 3 || relay.System() != "kafka" {
		t.Error(len(br.got))
	}
	marks, err := w.dir.Marks(t.Context(), "orders")
	w.must(err)
	if len(marks) != 1 || marks[0] != 2 {
		t.Error(marks)
	}
	for _, bad := range []string{"", "1", "1:2", "x:2:a", "1:x:a", "1:2:", "-1:2:a", "1:9223372036854775808:a", "1:2:a b"} {
		if _, _, _, ok := parseSealed([]byte(bad)); ok {
			t.Errorf("%q", bad)
		}
	}
}

// owned is a counter that refuses what is not of one name, as a directory does.
type owned struct {
	Counter
	name string
}

func (o owned) Raise(ctx context.Context, name string, marks map[uint32]uint64) (map[uint32]uint64, error) {
	if name != o.name {
		return nil, &directory.Error{Status: 403, Reason: name}
	}
	return o.Counter.Raise(ctx, name, marks)
}

// TestCountedNames: what somebody else has sealed is passed on, and only one's own counts.
func TestCountedNames(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	batch := []bus.Message{*w.seal(a, "billing", "one"), *w.seal(b, "orders", "somebody else's"), *w.seal(a, "billing", "two")}
	br, counter := &broker{}, owned{w.dir, "orders"}
	w.want(Counted(br, counter).Publish(t.Context(), batch), directory.ErrForbidden)
	if len(br.got) != 0 {
		t.Error("it was sent")
	}
	w.must(Counted(br, counter, "shipping", "orders").Publish(t.Context(), batch))
	marks, err := w.dir.Marks(t.Context(), "orders")
	if err != nil || len(br.got) != 3 || len(marks) != 1 || marks[0] != 2 {
		t.Errorf("%d messages, %v, %v", len(br.got), marks, err)
	}
	if theirs, _ := w.dir.Marks(t.Context(), "billing"); len(theirs) != 0 {
		t.Errorf("%v", theirs)
	}
}

// TestFileCounter: marks never sink, and survive.
func TestFileCounter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marks")
	f, err := OpenFileCounter(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, step := range []struct{ give, want map[uint32]uint64 }{
		{map[uint32]uint64{1: 5}, map[uint32]uint64{1: 5}},
		{map[uint32]uint64{1: 4, 2: 7}, map[uint32]uint64{1: 5, 2: 7}},
		{map[uint32]uint64{1: 3}, map[uint32]uint64{1: 5}},
	} {
		got, err := f.Raise(ctx, "orders", step.give)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(step.want) {
			t.Errorf("%v: %v, %v", step.give, got, err)
		}
	}
	if _, err := f.Raise(ctx, "billing", map[uint32]uint64{1: 1}); err != nil {
		t.Fatal(err)
	}
	again, err := OpenFileCounter(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Marks(ctx, "orders"); err != nil || fmt.Sprint(got) != "map[1:5 2:7]" {
		t.Error(got, err)
	}
	if got, err := again.Marks(ctx, "nobody"); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Errorf("%d files", len(files))
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileCounter(path); err == nil {
		t.Error("a damaged file is a counter")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFileCounter(path); err == nil {
		t.Error("an empty file is a counter")
	}
}

// TestParked: what is put aside opens within its time, also when its session has gone on
// or is gone, and not after.
func TestParked(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing", Expect("things", "orders"))
		pin := func(m *bus.Message) error {
			return w.inTx(func(ctx context.Context, tx *sql.Tx) error {
				d := &bus.Delivery{Message: *m}
				if err := b.Pin(ctx, tx, d); err != nil {
					return err
				}
				if !isEnvelope(d.Body) {
					t.Error("Pin hands out the text")
				}
				return nil
			})
		}
		first, second, third := w.seal(a, "billing", "first"), w.seal(a, "billing", "second"), w.seal(a, "billing", "third")
		w.must(pin(first))
		w.must(pin(first)) // nothing changes
		w.opens(b, second, "second")
		w.must(pin(third))
		// A handler fails again: it stays openable.
		w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			w.must(b.Open(ctx, tx, &bus.Delivery{Message: *first}))
			return errAgain
		}), errAgain)
		_, err := w.pool.Exec("DELETE FROM waxwing_seal_session WHERE local = 'billing'")
		w.must(err)
		w.later(DefaultParked - 1e9)
		w.must(b.Maintain(t.Context()))
		bad := *first
		bad.Key = "l"
		_, err = w.open(b, &bad)
		w.want(err, ErrMismatch)
		_, err = w.open(b, first, "shipping")
		w.want(err, ErrUntrusted)
		w.opens(b, first, "first")
		if _, err = w.open(b, first); err == nil {
			t.Error("it opens twice")
		}
		w.later(2e9)
		for range 2 {
			_, err = w.open(b, third)
			w.want(err, ErrExpired)
			w.must(b.Maintain(t.Context()))
		}
		var secret []byte
		w.must(w.pool.QueryRow("SELECT secret FROM waxwing_seal_pinned").Scan(&secret))
		if len(secret) != 0 {
			t.Error("a key is left")
		}
		w.later(tombstones)
		w.must(b.Maintain(t.Context()))
		if n := w.count("pinned", "1 = 1"); n != 0 {
			t.Error("a row is left")
		}
	})
}

// TestDiscard: what is discarded is gone, and so is what was put aside.
func TestDiscard(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	discard := func(m *bus.Message) error {
		return w.inTx(func(ctx context.Context, tx *sql.Tx) error { return b.Discard(ctx, tx, &bus.Delivery{Message: *m}) })
	}
	first, second, third := w.seal(a, "billing", "first"), w.seal(a, "billing", "second"), w.seal(a, "billing", "third")
	w.must(discard(first))
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return b.Pin(ctx, tx, &bus.Delivery{Message: *second}) }))
	w.must(discard(second))
	for _, m := range []*bus.Message{first, second} {
		_, err := w.open(b, m)
		w.want(err, ErrDuplicate)
	}
	w.opens(b, third, "third")
	if n := w.count("pinned", "1 = 1"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestCountedEnvelopesOnly: the header of a message that is not sealed does not move the
// counter: it may have been copied from one that somebody else has sent.
func TestCountedEnvelopesOnly(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	relay := Counted(&broker{}, w.dir)
	forged := w.message("things", "k", "text")
	forged.SetHeader(HeaderSealed, []byte("0:9223372036854775807:orders"))
	w.must(relay.Publish(t.Context(), []bus.Message{*forged}))
	if marks, _ := w.dir.Marks(t.Context(), "orders"); len(marks) != 0 {
		t.Errorf("marks are %v", marks)
	}
	d := &bus.Delivery{Message: *forged}
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return b.OpenDelivery(ctx, w.db.Bind(tx), d) }))
	if d.Header(HeaderSealed) != nil {
		t.Error("the header is believed")
	}
	m := w.message("things", "k", "text")
	m.SetHeader(HeaderSealed, []byte("7:7:somebody"))
	w.must(w.trySeal(a, "billing", m))
	if n := len(slices.DeleteFunc(m.Headers, func(h bus.Header) bool { return h.Name != HeaderSealed })); n != 1 {
		t.Errorf("%d headers", n)
	}
}

// TestHandshakeAfterRestore: a handshake of before, which the restored database opens
// again, begins no session that is sealed with: the peer has gone on with what we have
// forgotten.
func TestHandshakeAfterRestore(t *testing.T) {
	w := quick(t)
	start := func() *endpoint {
		ep := w.bare("billing", CountedBy(w.dir))
		_, err := ep.Check(t.Context())
		w.must(err)
		w.must(ep.Publish(t.Context()))
		return ep
	}
	relay := Counted(&broker{}, w.dir)
	a, b := w.service("orders"), start()
	saved := w.dump()
	first := w.seal(a, "billing", "one")
	w.opens(b, first, "one")
	back := w.seal(b, "orders", "back")
	w.must(relay.Publish(t.Context(), []bus.Message{*back}))
	w.opens(a, back, "back")
	w.restore(saved, "billing")
	b = start()
	w.opens(b, first, "one") // the broker delivers it again
	back = w.seal(b, "orders", "again")
	w.must(relay.Publish(t.Context(), []bus.Message{*back}))
	w.opens(a, back, "again")
	w.opens(b, w.seal(a, "billing", "two"), "two")
	// Handshakes with the new keys are sealed with.
	c := w.service("shipping")
	w.opens(b, w.seal(c, "billing", "three"), "three")
	if w.count("session", "local = 'billing' AND remote = 'shipping' AND slot = 0") != 1 {
		t.Error("a new session is not sealed with")
	}
}

// TestPinnedOfAnUntrusted: what was put aside opens also if its sender's key is not
// trusted any more.
func TestPinnedOfAnUntrusted(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	m := w.seal(a, "billing", "one")
	d := &bus.Delivery{Message: *m}
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return b.Pin(ctx, tx, d) }))
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return b.Forget(ctx, tx, "orders") }))
	other, err := NewRoot()
	w.must(err)
	key := other.Public()
	w.root, err = NewRoot() // the organisation's root is replaced
	w.must(err)
	delete(w.ids, "billing")
	b = w.with(w.db, w.identity("billing", 1), Pinned(key))
	b.core.roots = []RootKey{key}
	w.opens(b, m, "one")
}

// TestCounterIsNotBelieved: a counter cannot use all sequences up, nor streams.
func TestCounterIsNotBelieved(t *testing.T) {
	w := quick(t)
	a := w.bare("orders", CountedBy(w.dir))
	for _, marks := range []map[uint32]uint64{{0: 1 << 63}, {0: 1<<64 - 1}, {streamsMax: 1}} {
		w.dir.marks["orders"] = marks
		if _, err := a.Check(t.Context()); err == nil {
			t.Errorf("%v is believed", marks)
		}
	}
	w.service("billing")
	w.want(w.trySeal(a, "billing", w.message("things", "k", "text")), ErrRolledBack)
	w.dir.marks["orders"] = map[uint32]uint64{streamsMax - 1: 1}
	_, err := a.Check(t.Context())
	w.must(err)
	w.opens(w.bare("billing"), w.seal(a, "billing", "text"), "text")
}

// TestSetBackWhileRunning: a database that is set back under processes that go on, as by a
// failover to a replica that lags, is found out by the next Maintain of any of them.
func TestSetBackWhileRunning(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var restored []Restore
		start := func() *endpoint {
			return w.bare("orders", CountedBy(w.dir), OnRestore(func(r Restore) { restored = append(restored, r) }))
		}
		relay := Counted(&broker{}, w.dir)
		publish := func(m *bus.Message) *bus.Message {
			t.Helper()
			w.must(relay.Publish(t.Context(), []bus.Message{*m}))
			return m
		}
		one, other, b := start(), start(), w.service("billing")
		w.must(one.Publish(t.Context()))
		w.dir.down = errors.New("down")
		if err := one.Maintain(t.Context()); err == nil {
			t.Error("no error")
		}
		w.want(w.trySeal(one, "billing", w.message("things", "k", "early")), ErrRolledBack)
		w.dir.down = nil
		w.must(one.Maintain(t.Context()))
		w.must(other.Maintain(t.Context()))
		w.opens(b, publish(w.seal(one, "billing", "one")), "one")
		w.opens(one, w.seal(b, "orders", "back"), "back")
		saved := w.dump()
		lost := publish(w.seal(one, "billing", "two"))
		w.opens(b, lost, "two")
		w.dir.down = errors.New("down") // who was ready stays so
		if err := other.Maintain(t.Context()); err == nil {
			t.Error("no error")
		}
		w.seal(other, "billing", "not published")
		w.dir.down = nil
		w.must(other.Maintain(t.Context()))
		if len(restored) != 0 {
			t.Fatalf("%+v", restored)
		}
		w.restore(saved, "orders")
		w.must(one.Maintain(t.Context()))
		if len(restored) != 1 || len(restored[0].Behind) != 1 || restored[0].Behind[0].Counter != 2 || restored[0].Behind[0].Database != 1 {
			t.Fatalf("%+v", restored)
		}
		w.must(other.Maintain(t.Context()))
		if len(restored) != 1 {
			t.Errorf("a second time: %+v", restored)
		}
		m := publish(w.seal(other, "billing", "three"))
		if env, _ := ParseEnvelope(m.Body); env.Kind != KindHandshake || numberOf(w, m) == numberOf(w, lost) {
			t.Error("the old session goes on")
		}
		w.opens(b, m, "three")
		w.opens(one, w.seal(w.service("shipping"), "orders", "hello"), "hello")
	})
}

// TestSetBackReceiver: also a service that seals nothing, and has no counter, finds that its
// database was set back: the directory hands out keys that it does not have.
func TestSetBackReceiver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.service("orders")
		found := 0
		b := w.service("billing", OnRestore(func(r Restore) {
			if r.Name != "billing" || len(r.Behind) != 0 {
				t.Error(r)
			}
			found++
		}))
		backup := w.dump()
		for range 3 { // they go, and others come, which the backup does not know
			w.dir.drain("billing")
			w.must(b.Publish(t.Context()))
		}
		if found != 0 {
			t.Error("found before it happened")
		}
		w.restore(backup, "billing")
		lost := w.seal(w.bare("orders"), "billing", "lost")
		if _, err := w.open(b, lost); !errors.Is(err, ErrDuplicate) || !strings.Contains(err.Error(), "set back") {
			t.Error(err)
		}
		w.must(b.Maintain(t.Context()))
		w.must(b.Maintain(t.Context()))
		if found != 1 {
			t.Errorf("found %d times", found)
		}
		a := w.bare("orders")
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return a.Renew(ctx, tx, "billing") }))
		for range 6 { // with one-time keys, and without
			w.opens(b, w.seal(a, "billing", "text"), "text")
			w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return a.Renew(ctx, tx, "billing") }))
		}
	})
}

// TestDeletedMarks: marks that are gone with their identity are taken for a restore, once.
func TestDeletedMarks(t *testing.T) {
	w := quick(t)
	w.service("billing")
	a := w.service("orders", CountedBy(w.dir))
	check := func(at *endpoint, want bool) {
		t.Helper()
		if restored, err := at.Check(t.Context()); err != nil || restored != want {
			t.Fatal(restored, err)
		}
	}
	check(a, false)
	first, err := ParseEnvelope(w.seal(a, "billing", "one").Body)
	w.must(err)
	w.dir.mu.Lock()
	delete(w.dir.ids, "orders")
	delete(w.dir.marks, "orders")
	w.dir.mu.Unlock()
	a = w.bare("orders", CountedBy(w.dir))
	check(a, true)
	check(a, false)
	w.must(a.Publish(t.Context()))
	check(a, false)
	second, err := ParseEnvelope(w.seal(a, "billing", "two").Body)
	w.must(err)
	if first.Tag == second.Tag {
		t.Error("the session goes on")
	}
}

// TestOtherProfile: neither a database nor a peer of another profile is taken.
func TestOtherProfile(t *testing.T) {
	w := quick(t)
	w.service("billing")
	a := w.bare("orders", Profile(ratchet.WaxwingHE))
	err := w.trySeal(a, "billing", w.message("things", "k", "x"))
	if w.want(err, ErrMismatch); !strings.Contains(err.Error(), "not of profile waxwing-he") {
		t.Error(err)
	}
	err = w.bare("billing", Profile(ratchet.WaxwingHE)).Publish(t.Context())
	if w.want(err, ErrMismatch); !strings.Contains(err.Error(), "another profile than waxwing-he") {
		t.Error(err)
	}
}
