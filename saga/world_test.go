package saga_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/saga"
)

// desk is an engine whose participant is the test.
type desk struct {
	t     *testing.T
	clock *clock
	eng   *saga.Engine[*sql.Tx]
	*service
	sent map[string]bus.Message // commands, by "saga step op attempt"
	news []string               // those of them since the last look
	n    int                    // of replies
}

func newDesk(t *testing.T, d sqltest.Database, opts ...saga.Option) *desk {
	k := &desk{t: t, clock: newClock(), service: newService(t, d, "desk"), sent: map[string]bus.Message{}}
	k.engine(opts...)
	k.eng.Bind(k.ib)
	return k
}

// engine makes a new engine, as a process that starts does.
func (k *desk) engine(opts ...saga.Option) {
	k.eng = saga.NewEngine(k.db, k.ob, "replies", append([]saga.Option{saga.Clock(k.clock.Now)}, opts...)...)
}

func start[S any](k *desk, d *saga.Definition[S], id string, s S) error {
	return k.db.InTx(k.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return saga.Start(ctx, k.eng, tx, d, id, s)
	})
}

// look wants exactly these commands to have been sent since the last look.
func (k *desk) look(want ...string) {
	k.t.Helper()
	k.news = nil
	for _, m := range k.take(k.t) {
		name := fmt.Sprintf("%s %s %s %s", m.Header(saga.HeaderSaga), m.Header(saga.HeaderStep), m.Header(saga.HeaderOp), m.Header(saga.HeaderAttempt))
		k.sent[name] = m
		k.news = append(k.news, name)
	}
	slices.Sort(k.news)
	slices.Sort(want)
	if !slices.Equal(k.news, want) {
		k.t.Fatalf("sent: %q, want %q", k.news, want)
	}
}

// answer answers a command that was sent.
func (k *desk) answer(command, outcome string, reply any) {
	k.t.Helper()
	c, ok := k.sent[command]
	if !ok {
		k.t.Fatalf("%q was not sent", command)
	}
	k.n++
	m := bus.Message{Topic: string(c.Header(saga.HeaderReplyTo)), ID: fmt.Sprint("reply-", k.n), Type: saga.ReplyType, Headers: slices.Clone(c.Headers)}
	m.SetHeader(saga.HeaderOutcome, []byte(outcome))
	m.Body, _ = json.Marshal(reply)
	if err := k.ib.Process(k.t.Context(), &bus.Delivery{Message: m}); err != nil {
		k.t.Fatal(err)
	}
}

