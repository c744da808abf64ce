package inbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal"
)

// kept is for how long messages that are put aside stay openable here.
const kept = 48 * time.Hour

// A sealedLab is a lab in which "orders" seals to "billing", and "news" to a group.
type sealedLab struct {
	*lab
	co      *sealtest.Company
	orders  *seal.Endpoint[*sql.Tx]
	billing *counting
	log     bytes.Buffer
	n       int
}

// counting is an endpoint that counts what it was asked to open, and to keep.
type counting struct {
	*seal.Endpoint[*sql.Tx]
	opens, pins int
}

func (c *counting) PinDelivery(ctx context.Context, conn sqltx.Conn, d *bus.Delivery) error {
	c.pins++
	return c.Endpoint.PinDelivery(ctx, conn, d)
}

func (c *counting) OpenDelivery(ctx context.Context, conn sqltx.Conn, d *bus.Delivery) error {
	c.opens++
	return c.Endpoint.OpenDelivery(ctx, conn, d)
}

func newSealedLab(t *testing.T, d sqltest.Database) *sealedLab {
	t.Helper()
	s := &sealedLab{lab: newLab(t, d)}
	s.co = sealtest.New(t, s.clock)
	s.orders = sealtest.Endpoint(s.co, s.db, "orders", seal.To("orders", "billing"), seal.ToGroup("news", "readers"))
	s.billing = &counting{Endpoint: sealtest.Endpoint(s.co, s.db, "billing", seal.Expect("orders", "orders"), seal.Expect("news"), seal.KeepParked(kept))}
	return s
}

// secretOf is what a message says.
func secretOf(id string) string { return "secret-" + id }

// inbox is one that opens, with a handler for "orders" that checks what it sees.
func (s *sealedLab) inbox(fail func(m *bus.Delivery) error, opts ...inbox.Option) *inbox.Inbox[*sql.Tx] {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	in := s.lab.inbox(func(m *bus.Delivery) error {
		if string(m.Body) != secretOf(m.ID) || string(m.Header(seal.HeaderFrom)) != "orders" || string(m.Header("tenant")) != "t-"+m.ID || m.ContentType != "text/plain" {
			s.t.Errorf("the handler sees %+v", m)
		}
		if fail != nil {
			return fail(m)
		}
		return nil
	}, append([]inbox.Option{inbox.Seal(s.billing), inbox.Logger(log)}, opts...)...)
	return in
}

// seal seals messages in one transaction, as an outbox does, and returns them as they
// are delivered, what goes in front too.
func (s *sealedLab) seal(topic, key string, ids ...string) (out []*bus.Delivery) {
	s.t.Helper()
	var msgs []bus.Message
	for _, id := range ids {
		msgs = append(msgs, bus.Message{Topic: topic, Key: key, ID: id, Source: "orders", Type: "order.placed", Time: s.clock(), ContentType: "text/plain",
			Headers: []bus.Header{{Name: "tenant", Value: []byte("t-" + id)}}, Body: []byte(secretOf(id))})
	}
	err := s.db.InTx(s.t.Context(), func(ctx context.Context, tx *sql.Tx) (err error) {
		msgs, err = s.orders.SealEvents(ctx, s.db.Bind(tx), msgs)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range msgs {
		s.n++
		m.SetHeader(bus.HeaderSequence, []byte("e1:"+strconv.Itoa(s.n)))
		out = append(out, &bus.Delivery{Message: m})
	}
	return out
}

// nothingLeft checks that rows and logs hold no plaintext, and the endpoint no keys of
// what is done.
func (s *sealedLab) nothingLeft(pinned int) {
	s.t.Helper()
	if strings.Contains(s.log.String(), "secret-") {
		s.t.Errorf("the log tells a secret:\n%s", &s.log)
	}
	for _, table := range []string{"waxwing_parked", "waxwing_inbox_event", "waxwing_inbox_key", "waxwing_seal_session", "waxwing_seal_pinned", "waxwing_seal_skipped"} {
		for _, row := range s.rows(table) {
			if strings.Contains(row, "secret-") || strings.Contains(row, "t-a") {
				s.t.Errorf("%s holds plaintext: %q", table, row)
			}
		}
	}
	if n := len(s.rows("waxwing_seal_pinned")); n != pinned {
		s.t.Errorf("%d messages are kept, want %d", n, pinned)
	}
	if n := len(s.rows("waxwing_seal_skipped")); n != 0 {
		s.t.Errorf("%d skipped keys are kept", n)
	}
}

// rows are the rows of a table, as texts.
func (s *sealedLab) rows(table string) (out []string) {
	s.t.Helper()
	rows, err := s.pool.Query("SELECT * FROM " + table)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		s.t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.RawBytes)
		}
		if err := rows.Scan(values...); err != nil {
			s.t.Fatal(err)
		}
		var b strings.Builder
		for _, v := range values {
			b.Write(*v.(*sql.RawBytes))
			b.WriteByte('|')
		}
		out = append(out, b.String())
	}
	slices.Sort(out)
	return out
}

