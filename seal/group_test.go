package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// sealGroup seals a message to a group, and returns what is to be published with it.
func (w *world) sealGroup(from *endpoint, group, key, body string) (m *bus.Message, extra []bus.Message) {
	w.t.Helper()
	m = w.message("news", key, body)
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) (err error) {
		extra, err = from.Group(group).Seal(ctx, tx, m)
		return err
	}))
	return m, extra
}

// hand gives members the keys that are for them.
func (w *world) hand(extra []bus.Message, members ...*endpoint) {
	w.t.Helper()
	for i := range extra {
		for _, at := range members {
			if extra[i].Topic == ControlTopic(at.Name()) {
				d, err := w.open(at, &extra[i])
				w.must(err)
				if d.Type != TypeDistribution {
					w.t.Errorf("%+v", d.Message)
				}
			}
		}
	}
}

func (w *world) change(f func(ctx context.Context, tx *sql.Tx) error) {
	w.t.Helper()
	w.must(w.inTx(f))
}

// TestGroup: members read, others do not; who is removed reads no further, who is added
// nothing of before.
func TestGroup(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b, c, d := w.service("orders"), w.service("billing"), w.service("shipping"), w.service("audit")
		g := a.Group("readers")
		w.change(func(ctx context.Context, tx *sql.Tx) error { return g.Add(ctx, tx, "billing", "shipping", "orders") })
		first, keys := w.sealGroup(a, "readers", "k", "first")
		if len(keys) != 2 {
			t.Fatalf("%d keys", len(keys))
		}
		_, err := w.open(b, first)
		w.want(err, ErrNoSession) // its key is on the way
		w.hand(keys, b)
		w.opens(b, first, "first")
		_, err = w.open(b, first)
		w.want(err, ErrDuplicate)
		second, more := w.sealGroup(a, "readers", "k", "second")
		if len(more) != 0 {
			t.Errorf("%d keys", len(more))
		}
		w.hand(keys, c)
		w.opens(c, second, "second") // overtakes
		w.opens(c, first, "first")
		w.opens(b, second, "second")
		// Somebody is added.
		w.change(func(ctx context.Context, tx *sql.Tx) error { return g.Add(ctx, tx, "audit") })
		third, keys := w.sealGroup(a, "readers", "k", "third")
		if len(keys) != 1 {
			t.Errorf("%d keys", len(keys))
		}
		w.hand(keys, d)
		w.opens(d, third, "third")
		if _, err = w.open(d, second); err == nil {
			t.Error("a newcomer reads what was before")
		}
		// Somebody is removed.
		w.change(func(ctx context.Context, tx *sql.Tx) error { return g.Remove(ctx, tx, "billing") })
		fourth, keys := w.sealGroup(a, "readers", "k", "fourth")
		if len(keys) != 2 {
			t.Errorf("%d keys", len(keys))
		}
		w.hand(keys, b, c, d)
		w.opens(c, fourth, "fourth")
		w.opens(d, fourth, "fourth")
		_, err = w.open(b, fourth)
		w.want(err, ErrNoSession)
		w.opens(b, third, "third")
		// What a broker changes.
		fifth, _ := w.sealGroup(a, "readers", "k", "fifth")
		bad := *fifth
		bad.Key = "l"
		_, err = w.open(c, &bad)
		w.want(err, ErrMismatch)
		bad = *fifth
		bad.Body = append([]byte(nil), fifth.Body...)
		bad.Body[len(bad.Body)-1] ^= 1
		_, err = w.open(c, &bad)
		w.want(err, ErrMismatch)
		_, err = w.open(c, fifth, "billing")
		w.want(err, ErrUntrusted)
		w.opens(c, fifth, "fifth")
		w.change(func(ctx context.Context, tx *sql.Tx) error {
			members, err := g.Members(ctx, tx)
			if fmt.Sprint(members) != "[audit orders shipping]" {
				t.Error(members)
			}
			return err
		})
	})
}