// pass lets time pass.
func (k *desk) pass(d time.Duration) {
	k.t.Helper()
	k.clock.now = k.clock.now.Add(d)
	if _, err := k.eng.FireTimers(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// is wants an instance to be in a state, and its steps in these.
func (k *desk) is(id, state string, want ...string) *saga.Instance {
	k.t.Helper()
	in, err := saga.Show(k.t.Context(), k.db, id)
	if err != nil {
		k.t.Fatal(err)
	}
	var got []string
	for _, s := range in.Steps {
		got = append(got, s.Name+" "+s.Status)
	}
	if in.State != state || want != nil && !slices.Equal(got, want) {
		k.t.Fatalf("%s is %s, %q; want %s, %q", id, in.State, got, state, want)
	}
	return in
}

// order is the state of the sagas of these tests.
type order struct {
	ID     string
	Charge string
}

func build(topic, kind string) saga.Builder[order] {
	return func(o order) (saga.Command, error) { return saga.Command{Topic: topic, Type: kind, Data: o}, nil }
}

var quick = []saga.StepOption{saga.Timeout(10 * time.Second), saga.Attempts(2), saga.Backoff(time.Second, time.Second)}

func checkout(version int) *saga.Definition[order] {
	return saga.Define[order]("checkout", version).
		Step("reserve", build("stock", "reserve"), build("stock", "release"), quick...).
		Pivot("charge", build("payments", "charge"), append(quick, saga.OnReply(func(o *order, charge string) error {
			if charge == "" {
				return errors.New("no charge")
			}
			o.Charge = charge
			return nil
		}))...).
		Step("ship", build("stock", "ship"), nil, quick...)
}

func register(t *testing.T, k *desk, defs ...saga.AnyDefinition) {
	t.Helper()
	if err := k.eng.Register(defs...); err != nil {
		t.Fatal(err)
	}
}

// TestForward: steps come one after the other, what replies say is kept, and
// replies that come again change nothing.
func TestForward(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		k, def := newDesk(t, d), checkout(1)
		register(t, k, def)
		for range 2 { // the second does nothing
			if err := start(k, def, "o1", order{ID: "o1"}); err != nil {
				t.Fatal(err)
			}
		}
		k.look("o1 reserve action 1")
		if m := k.sent["o1 reserve action 1"]; m.Key != "o1" || m.Topic != "stock" || m.Type != "reserve" || string(m.Body) != `{"ID":"o1","Charge":""}` {
			t.Fatalf("%+v", m)
		}
		k.answer("o1 reserve action 1", "ok", nil)
		k.look("o1 charge action 1")
		k.answer("o1 reserve action 1", "ok", nil)
		k.look()
		k.answer("o1 charge action 1", "ok", "c7")
		k.look("o1 ship action 1")
		if m := k.sent["o1 ship action 1"]; !strings.Contains(string(m.Body), "c7") || string(m.Header(saga.HeaderAgain)) != "1" {
			t.Fatalf("%+v", m)
		}
		k.is("o1", "running", "reserve done", "charge done", "ship sent")
		k.answer("o1 ship action 1", "ok", nil)
		k.look()
		k.is("o1", "completed")
		k.pass(6 * 24 * time.Hour)
		k.is("o1", "completed")
		k.pass(24 * time.Hour)
		if _, err := saga.Show(t.Context(), k.db, "o1"); !errors.Is(err, saga.ErrNotFound) {
			t.Fatal("it is kept for ever: ", err)
		}
		k.answer("o1 ship action 1", "ok", nil) // to nobody
	})
}

// TestBackward: a rejection, and a reply that does not come, turn it back.
func TestBackward(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		k, def := newDesk(t, d), checkout(1)
		register(t, k, def)
		for _, id := range []string{"a", "b"} {
			if err := start(k, def, id, order{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		k.look("a reserve action 1", "b reserve action 1")
		k.answer("a reserve action 1", "ok", nil)
		k.look("a charge action 1")
		k.answer("a charge action 1", "rejected", nil)
		k.look("a reserve compensate 1")
		k.is("a", "compensating", "reserve undoing", "charge refused", "ship ")
		if m := k.sent["a reserve compensate 1"]; m.Key != "a/compensate" || m.Type != "release" {
			t.Fatalf("%+v", m)
		}
		k.answer("a reserve compensate 1", "ok", nil)
		if in := k.is("a", "compensated", "reserve undone", "charge refused", "ship "); in.Reason != "charge: rejected" {
			t.Fatal(in.Reason)
		}

		k.pass(9 * time.Second)
		k.look()
		k.pass(time.Second) // b's reservation has an unknown outcome
		k.look("b reserve compensate 1")
		k.answer("b reserve action 1", "ok", nil) // too late
		k.look()
		k.answer("b reserve compensate 1", "ok", nil)
		k.is("b", "compensated", "reserve undone", "charge ", "ship ")
		k.look()
	})
}

// TestAttention: what fails too often needs an operator, who has it tried again, or
// says that it is done. Nothing is dropped.
func TestAttention(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		ctx := t.Context()
		var log strings.Builder
		k, def := newDesk(t, d, saga.Logger(slog.New(slog.NewTextHandler(&log, nil)))), checkout(1)
		register(t, k, def)
		if err := start(k, def, "a", order{}); err != nil {
			t.Fatal(err)
		}
		k.look("a reserve action 1")
		if err := saga.Retry(ctx, k.db, "a"); !errors.Is(err, saga.ErrNotStuck) {
			t.Fatal(err)
		}
		if err := saga.Skip(ctx, k.db, "nobody"); !errors.Is(err, saga.ErrNotFound) {
			t.Fatal(err)
		}
		k.answer("a reserve action 1", "rejected", nil)
		k.is("a", "compensated") // with nothing to undo

		if err := start(k, def, "b", order{}); err != nil {
			t.Fatal(err)
		}
		k.look("b reserve action 1")
		k.answer("b reserve action 1", "ok", nil)
		k.look("b charge action 1")
		k.answer("b charge action 1", "rejected", nil)
		k.look("b reserve compensate 1")
		k.answer("b reserve compensate 1", "failed", nil)
		k.pass(time.Second)
		k.look("b reserve compensate 2")
		k.pass(10 * time.Second)
		k.look()
		k.is("b", "attention", "reserve undo-stuck", "charge refused", "ship ")
		if err := saga.Retry(ctx, k.db, "b"); err != nil {
			t.Fatal(err)
		}
		k.pass(0)
		k.look("b reserve compensate 3")
		k.is("b", "compensating")
		k.answer("b reserve compensate 1", "failed", nil) // of long ago
		k.is("b", "compensating")
		k.answer("b reserve compensate 3", "rejected", nil)
		k.pass(time.Second)
		k.look("b reserve compensate 4")
		k.answer("b reserve compensate 4", "rejected", nil)
		k.is("b", "attention")
		if err := saga.Skip(ctx, k.db, "b"); err != nil {
			t.Fatal(err)
		}
		k.pass(0)
		k.look()
		k.is("b", "compensated", "reserve undo-skipped", "charge refused", "ship ")
		k.look()
		const told = `level=WARN msg="saga: a step needs an operator" saga=b name=checkout step=reserve status=undo-stuck reason=`
		if n := strings.Count(log.String(), told); n != 2 {
			t.Errorf("told %d times, want 2:\n%s", n, &log)
		}
	})
}