// dead is the reason of the only dead letter.
func (s *sealedLab) dead(want string) {
	s.t.Helper()
	all, err := inbox.ListDeadLetters(s.t.Context(), s.db, inbox.Filter{})
	if err != nil || len(all) != 1 || !strings.Contains(all[0].Reason, want) {
		s.t.Fatalf("%+v, %v; want a dead letter for %q", all, err, want)
	}
}

func (s *sealedLab) replay() {
	s.t.Helper()
	if _, err := inbox.ReplayDeadLetters(s.t.Context(), s.db, inbox.Filter{}, inbox.ReplayOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// TestSealed: handlers see plaintext; a duplicate is not decrypted; what fails is put
// aside sealed, with those behind it, and handled later, in order.
func TestSealed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		fails := 2
		in := s.inbox(func(m *bus.Delivery) error {
			if m.ID == "a2" && fails > 0 {
				fails--
				return errBoom
			}
			return nil
		})
		a, b := s.seal("orders", "k", "a1", "a2", "a3", "a4"), s.seal("orders", "l", "b1")
		s.process(in, a[0], a[0])
		if s.billing.opens != 1 {
			t.Errorf("opened %d times", s.billing.opens)
		}
		s.process(in, a[1], a[2], a[1], b[0])
		s.want("a1", "b1")
		s.wantStates("a2:retry", "a3:waiting")
		s.nothingLeft(2)
		s.pass(time.Second)
		s.retry(in) // fails again
		s.process(in, a[3])
		s.wantStates("a2:retry", "a3:waiting", "a4:waiting")
		s.nothingLeft(3)
		s.pass(time.Minute)
		s.retry(in)
		s.want("a1", "b1", "a2", "a3", "a4")
		s.wantStates()
		s.nothingLeft(0)
		for _, m := range slices.Concat(a, b) { // it is consumed for good
			err := s.db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				c := *m
				return s.billing.Open(ctx, tx, &c)
			})
			if err == nil {
				t.Errorf("%s opens once more", m.ID)
			}
		}
	})
}

// TestSealedDeadLetter: a dead letter opens within its time, also if others have come
// since, and not after it.
func TestSealedDeadLetter(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		ill, calls := true, 0
		in := s.inbox(func(m *bus.Delivery) error {
			calls++
			if ill {
				return inbox.DeadLetter(errBoom)
			}
			return nil
		})
		s.process(in, s.seal("orders", "a", "a1")...)
		s.dead("boom")
		shown, err := inbox.ShowDeadLetter(t.Context(), s.db, 1)
		if err != nil || bytes.Contains(shown.Message.Body, []byte("secret")) || shown.Message.ContentType != seal.ContentType {
			t.Fatal(shown, err)
		}
		s.pass(kept - time.Minute)
		s.replay()
		s.retry(in) // and dies again
		s.dead("boom")
		ill = false
		s.replay()
		s.retry(in)
		s.want("a1")
		s.nothingLeft(0)

		ill = true
		s.process(in, s.seal("orders", "a", "a2")...)
		s.dead("boom")
		if err := s.billing.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.pass(kept + time.Minute)
		if err := s.billing.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		ill, calls = false, 0
		s.replay()
		s.retry(in)
		s.dead("expired")
		s.pass(40 * 24 * time.Hour) // nothing is left that says why
		if err := s.billing.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := inbox.ReplayDeadLetters(t.Context(), s.db, inbox.Filter{}, inbox.ReplayOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		s.retry(in)
		s.dead("")
		if calls != 0 {
			t.Error("the handler was called")
		}
		s.want("a1")
	})
}

