package inbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// TestVerdicts: what a handler returns decides.
func TestVerdicts(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(func(m *bus.Delivery) error {
			switch m.ID {
			case "rejected":
				return fmt.Errorf("wrapped: %w", inbox.Reject(errBoom))
			case "dead":
				return inbox.DeadLetter(errBoom)
			case "later":
				return inbox.Retry(time.Hour, nil)
			case "panics":
				panic("oh")
			}
			return nil
		})
		for range 2 {
			l.process(in, msg("rejected", "r"), msg("r2", "r"), msg("dead", "d"), msg("d2", "d"), msg("later", "l"), msg("panics", "p"))
		}
		l.want("r2")
		l.wantStates("dead:dead", "d2:waiting", "later:retry", "panics:retry")
		all, err := inbox.ListDeadLetters(t.Context(), l.db, inbox.Filter{All: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := all[2].DueAt.Sub(l.clock()); got != time.Hour {
			t.Errorf("later is due in %v", got)
		}
		if all[0].Reason != "boom" || !strings.Contains(all[3].Reason, "the handler panicked: oh") {
			t.Errorf("reasons: %q, %q", all[0].Reason, all[3].Reason)
		}
	})
}

// TestRejectLater: a message that was put aside may be rejected too.
func TestRejectLater(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		calls := 0
		in := l.inbox(func(m *bus.Delivery) error {
			if m.ID != "a" {
				return nil
			}
			if calls++; calls == 1 {
				return errBoom
			}
			return inbox.Reject(errBoom)
		})
		l.process(in, msg("a", "k"), msg("b", "k"))
		l.pass(time.Second)
		l.retry(in)
		l.process(in, msg("a", "k"))
		l.want("b")
		l.wantStates()
	})
}

// TestBackoff: pauses double up to their bound, and after the last attempt there is a
// dead letter.
func TestBackoff(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		var calls atomic.Int64
		in := l.inbox(func(*bus.Delivery) error { calls.Add(1); return errBoom },
			inbox.Backoff(time.Second, 4*time.Second), inbox.MaxAttempts(6))
		l.process(in, msg("a", "k"))
		var pauses []time.Duration // with no random part: the half
		for calls.Load() < 6 {
			all, err := inbox.ListDeadLetters(t.Context(), l.db, inbox.Filter{All: true})
			if err != nil || len(all) != 1 {
				t.Fatal(all, err)
			}
			pause := all[0].DueAt.Sub(l.clock())
			pauses = append(pauses, pause)
			l.pass(pause - time.Microsecond)
			l.retry(in)
			if got := calls.Load(); got != int64(len(pauses)) {
				t.Fatalf("%d calls before it was due", got)
			}
			l.pass(time.Microsecond)
			l.retry(in)
		}
		ms := time.Millisecond
		if want := []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 2000 * ms, 2000 * ms}; !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
		l.wantStates("a:dead")
		l.pass(24 * time.Hour)
		l.retry(in)
		l.wantStates("a:dead")
	})
}

type placed struct{ N int }

// TestTyped: events are JSON, and what is none is a dead letter.
func TestTyped(t *testing.T) {
	l := newLab(t, sqltest.New(t, "sqlite"))
	in, err := inbox.New(l.db, "billing")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	inbox.Handle(in, "orders", "order.placed", func(_ context.Context, _ *sql.Tx, p placed, m *bus.Delivery) error {
		sum += p.N
		return nil
	})
	broken, other := msg("b", "b"), msg("c", "c")
	broken.Body, other.Type = []byte("{"), "order.shipped"
	l.process(in, msg("a", "a"), broken, other)
	if sum != 1 {
		t.Errorf("sum %d", sum)
	}
	l.wantStates("b:dead")
	defer func() {
		if recover() == nil {
			t.Error("a second handler for the same type is taken")
		}
	}()
	in.Handle("orders", "order.placed", func(context.Context, *sql.Tx, *bus.Delivery) error { return nil })
}

// TestOptions: what contradicts itself is refused.
func TestOptions(t *testing.T) {
	l := newLab(t, sqltest.New(t, "sqlite"))
	for name, opts := range map[string][]inbox.Option{
		"shorter than the redelivery horizon": {inbox.Retention(time.Hour)},
		"24h0m0s is shorter than":             {inbox.Retention(24 * time.Hour), inbox.RedeliveryHorizon(48 * time.Hour)},
		"RedeliveryHorizon must":              {inbox.RedeliveryHorizon(0)},
		"Lanes":                               {inbox.Lanes(0)},
		"Batch":                               {inbox.Batch(0)},
		"InPlace":                             {inbox.InPlace(0)},
		"MaxAttempts":                         {inbox.MaxAttempts(0)},
		"Backoff":                             {inbox.Backoff(time.Second, time.Millisecond)},
		"Poll":                                {inbox.Poll(0)},
	} {
		if _, err := inbox.New(l.db, "billing", opts...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 101)} {
		if _, err := inbox.New(l.db, name); err == nil {
			t.Errorf("the consumer %q is taken", name)
		}
	}
	if _, err := inbox.New(l.db, "billing", inbox.Retention(48*time.Hour), inbox.RedeliveryHorizon(48*time.Hour)); err != nil {
		t.Error(err)
	}
}