// TestAfterPivot: there is only forward.
func TestAfterPivot(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		k, def := newDesk(t, d), checkout(1)
		register(t, k, def)
		if err := start(k, def, "a", order{}); err != nil {
			t.Fatal(err)
		}
		k.look("a reserve action 1")
		k.answer("a reserve action 1", "ok", nil)
		k.look("a charge action 1")
		k.pass(10 * time.Second) // its outcome must be found out
		k.look()
		k.pass(time.Second)
		k.look("a charge action 2")
		k.answer("a charge action 1", "rejected", nil) // the second attempt gets its own answer
		k.is("a", "running")
		k.answer("a charge action 1", "ok", "") // the state cannot use it
		k.is("a", "attention", "reserve done", "charge stuck", "ship ")
		k.answer("a charge action 2", "ok", "c1")
		k.look("a ship action 1")
		k.answer("a ship action 1", "rejected", nil)
		k.pass(time.Second)
		k.look("a ship action 2")
		k.answer("a ship action 2", "failed", nil)
		k.is("a", "attention", "reserve done", "charge done", "ship stuck")
		if err := saga.Skip(t.Context(), k.db, "a"); err != nil {
			t.Fatal(err)
		}
		k.answer("a ship action 2", "ok", nil) // before an engine has seen the request
		k.is("a", "completed", "reserve done", "charge done", "ship done")
		k.pass(time.Minute)
		k.is("a", "completed")
	})
}

// TestKeepForever: a request that comes too late does not remove what is kept.
func TestKeepForever(t *testing.T) {
	k := newDesk(t, sqltest.New(t, "sqlite"), saga.Keep(0))
	def := saga.Define[order]("one", 1).Pivot("s", build("x", "s"), saga.Attempts(1), saga.Timeout(time.Second))
	register(t, k, def)
	if err := start(k, def, "a", order{}); err != nil {
		t.Fatal(err)
	}
	k.look("a s action 1")
	k.pass(time.Second)
	k.is("a", "attention", "s stuck")
	if err := saga.Retry(t.Context(), k.db, "a"); err != nil {
		t.Fatal(err)
	}
	k.answer("a s action 1", "ok", nil)
	k.look()
	k.pass(1000 * time.Hour)
	k.is("a", "completed", "s done")
}