// TestSealedReject: what is rejected, at once or when it is tried again, cannot be
// opened any more, nor what nobody handles.
func TestSealedReject(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		verdict := inbox.Reject(errBoom)
		in := s.inbox(func(m *bus.Delivery) error { return verdict })
		all := s.seal("orders", "k", "a1", "a2", "a3", "a4")
		s.process(in, all[0])
		verdict = errBoom
		s.process(in, all[1])
		s.nothingLeft(1)
		verdict = inbox.Reject(errBoom)
		s.pass(time.Second)
		s.retry(in)
		s.wantStates()
		s.want()
		s.nothingLeft(0)
		nobody, err := inbox.New(s.db, "audit", inbox.Seal(s.billing))
		if err != nil {
			t.Fatal(err)
		}
		nobody.Handle("orders", "another", func(context.Context, *sql.Tx, *bus.Delivery) error { return errBoom })
		s.process(nobody, all[2])
		verdict = inbox.DeadLetter(errBoom)
		s.process(in, s.seal("orders", "l", "a5")...)
		s.nothingLeft(1)
		if ids, err := in.DropDeadLetters(t.Context(), inbox.Filter{}, false); err != nil || len(ids) != 1 {
			t.Fatal(ids, err)
		}
		verdict = nil
		s.process(in, all[3])
		s.want("a4")
		s.nothingLeft(0)
	})
}

// TestSealedRefused: what is plain, changed, or by somebody else is a dead letter and
// no handler sees it; those behind it are handled once it is dropped.
func TestSealedRefused(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		for what, step := range map[string]struct {
			change func(s *sealedLab, m *bus.Delivery)
			reason string
		}{
			"plain":     {func(_ *sealedLab, m *bus.Delivery) { m.Body, m.ContentType = []byte(secretOf(m.ID)), "text/plain" }, "not sealed"},
			"changed":   {func(_ *sealedLab, m *bus.Delivery) { m.Body = bytes.Clone(m.Body); m.Body[len(m.Body)-9] ^= 1 }, "damaged or forged"},
			"moved":     {func(_ *sealedLab, m *bus.Delivery) { m.ID = "b9" }, "damaged or forged"},
			"untrusted": {func(s *sealedLab, m *bus.Delivery) { s.byStranger(m) }, "not trusted"},
		} {
			t.Run(what, func(t *testing.T) {
				s := newSealedLab(t, sqltest.New(t, d.Dialect))
				in := s.inbox(nil)
				all := s.seal("orders", "k", "a1", "a2", "a3")
				step.change(s, all[1])
				s.process(in, all...)
				s.want("a1")
				s.dead(step.reason)
				ids, err := inbox.DropDeadLetters(t.Context(), s.db, inbox.Filter{Consumer: "billing"}, false)
				if err != nil || len(ids) != 1 {
					t.Fatal(ids, err)
				}
				s.retry(in)
				s.want("a1", "a3")
				s.wantStates()
			})
		}
	})
}

// byStranger has a message sealed by somebody whom nobody expects.
func (s *sealedLab) byStranger(m *bus.Delivery) {
	s.t.Helper()
	stranger := sealtest.Endpoint(s.co, s.db, "stranger")
	plain := bus.Message{Topic: m.Topic, Key: m.Key, ID: m.ID, Type: m.Type, ContentType: "text/plain", Body: []byte(secretOf(m.ID))}
	err := s.db.InTx(s.t.Context(), func(ctx context.Context, tx *sql.Tx) error { return stranger.Seal(ctx, tx, "billing", &plain) })
	if err != nil {
		s.t.Fatal(err)
	}
	m.Body = plain.Body
}

// TestSealedGroup: a group's message that comes before its key is tried again; keys are
// received by the way, by each inbox that has the endpoint.
func TestSealedGroup(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		err := s.db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return s.orders.Group("readers").Add(ctx, tx, "billing") })
		if err != nil {
			t.Fatal(err)
		}
		in := s.inbox(nil)
		in.Handle("news", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
			if string(m.Body) != secretOf(m.ID) {
				t.Errorf("%+v", m)
			}
			return s.write(ctx, tx, m)
		})
		other, err := inbox.New(s.db, "other", inbox.Seal(s.billing))
		if err != nil {
			t.Fatal(err)
		}
		all := s.seal("news", "k", "a1", "a2")
		if len(all) != 3 || all[0].Topic != s.billing.ControlTopic() {
			t.Fatal(all)
		}
		s.process(in, all[1], all[2])
		s.wantStates("a1:retry", "a2:waiting")
		s.process(in, all[0], all[0])
		s.process(other, all[0])
		s.wantStates("a1:retry", "a2:waiting")
		s.pass(time.Second)
		s.retry(in)
		s.want("a1", "a2")
		s.wantStates()
		s.nothingLeft(0)
	})
}

