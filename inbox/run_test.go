package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A queue is a subscriber that hands out what it holds, in order, each until it is
// acknowledged.
type queue struct {
	ch   chan *bus.Delivery
	seen bus.Subscription
	left atomic.Int64 // that are not acknowledged
}

func newQueue(ds ...*bus.Delivery) *queue {
	q := &queue{ch: make(chan *bus.Delivery, 100)}
	q.put(ds...)
	return q
}

func (q *queue) put(ds ...*bus.Delivery) {
	for _, d := range ds {
		q.left.Add(1)
		q.ch <- d
	}
}

func (q *queue) System() string { return "kafka" }

func (q *queue) Subscribe(ctx context.Context, s bus.Subscription, h bus.Handler) error {
	q.seen = s
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-q.ch:
			for done := 0; done == 0 && ctx.Err() == nil; {
				if done, _ = h(ctx, []*bus.Delivery{d}); done == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			q.left.Add(-1)
		}
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come about: ", what)
		}
	}
}

// TestRun: it receives, puts aside, and tries again by itself.
func TestRun(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		var calls atomic.Int64
		in := l.inbox(func(m *bus.Delivery) error {
			if m.ID == "a" && calls.Add(1) < 3 {
				return errBoom
			}
			return nil
		}, inbox.Clock(time.Now), inbox.Backoff(time.Millisecond, time.Millisecond), inbox.Poll(10*time.Millisecond), inbox.Lanes(3), inbox.Logger(slog.New(slog.DiscardHandler)))
		q := newQueue(msg("a", "k"), msg("b", "k"), msg("c", "other"))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := in.Run(ctx, q); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "three effects", func() bool { return len(l.ledger()) == 3 })
		cancel()
		wg.Wait()
		if s := q.seen; s.Group != "billing" || fmt.Sprint(s.Topics) != "[orders]" || s.Lanes != 3 || s.Batch != 16 || s.PerPartition {
			t.Errorf("%+v", s)
		}
	})
}

// TestRunRefuses: an inbox without handlers, or tables, does not run.
func TestRunRefuses(t *testing.T) {
	d := sqltest.New(t, "sqlite")
	db, pool, err := sqldb.Open(d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	in, err := inbox.New(db, "billing")
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Run(t.Context(), newQueue()); err == nil {
		t.Error("it runs without handlers")
	}
	in.Handle("orders", "", func(context.Context, *sql.Tx, *bus.Delivery) error { return nil })
	if err := in.Run(t.Context(), newQueue()); !errors.Is(err, sqldb.ErrMigrate) {
		t.Error(err)
	}
}

// TestDatabaseGone: a message is not acknowledged when the database does not answer.
func TestDatabaseGone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(func(m *bus.Delivery) error { l.pool.Close(); return errBoom })
		if err := in.Process(t.Context(), msg("a", "k")); err == nil {
			t.Error("the failure was acknowledged, but nothing is put aside")
		}
		if err := in.Process(t.Context(), msg("b", "k")); err == nil {
			t.Error("acknowledged")
		}
	})
}

// TestMetrics: what is counted.
func TestMetrics(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(func(m *bus.Delivery) error {
			switch m.ID {
			case "dead":
				return inbox.DeadLetter(errBoom)
			case "later":
				return errBoom
			}
			return nil
		})
		nobody := msg("x", "")
		nobody.Topic = "other"
		l.process(in, msg("a", "k"), msg("a", "k"), msg("dead", "d"), msg("behind", "d"), msg("later", "l"), nobody, seq("s", "k", 1))
		l.pass(time.Second)
		l.retry(in)
		l.pass(time.Minute)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(in.Collector())
		want := `
# HELP waxwing_dlq_depth Dead letters.
# TYPE waxwing_dlq_depth gauge
waxwing_dlq_depth{consumer="billing"} 1
# HELP waxwing_dlq_oldest_age_seconds Age of the oldest dead letter, 0 if there is none.
# TYPE waxwing_dlq_oldest_age_seconds gauge
waxwing_dlq_oldest_age_seconds{consumer="billing"} 61
# HELP waxwing_inbox_duplicates_total Messages that were seen before and skipped.
# TYPE waxwing_inbox_duplicates_total counter
waxwing_inbox_duplicates_total{consumer="billing"} 1
# HELP waxwing_inbox_parked_keys Keys, and messages without a key, that are put aside.
# TYPE waxwing_inbox_parked_keys gauge
waxwing_inbox_parked_keys{consumer="billing"} 2
# HELP waxwing_inbox_retries_total Attempts after the first.
# TYPE waxwing_inbox_retries_total counter
waxwing_inbox_retries_total{consumer="billing"} 1
# HELP waxwing_inbox_rows Rows that say what was seen.
# TYPE waxwing_inbox_rows gauge
waxwing_inbox_rows{consumer="billing",table="event"} 4
waxwing_inbox_rows{consumer="billing",table="key"} 1
waxwing_inbox_rows{consumer="billing",table="position"} 0
`
		names := []string{"waxwing_dlq_depth", "waxwing_dlq_oldest_age_seconds", "waxwing_inbox_duplicates_total", "waxwing_inbox_parked_keys", "waxwing_inbox_retries_total", "waxwing_inbox_rows"}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
			t.Error(err)
		}
	})
}

