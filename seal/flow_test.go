package seal

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// TestRoundTrip: messages go both ways, in every profile, and the broker sees nothing.
func TestRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, p := range []ratchet.Profile{ratchet.PQXDH, ratchet.SignalV4, ratchet.WaxwingHE} {
			suffix := fmt.Sprint(p)
			a, b := w.service("orders"+suffix, Profile(p)), w.service("billing"+suffix, Profile(p))
			for i := range 3 {
				text := fmt.Sprintf("there %d", i)
				m := w.seal(a, b.Name(), text)
				if bytes.Contains(m.Body, []byte(text)) || m.ContentType != ContentType || m.Header("tenant") != nil || m.Header("traceparent") == nil {
					t.Fatalf("%+v", m)
				}
				env, err := ParseEnvelope(m.Body)
				w.must(err)
				if want := KindHandshake; i > 0 && env.Kind != KindMessage || i == 0 && env.Kind != want {
					t.Fatalf("message %d is a %v", i, env.Kind)
				}
				w.opens(b, m, text)
				back := w.seal(b, a.Name(), "back "+text)
				w.opens(a, back, "back "+text)
			}
			d, err := w.open(b, w.seal(a, b.Name(), "who"))
			w.must(err)
			if got := string(d.Header(HeaderFrom)); got != a.Name() {
				t.Errorf("from %q", got)
			}
		}
	})
}

// TestRedelivery: a message that was opened in a transaction that was rolled back opens
// again; after a commit it is a duplicate, and nothing has changed.
func TestRedelivery(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		first := w.seal(a, "billing", "first")
		second := w.seal(a, "billing", "second")
		for _, m := range []*bus.Message{first, second} {
			before := w.dump()
			for range 2 {
				err := w.inTx(func(ctx context.Context, tx *sql.Tx) error {
					w.must(b.Open(ctx, tx, &bus.Delivery{Message: *m}))
					return errAgain
				})
				w.want(err, errAgain)
			}
			if !w.dump().same(before) {
				t.Fatal("a rollback left something")
			}
			_, err := w.open(b, m)
			w.must(err)
			after := w.dump()
			_, err = w.open(b, m)
			w.want(err, ErrDuplicate)
			if !w.dump().same(after) {
				t.Fatal("a duplicate changed something")
			}
		}
	})
}

// TestFailedOpenInTransaction: a transaction in which Open has failed can be committed,
// and has changed nothing.
func TestFailedOpenInTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		m := w.seal(a, "billing", "text")
		before := w.dump()
		for name, damage := range map[string]func(m *bus.Message){
			"body": func(m *bus.Message) { m.Body = bytes.Clone(m.Body); m.Body[len(m.Body)-1] ^= 1 },
			"id":   func(m *bus.Message) { m.ID = "another" },
			"tag":  func(m *bus.Message) { m.Body = bytes.Clone(m.Body); m.Body[10] ^= 1 },
		} {
			bad := *m
			damage(&bad)
			err := w.inTx(func(ctx context.Context, tx *sql.Tx) error {
				d := &bus.Delivery{Message: bad}
				if err := b.Open(ctx, tx, d); !errors.Is(err, ErrMismatch) {
					t.Errorf("%s: %v", name, err)
				}
				if !bytes.Equal(d.Body, bad.Body) || len(d.Headers) != len(bad.Headers) {
					t.Errorf("%s: the message has changed", name)
				}
				return nil
			})
			w.must(err)
			if !w.dump().same(before) {
				t.Errorf("%s: the database has changed", name)
			}
		}
		w.opens(b, m, "text")
	})
}

// TestOutsideMustMatch: what a broker changes outside is noticed.
func TestOutsideMustMatch(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.service("shipping")
	for name, change := range map[string]func(m *bus.Message){
		"topic": func(m *bus.Message) { m.Topic = "others" },
		"key":   func(m *bus.Message) { m.Key = "l" },
		"id":    func(m *bus.Message) { m.ID = "m0" },
		"type":  func(m *bus.Message) { m.Type = "thing.undone" },
	} {
		m := w.seal(a, "billing", "text")
		changed := *m
		change(&changed)
		if _, err := w.open(b, &changed); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
		w.opens(b, m, "text")
	}
	// Bodies that were swapped between two messages.
	m, n := w.seal(a, "billing", "one"), w.seal(a, "billing", "two")
	m.Body, n.Body = n.Body, m.Body
	for _, x := range []*bus.Message{m, n} {
		_, err := w.open(b, x)
		w.want(err, ErrMismatch)
	}
	m.Body, n.Body = n.Body, m.Body
	// A header that Open adds does not come from outside.
	n.SetHeader(HeaderFrom, []byte("root"))
	d, err := w.open(b, n)
	w.must(err)
	if string(d.Header(HeaderFrom)) != "orders" || len(d.Headers) != 4 {
		t.Errorf("%v", d.Headers)
	}
	w.opens(b, m, "one")
	// Somebody else's message.
	shipping := w.bare("shipping")
	x := w.seal(a, "billing", "three")
	_, err = w.open(shipping, x)
	w.want(err, ErrMismatch)
	first := w.seal(a, "shipping", "four")
	_, err = w.open(b, first)
	w.want(err, ErrMismatch)
	_, err = w.open(b, x, "shipping", "payments")
	w.want(err, ErrUntrusted)
}