// TestSealedDuplicate: what is sent again is a duplicate, whatever its sequence and source
// say. What was opened before, although nothing says that this consumer has handled it,
// is a dead letter, as its effect would be lost.
func TestSealedDuplicate(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		ill := false
		in := s.inbox(func(*bus.Delivery) error {
			if ill {
				return errBoom
			}
			return nil
		})
		all := s.seal("orders", "k", "a1", "a2")
		s.process(in, all...)
		again := *all[1]
		again.Headers = slices.Clone(again.Headers)
		again.SetHeader(bus.HeaderSequence, []byte("e2:1")) // its producer was restored
		again.Source = "elsewhere"
		s.process(in, &again, &again)
		s.want("a1", "a2")
		s.wantStates()

		// Also if its key is put aside.
		ill = true
		s.process(in, s.seal("orders", "k", "c1")...)
		ill = false
		s.process(in, &again)
		s.wantStates("c1:retry")
		s.pass(time.Second)
		s.retry(in)
		s.want("a1", "a2", "c1")

		// Later than rows are kept.
		s.pass(8 * 24 * time.Hour)
		if n, err := in.Cleanup(t.Context()); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		s.process(in, all[0])
		s.dead("opened before")
		if _, err := in.DropDeadLetters(t.Context(), inbox.Filter{}, false); err != nil {
			t.Fatal(err)
		}

		// A second consumer with the same endpoint.
		m := s.seal("orders", "k", "a3")[0]
		s.process(in, m)
		second, err := inbox.New(s.db, "audit", inbox.Seal(s.billing))
		if err != nil {
			t.Fatal(err)
		}
		second.Handle("orders", "", func(context.Context, *sql.Tx, *bus.Delivery) error {
			t.Error("it was opened twice")
			return nil
		})
		s.process(second, m)
		s.dead("opened before")
		s.want("a1", "a2", "c1", "a3")
	})
}

// TestSealedNotDisplaced: who may publish to a topic cannot have a genuine message taken
// for seen, by one of its id and sequence that comes first, or of later ones.
func TestSealedNotDisplaced(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		err := s.db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return s.orders.Group("readers").Add(ctx, tx, "billing") })
		if err != nil {
			t.Fatal(err)
		}
		in := s.inbox(nil, inbox.Unordered())
		in.Handle("news", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error { return s.write(ctx, tx, m) })
		all := s.seal("orders", "k", "a1", "a2", "a3")
		group := s.seal("news", "k", "b1", "b2")
		s.process(in, all[0], group[0])
		forged := func(of, body *bus.Delivery, sequence string, flip int) *bus.Delivery {
			m := *of
			m.Body = bytes.Clone(body.Body)
			m.Body[len(m.Body)-1-flip] ^= 1
			m.Headers = slices.Clone(m.Headers)
			m.SetHeader(bus.HeaderSequence, []byte(sequence))
			return &m
		}
		plain := *all[1]
		plain.Body = []byte("plain")
		s.process(in, &plain)
		for _, f := range []*bus.Delivery{
			forged(all[1], all[1], "e1:2", 9),   // changed
			forged(all[1], all[0], "e1:2", 9),   // of what was opened
			forged(all[2], all[2], "e1:999", 9), // of a later place
			forged(group[1], group[1], "e1:999", 9),
		} {
			s.process(in, f)
		}
		err = s.db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return s.orders.Group("readers").Rotate(ctx, tx) })
		if err != nil {
			t.Fatal(err)
		}
		control := *group[0]
		again := s.seal("news", "k", "b3")
		if len(again) != 2 {
			t.Fatal(len(again))
		}
		control.ID, control.Headers = again[0].ID, again[0].Headers // opened before, says it
		s.process(in, &control)
		s.process(in, all[1], all[2], group[1], group[2], again[0], again[1])
		s.want("a1", "a2", "a3", "b1", "b2", "b3")
	})
}

// TestSealedForgedOnce: what cannot be authentic is not tried a second time to keep it.
func TestSealedForgedOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		in := s.inbox(nil)
		all := s.seal("orders", "k", "a1", "a2")
		all[0].Body[len(all[0].Body)-9] ^= 1
		s.process(in, all[0])
		s.dead("damaged or forged")
		if s.billing.opens != 1 || s.billing.pins != 0 {
			t.Errorf("opened %d times, kept %d times", s.billing.opens, s.billing.pins)
		}
	})
}