// TestUnflaggedDuplicates: what is skipped by its sequence is counted if its broker takes
// it for new.
func TestUnflaggedDuplicates(t *testing.T) {
	l := newLab(t, sqltest.New(t, "sqlite"))
	in := l.inbox(nil)
	again, record := seq("1", "k", 1), seq("2", "k", 2)
	again.Redelivered = true
	record.Position = &bus.Position{Topic: "orders", Offset: 7}
	l.process(in, seq("1", "k", 1), seq("2", "k", 2), again, msg("a", "k"), msg("a", "k"))
	check := func(want string) {
		t.Helper()
		if got := counts(t, in, "waxwing_inbox_unflagged_duplicates_total"); fmt.Sprint(got) != want {
			t.Error(got)
		}
	}
	check("[]")
	l.process(in, seq("put back", "k", 1), record)
	check("[unflagged_duplicates_total log 1 unflagged_duplicates_total queue 1]")
	l.batch(in, seq("put back", "k", 1), again, seq("3", "k", 3))
	check("[unflagged_duplicates_total log 1 unflagged_duplicates_total queue 2]")
}

// TestPGX: all of it through pgx.
func TestPGX(t *testing.T) {
	d := sqltest.New(t, "postgres")
	sqltest.Open(t, d)
	pool, err := pgxpool.New(t.Context(), d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "CREATE TABLE ledger (n INTEGER GENERATED ALWAYS AS IDENTITY, id TEXT)"); err != nil {
		t.Fatal(err)
	}
	db := sqldb.PGX(pool)
	in, err := inbox.New(db, "billing", inbox.InPlace(1), inbox.Backoff(time.Microsecond, time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	in.Handle("orders", "", func(ctx context.Context, tx pgx.Tx, m *bus.Delivery) error {
		nested, err := tx.Begin(ctx) // savepoints are the handler's to use
		if err != nil {
			return err
		}
		if _, err := nested.Exec(ctx, "INSERT INTO ledger (id) VALUES ($1)", m.ID); err != nil {
			return err
		}
		if err := nested.Commit(ctx); err != nil {
			return err
		}
		switch m.ID {
		case "a":
			if calls++; calls == 1 {
				return errBoom
			}
		case "aborted":
			_, _ = tx.Exec(ctx, "SELECT 1/0") // and does not tell
		case "dead":
			return inbox.DeadLetter(errBoom)
		}
		return nil
	})
	for range 2 {
		for _, m := range []*bus.Delivery{msg("a", "k"), msg("b", "k"), seq("c", "l", 1), msg("dead", "d"), msg("aborted", "m")} {
			if err := in.Process(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := in.RetryDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := pool.QueryRow(t.Context(), "SELECT string_agg(id, ' ' ORDER BY n) FROM ledger").Scan(&got); err != nil || got != "c a b" {
		t.Error(got, err)
	}
	all, err := inbox.ListDeadLetters(t.Context(), db, inbox.Filter{All: true})
	if err != nil || len(all) != 2 || !strings.Contains(all[1].Reason, "aborted") {
		t.Fatal(all, err)
	}
	if _, err := inbox.ReplayDeadLetters(t.Context(), db, inbox.Filter{}, inbox.ReplayOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := inbox.DropDeadLetters(t.Context(), db, inbox.Filter{Consumer: "billing", All: true}, false); err != nil {
		t.Error(err)
	}
	if _, err := inbox.ShowDeadLetter(t.Context(), db, all[0].ID); !errors.Is(err, inbox.ErrNotFound) {
		t.Error(err)
	}
	if _, err := in.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}