// TestGroupRollback: of a transaction that was rolled back, no key is used again, and keys
// for members are made again.
func TestGroupRollback(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		g := a.Group("readers")
		w.change(func(ctx context.Context, tx *sql.Tx) error { return g.Add(ctx, tx, "billing") })
		w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			_, err := g.Seal(ctx, tx, w.message("news", "k", "lost"))
			w.must(err)
			return errAgain
		}), errAgain)
		first, keys := w.sealGroup(a, "readers", "k", "first")
		w.hand(keys, b)
		w.opens(b, first, "first")
		lost := w.message("news", "k", "lost")
		w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			_, err := g.Seal(ctx, tx, lost)
			w.must(err)
			return errAgain
		}), errAgain)
		second, _ := w.sealGroup(a, "readers", "k", "second")
		w.opens(b, second, "second")
		w.opens(b, lost, "lost") // it never left; but had it, nothing would be lost
	})
}

// TestGroupRotation: a chain is replaced after a number of messages, and after a time, and
// receivers keep five of them.
func TestGroupRotation(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders", RotateGroups(2, time.Hour)), w.service("billing")
	g := a.Group("readers")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return g.Add(ctx, tx, "billing") })
	var all []*bus.Message
	rotations := 0
	say := func() {
		m, keys := w.sealGroup(a, "readers", "k", "text")
		rotations += len(keys)
		w.hand(keys, b)
		all = append(all, m)
		w.later(time.Second)
	}
	for range 5 {
		say()
	}
	if rotations != 3 {
		t.Errorf("%d rotations", rotations)
	}
	w.later(time.Hour)
	say()
	w.change(func(ctx context.Context, tx *sql.Tx) error { return g.Rotate(ctx, tx) })
	say()
	if rotations != 5 {
		t.Errorf("%d rotations", rotations)
	}
	for range 2 {
		say()
	}
	if rotations != 6 || w.count("receiver", "local = 'billing'") != groupStates {
		t.Errorf("%d rotations, %d chains", rotations, w.count("receiver", "local = 'billing'"))
	}
	_, err := w.open(b, all[0])
	w.want(err, ErrNoSession)
	for _, m := range all[2:] {
		w.opens(b, m, "text")
	}
}

// TestGroupOf100: 100 consumers read one ciphertext.
func TestGroupOf100(t *testing.T) {
	w := quick(t)
	a := w.service("orders", ToGroup("news", "readers"))
	var names []string
	var members []*endpoint
	for i := range 100 {
		names = append(names, fmt.Sprintf("reader%d", i))
		members = append(members, w.service(names[i], OneTimeKeys(1), Expect("news", "orders")))
	}
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, names...) })
	var out []bus.Message
	w.change(func(ctx context.Context, tx *sql.Tx) (err error) {
		out, err = a.SealEvents(ctx, w.db.Bind(tx), []bus.Message{*w.message("news", "k", "one"), *w.message("news", "l", "two")})
		return err
	})
	if len(out) != 102 {
		t.Fatalf("%d messages", len(out))
	}
	w.hand(out[:100], members...)
	for _, m := range members {
		for i, text := range []string{"one", "two"} {
			d := &bus.Delivery{Message: out[100+i]}
			w.change(func(ctx context.Context, tx *sql.Tx) error { return m.OpenDelivery(ctx, w.db.Bind(tx), d) })
			if string(d.Body) != text {
				t.Fatalf("%s", d.Body)
			}
		}
	}
}

// TestGroupRestore: a database that was set back does not use a chain again.
func TestGroupRestore(t *testing.T) {
	w := quick(t)
	start := func() (*endpoint, bool) {
		a := w.bare("orders", CountedBy(w.dir))
		was, err := a.Check(t.Context())
		w.must(err)
		return a, was
	}
	relay := Counted(&broker{}, w.dir)
	a, _ := start()
	b := w.service("billing")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing") })
	first, keys := w.sealGroup(a, "readers", "k", "first")
	w.must(relay.Publish(t.Context(), append(keys, *first)))
	w.hand(keys, b)
	w.opens(b, first, "first")
	saved := w.dump()
	second, _ := w.sealGroup(a, "readers", "k", "second")
	w.must(relay.Publish(t.Context(), []bus.Message{*second}))
	w.opens(b, second, "second")
	w.restore(saved, "orders")
	a, was := start()
	if !was {
		t.Fatal("it was not noticed")
	}
	third, keys := w.sealGroup(a, "readers", "k", "third")
	if len(keys) != 1 {
		t.Fatal("the chain goes on")
	}
	w.must(relay.Publish(t.Context(), append(keys, *third)))
	w.hand(keys, b)
	w.opens(b, third, "third")
	if _, was := start(); was {
		t.Error("a second time")
	}
}