// TestSealedBatch: several messages share a transaction, which leaves nothing of the
// sessions if it is undone.
func TestSealedBatch(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newSealedLab(t, d)
		ill := true
		in := s.inbox(func(m *bus.Delivery) error {
			if ill && m.ID == "a3" {
				return errBoom
			}
			return nil
		})
		s.process(in, s.seal("orders", "k", "a0")...)
		all := append(s.seal("orders", "k", "a1", "a2", "a3"), s.seal("orders", "l", "b1")...)
		before := s.rows("waxwing_seal_session")
		if n, err := in.ProcessBatch(t.Context(), all); n != 0 || err == nil {
			t.Fatal(n, err)
		}
		if !slices.Equal(before, s.rows("waxwing_seal_session")) {
			t.Error("a batch that was undone has left something")
		}
		s.batch(in, all...)
		s.want("a0", "a1", "a2", "b1")
		s.wantStates("a3:retry")
		s.nothingLeft(1)
		ill = false
		s.pass(time.Second)
		s.retry(in)
		s.batch(in, append(s.seal("orders", "k", "a4", "a5"), all...)...)
		s.want("a0", "a1", "a2", "b1", "a3", "a4", "a5")
		s.nothingLeft(0)
	})
}

// TestSealedErrors: neither what JSON does not take nor what a panic tells is kept.
func TestSealedErrors(t *testing.T) {
	s := newSealedLab(t, sqltest.New(t, "sqlite"))
	in := s.inbox(nil, inbox.Unordered())
	type card struct{ Number int8 }
	inbox.Handle(in, "orders", "card", func(context.Context, *sql.Tx, card, *bus.Delivery) error { return nil })
	in.Handle("orders", "panic", func(_ context.Context, _ *sql.Tx, m *bus.Delivery) error { panic("saw " + string(m.Body)) })
	in.Handle("orders", "runtime", func(_ context.Context, _ *sql.Tx, m *bus.Delivery) error { return []error{errBoom}[len(m.Body)] })
	for n, step := range []struct{ kind, body, want string }{
		{"card", `{"Number": 4111}`, `field "Number" is a number`},
		{"card", `{"Number": secret-4111`, "no JSON from byte"},
		{"panic", "secret-4111", "panicked: a value of type string"},
		{"runtime", "secret-4111", "index out of range"},
	} {
		m := bus.Message{Topic: "orders", Key: "k", ID: fmt.Sprint("a", n), Type: step.kind, Body: []byte(step.body)}
		if err := s.db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return s.orders.Seal(ctx, tx, "billing", &m) }); err != nil {
			t.Fatal(err)
		}
		s.process(in, &bus.Delivery{Message: m})
		all, err := inbox.ListDeadLetters(t.Context(), s.db, inbox.Filter{All: true})
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		got := all[len(all)-1].Reason
		if !strings.Contains(got, step.want) || strings.Contains(got, "4111") || strings.Contains(s.log.String(), "4111") {
			t.Errorf("%s: %q", step.body, got)
		}
		if _, err := inbox.DropDeadLetters(t.Context(), s.db, inbox.Filter{Consumer: "billing", All: true}, false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSealedConflict: another transaction in the way of a session is no failure of the
// message.
func TestSealedConflict(t *testing.T) {
	s := newSealedLab(t, sqltest.New(t, "sqlite"))
	ep := &conflicting{Opener: s.billing, left: 3}
	calls := 0
	in := s.inbox(func(*bus.Delivery) error { calls++; return nil }, inbox.Seal(ep))
	s.process(in, s.seal("orders", "k", "a1")...)
	s.want("a1")
	if ep.left != 0 || calls != 1 {
		t.Error(ep.left, calls)
	}
}

// conflicting is an endpoint that fails some times.
type conflicting struct {
	inbox.Opener
	left int
}

type conflict struct{ error }

func (conflict) Duplicate() bool { return false }
func (conflict) Permanent() bool { return false }
func (conflict) Transient() bool { return true }

func (c *conflicting) OpenDelivery(ctx context.Context, conn sqltx.Conn, d *bus.Delivery) error {
	if c.left > 0 {
		c.left--
		return conflict{errors.New("another was faster")}
	}
	return c.Opener.OpenDelivery(ctx, conn, d)
}