// TestRollbackOfSender: a number that was used in a transaction that was rolled back is
// not used again by this process.
func TestRollbackOfSender(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "first"), "first")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		counters := map[uint32]bool{}
		note := func(m *bus.Message) {
			env, err := ParseEnvelope(m.Body)
			w.must(err)
			p, err := ratchet.Inspect(env.Body)
			w.must(err)
			if counters[p.Counter] {
				t.Errorf("number %d again", p.Counter)
			}
			counters[p.Counter] = true
		}
		for i := range 5 {
			lost := w.message("things", "k", "lost")
			w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
				w.must(a.Seal(ctx, tx, "billing", lost))
				return errAgain
			}), errAgain)
			note(lost)
			if i%2 == 0 {
				m := w.seal(a, "billing", "kept")
				note(m)
				w.opens(b, m, "kept")
			}
		}
		w.opens(b, w.seal(a, "billing", "last"), "last")
	})
}

// TestOutOfOrder: messages that were overtaken open later, for a time, and once.
func TestOutOfOrder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		var all []*bus.Message
		for i := range 6 {
			all = append(all, w.seal(a, "billing", fmt.Sprint(i)))
		}
		for _, i := range []int{3, 0, 5, 1} {
			w.opens(b, all[i], fmt.Sprint(i))
		}
		if n := w.count("skipped", "local = 'billing'"); n == 0 {
			t.Error("no skipped keys")
		}
		w.later(DefaultSkipped + time.Second)
		_, err := w.open(b, all[2])
		w.want(err, ErrExpired)
		w.must(b.Maintain(t.Context()))
		if n := w.count("skipped", "local = 'billing'"); n != 0 {
			t.Errorf("%d skipped keys are left", n)
		}
		_, err = w.open(b, all[4])
		w.want(err, ErrDuplicate)
	})
}

// TestDumpOpensNothing: who takes the database, and the storage key, after messages were
// consumed opens none of them.
func TestDumpOpensNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, p := range []ratchet.Profile{ratchet.SignalV4, ratchet.WaxwingHE} {
			a, b := w.service(fmt.Sprintf("orders%d", p), Profile(p)), w.service(fmt.Sprintf("billing%d", p), Profile(p))
			var captured []*bus.Message
			for i := range 4 {
				m := w.seal(a, b.Name(), fmt.Sprint(i))
				captured = append(captured, m)
			}
			for _, i := range []int{0, 2, 1, 3} {
				w.opens(b, captured[i], fmt.Sprint(i))
				_, err := w.open(a, w.seal(b, a.Name(), "back"))
				w.must(err)
			}
			for _, name := range []string{a.Name(), b.Name()} {
				thief := w.bare(name, Profile(p)) // has identity, storage key and rows
				for _, m := range captured {
					if _, err := w.open(thief, m); err == nil {
						t.Errorf("%s's rows open a message that was consumed", name)
					}
				}
			}
		}
		if n := w.count("skipped", "1 = 1"); n != 0 {
			t.Errorf("%d skipped keys are left", n)
		}
	})
}

// TestSimultaneous: both sides begin at once, and agree after a while.
func TestSimultaneous(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		for round := range 3 { // crossing each time
			x, y := w.seal(a, "billing", "there"), w.seal(b, "orders", "back")
			w.opens(b, x, "there")
			w.opens(a, y, "back")
			_ = round
		}
		w.opens(b, w.seal(a, "billing", "there"), "there")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		var tags [2][]byte
		for i, name := range []string{"orders", "billing"} {
			w.must(sqltx.One(t.Context(), w.db.Conn(), "SELECT tag FROM waxwing_seal_session WHERE local = ? AND slot = 0", []any{name}, &tags[i]))
		}
		if !bytes.Equal(tags[0], tags[1]) {
			t.Error("they seal with different sessions")
		}
		m := w.seal(a, "billing", "end")
		if env, _ := ParseEnvelope(m.Body); env.Kind != KindMessage {
			t.Error("still a handshake")
		}
		w.opens(b, m, "end")
	})
}

// TestHandshakeAgain: each of the first messages can begin the session, in any order, and
// several at once.
func TestHandshakeAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		var all []*bus.Message
		for i := range 4 {
			all = append(all, w.seal(a, "billing", fmt.Sprint(i)))
		}
		w.opens(b, all[2], "2")
		w.opens(b, all[0], "0")
		w.opens(b, all[3], "3")
		w.opens(b, all[1], "1")
		if n := w.count("session", "local = 'billing'"); n != 1 {
			t.Errorf("%d sessions", n)
		}
		c := w.service("shipping")
		all = nil
		for i := range 4 {
			all = append(all, w.seal(c, "billing", fmt.Sprint(i)))
		}
		errs := make(chan error)
		for _, m := range all {
			go func() {
				var err error
				for range 20 {
					if _, err = w.open(b, m); err == nil || !sqltx.Transient(err) && !errors.Is(err, ErrConflict) {
						break
					}
				}
				errs <- err
			}()
		}
		for range all {
			w.must(<-errs)
		}
	})
}