// TestNoGroup: a group has to be there.
func TestNoGroup(t *testing.T) {
	w := quick(t)
	a := w.service("orders", ToGroup("news", "readers"))
	err := w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		_, err := a.SealEvents(ctx, w.db.Bind(tx), []bus.Message{*w.message("news", "k", "text")})
		return err
	})
	if !errors.Is(err, ErrNoSession) {
		t.Error(err)
	}
}

// TestKeysStayInside: a group's key is not handed out, nor kept, when its message is put
// aside.
func TestKeysStayInside(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing") })
	m, keys := w.sealGroup(a, "readers", "k", "text")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return b.Pin(ctx, tx, &bus.Delivery{Message: keys[0]}) })
	w.opens(b, m, "text")
	d, err := w.open(b, &keys[0])
	w.must(err)
	if len(d.Body) != 0 || d.Type != TypeDistribution {
		t.Errorf("%+v", d.Message)
	}
}

// TestGroupOfAnExpired: a group's key is of no use after the sender's certificate has ended.
func TestGroupOfAnExpired(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing") })
	m, keys := w.sealGroup(a, "readers", "k", "text")
	late, _ := w.sealGroup(a, "readers", "k", "late")
	w.hand(keys, b)
	w.later(366 * 24 * time.Hour)
	w.opens(b, m, "text")
	w.later(certGrace)
	_, err := w.open(b, late)
	w.want(err, ErrExpired)
	err = w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		_, err := a.Group("readers").Seal(ctx, tx, w.message("news", "k", "text"))
		return err
	})
	w.want(err, ErrExpired)
	w.must(b.core.clean(t.Context()))
	if n := w.count("receiver", "local = 'billing'"); n != 0 {
		t.Errorf("%d chains", n)
	}
}

// TestGroupPrepared: what sessions with members need is fetched ahead.
func TestGroupPrepared(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Group("readers").Add(ctx, tx, "billing") })
	w.must(a.Maintain(t.Context()))
	w.dir.down = errors.New("down")
	m, keys := w.sealGroup(a, "readers", "k", "text")
	w.dir.down = nil
	w.hand(keys, b)
	w.opens(b, m, "text")
}

// TestKeysOfOthersStay: what a peer sends under somebody else's tag, and the end of its own
// chains, do not delete what was kept of somebody else.
func TestKeysOfOthersStay(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	late := w.seal(a, "billing", "late")
	w.opens(b, w.seal(a, "billing", "early"), "early")
	env, err := ParseEnvelope(late.Body)
	w.must(err)
	evil := w.service("evil")
	w.change(func(ctx context.Context, tx *sql.Tx) error { return evil.Group("g").Add(ctx, tx, "billing") })
	for i := range groupStates + 3 {
		s, err := evil.core.newChain(t.Context(), w.db.Conn(), nil, "g", 0)
		w.must(err)
		d := distribution{group: "g", instance: "0", tag: s.tag, key: s.state.Distribution()}
		if i == 0 {
			d.tag = env.Tag
		}
		m := &bus.Message{Topic: "billing.seal", ID: fmt.Sprint(i), Body: d.encode()}
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			return evil.core.sealAll(ctx, w.db.Bind(tx), []job{{to: "billing", kind: contentDistribution, m: m}})
		}))
		if _, err = w.open(b, m); i == 0 {
			w.want(err, ErrMismatch)
		} else {
			w.must(err)
		}
		w.later(time.Second)
	}
	if n := w.count("receiver", "local = 'billing'"); n != groupStates {
		t.Errorf("%d chains", n)
	}
	w.opens(b, late, "late")
}

// TestDamagedKeyChangesNothing: an Open that fails leaves the database as it was.
func TestDamagedKeyChangesNothing(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	m := &bus.Message{Topic: "billing.seal", ID: "x", Body: []byte("no key")}
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		return a.core.sealAll(ctx, w.db.Bind(tx), []job{{to: "billing", kind: contentDistribution, m: m}})
	}))
	before := w.dump()
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		w.want(b.Open(ctx, tx, &bus.Delivery{Message: *m}), ErrMismatch)
		return nil
	}))
	if !before.same(w.dump()) {
		t.Error("the database has changed")
	}
}