// TestNotSealed: a plain message is refused where a sealed one is expected.
func TestNotSealed(t *testing.T) {
	w := quick(t)
	a := w.service("orders", To("payments.*", "billing"), Expect("replies", "billing"))
	b := w.service("billing", Expect("payments.#", "orders"), To("replies", "orders"))
	deliver := func(at *endpoint, m bus.Message) (*bus.Delivery, error) {
		d := &bus.Delivery{Message: m}
		return d, w.inTx(func(ctx context.Context, tx *sql.Tx) error { return at.OpenDelivery(ctx, w.db.Bind(tx), d) })
	}
	plain := w.message("payments.new", "k", "plain")
	_, err := deliver(b, *plain)
	w.want(err, ErrNotSealed)
	plain.ContentType = ContentType
	plain.Topic = "others"
	_, err = deliver(b, *plain)
	w.want(err, ErrNotSealed)
	free := w.message("free", "k", "free")
	free.SetHeader(HeaderFrom, []byte("orders"))
	d, err := deliver(b, *free)
	w.must(err)
	if string(d.Body) != "free" || d.Header(HeaderFrom) != nil {
		t.Errorf("%+v", d)
	}
	msgs := []bus.Message{*w.message("payments.new", "k", "secret"), *w.message("free", "k", "free"), *w.message("payments.old", "l", "secret")}
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		msgs, err = a.SealEvents(ctx, w.db.Bind(tx), msgs)
		return err
	}))
	if len(msgs) != 3 || string(msgs[1].Body) != "free" || isEnvelope(msgs[1].Body) {
		t.Fatalf("%+v", msgs)
	}
	for _, i := range []int{0, 2} {
		d, err := deliver(b, msgs[i])
		w.must(err)
		if string(d.Body) != "secret" {
			t.Errorf("%s", d.Body)
		}
	}
	// From somebody who is trusted, but not for this topic.
	c := w.service("shipping", To("payments.new", "billing"))
	msgs = []bus.Message{*w.message("payments.new", "k", "secret")}
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
		_, err := c.SealEvents(ctx, w.db.Bind(tx), msgs)
		return err
	}))
	_, err = deliver(b, msgs[0])
	w.want(err, ErrUntrusted)
}

// TestHeals: who has stolen all rows, and the storage key, reads what comes until both
// sides have sealed something, and nothing after that.
func TestHeals(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "one"), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		stolen := w.dump()
		early := w.seal(a, "billing", "early")
		w.opens(b, early, "early")
		var greetings []bus.Message
		w.change(func(ctx context.Context, tx *sql.Tx) (err error) {
			greetings, err = b.Greet(ctx, tx, "orders")
			return err
		})
		if len(greetings) != 1 {
			t.Fatalf("%d greetings", len(greetings))
		}
		_, err := w.open(a, &greetings[0])
		w.must(err)
		late := w.seal(a, "billing", "late")
		w.opens(b, late, "late")
		w.restore(stolen, "billing")
		thief := w.bare("billing")
		w.opens(thief, early, "early")
		_, err = w.open(thief, late)
		w.want(err, ErrMismatch)
	})
}

// TestRenew: a peer that has lost its database is reached again.
func TestRenew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "one"), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		underWay := w.seal(b, "orders", "under way")
		_, err := w.pool.Exec("DELETE FROM waxwing_seal_session WHERE local = 'billing'")
		w.must(err)
		_, err = w.open(b, w.seal(a, "billing", "lost"))
		w.want(err, ErrNoSession)
		w.change(func(ctx context.Context, tx *sql.Tx) error { return a.Renew(ctx, tx, "billing") })
		w.opens(b, w.seal(a, "billing", "two"), "two")
		w.opens(a, underWay, "under way")
		w.opens(b, w.seal(a, "billing", "three"), "three")
		w.opens(a, w.seal(b, "orders", "back"), "back")
	})
}

// TestSealedOnce: what Greet returns goes through an outbox with a rule that fits its topic.
func TestSealedOnce(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders", To("billing.#", "billing")), w.service("billing")
	w.opens(b, w.seal(a, "billing", "one"), "one")
	w.opens(a, w.seal(b, "orders", "back"), "back")
	var out []bus.Message
	w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) (err error) {
		if out, err = a.Greet(ctx, tx, "billing"); err == nil {
			out, err = a.SealEvents(ctx, w.db.Bind(tx), append(out, *w.message("billing.things", "k", "text")))
		}
		return err
	}))
	d, err := w.open(b, &out[0])
	w.must(err)
	if len(d.Body) != 0 {
		t.Errorf("a greeting of %d bytes", len(d.Body))
	}
	w.opens(b, &out[1], "text")
}
