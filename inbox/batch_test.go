package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// batch hands messages that wait over as a lane does, until all are acknowledged. It
// returns how many went together each time; 1 is one that went alone.
func (l *lab) batch(in *inbox.Inbox[*sql.Tx], ds ...*bus.Delivery) (sizes []int) {
	l.t.Helper()
	for together := len(ds); len(ds) > 0; {
		n := min(together, len(ds))
		done, err := in.ProcessBatch(l.t.Context(), ds[:n])
		if done > 0 {
			sizes = append(sizes, done)
		}
		if ds = ds[done:]; err == nil {
			continue
		}
		if n == 1 {
			l.t.Log("again: ", err)
		}
		together = 1
	}
	return sizes
}

func (l *lab) wantSizes(got []int, want ...int) {
	l.t.Helper()
	if !slices.Equal(got, want) {
		l.t.Errorf("together went %v, want %v", got, want)
	}
}

// counts are the counters of an inbox, without those that are zero.
func counts(t *testing.T, in *inbox.Inbox[*sql.Tx], names ...string) (out []string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(in.Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if slices.Contains(names, f.GetName()) && m.Counter.GetValue() > 0 {
				line := strings.TrimPrefix(f.GetName(), "waxwing_inbox_")
				for _, l := range m.Label {
					if l.GetName() != "consumer" {
						line += " " + l.GetValue()
					}
				}
				out = append(out, fmt.Sprint(line, " ", m.Counter.GetValue()))
			}
		}
	}
	return out
}

// commits counts the SDK's commits.
type commits struct{ n atomic.Int64 }

func (*commits) Before(string) error { return nil }
func (c *commits) After(step string) error {
	if step == "commit" {
		c.n.Add(1)
	}
	return nil
}

// TestBatch: what waits is handled in one transaction, each message once, whatever it is
// known by.
func TestBatch(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l, c, b := newLab(t, d), &commits{}, &bell{}
		l.db = l.db.Hooked(c)
		in := l.inbox(nil, inbox.Wakes(b))
		nobody := msg("nobody's", "k")
		nobody.Topic = "other"
		sizes := l.batch(in, msg("a", "k"), seq("s1", "k", 1), msg("a", "k"), nobody, seq("s2", "k", 2), seq("s1", "k", 1), at("p", 0, 7), msg("b", "other"))
		l.wantSizes(sizes, 8)
		l.want("a", "s1", "s2", "p", "b")
		if c.n.Load() != 1 || b.rung != 5 {
			t.Errorf("%d commits, woken %d times", c.n.Load(), b.rung)
		}
		l.wantSizes(l.batch(in, seq("s2", "k", 2), seq("s3", "k", 3), msg("b", "other")), 3)
		l.want("a", "s1", "s2", "p", "b", "s3")
		p := l.inbox(nil, inbox.PerPartition())
		l.wantSizes(l.batch(p, at("p0", 0, 0), at("p1", 0, 1), at("q0", 1, 0), at("p1", 0, 1)), 4)
		l.wantSizes(l.batch(p, at("p1", 0, 1), at("p2", 0, 2)), 2)
		l.want("a", "s1", "s2", "p", "b", "s3", "p0", "p1", "q0", "p2")
		got := counts(t, in, "waxwing_inbox_handled_total", "waxwing_inbox_duplicates_total", "waxwing_inbox_batches_total")
		if want := "[batches_total committed 2 duplicates_total 4 handled_total duplicate 4 handled_total handled 6 handled_total ignored 1]"; fmt.Sprint(got) != want {
			t.Errorf("got  %v\nwant %s", got, want)
		}
	})
}

// TestBatchUndone: if one fails, each has a transaction of its own, and its verdict is
// about itself only.
func TestBatchUndone(t *testing.T) {
	for name, fails := range map[string]struct {
		fail  func() error
		state string
	}{
		"retry":  {func() error { return errBoom }, "bad:retry behind:waiting"},
		"reject": {func() error { return inbox.Reject(errBoom) }, ""},
		"dead":   {func() error { return inbox.DeadLetter(errBoom) }, "bad:dead behind:waiting"},
		"panic":  {func() error { panic("boom") }, "bad:retry behind:waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
				l := newLab(t, d)
				in := l.inbox(func(m *bus.Delivery) error {
					if m.Attempt != 1 {
						t.Errorf("%s: attempt %d", m.ID, m.Attempt)
					}
					if m.ID == "bad" {
						return fails.fail()
					}
					return nil
				})
				sizes := l.batch(in, msg("a", "a"), msg("bad", "k"), msg("b", "b"), msg("behind", "k"), msg("bad", "k"))
				l.wantSizes(sizes, 1, 1, 1, 1, 1)
				if name == "reject" {
					l.want("a", "b", "behind")
				} else {
					l.want("a", "b")
				}
				l.wantStates(strings.Fields(fails.state)...)
				if got := counts(t, in, "waxwing_inbox_batches_total", "waxwing_inbox_retries_total"); fmt.Sprint(got) != "[batches_total undone 1]" {
					t.Error(got)
				}
				// Behind what is put aside a batch puts aside; the others go on together.
				if name != "reject" {
					l.wantSizes(l.batch(in, msg("c", "c"), msg("behind2", "k"), msg("d", "d")), 3)
					l.want("a", "b", "c", "d")
					l.wantStates(strings.Fields(fails.state + " behind2:waiting")...)
				}
			})
		})
	}
}

// TestBatchIsLikeSingles: whatever messages do, after batches everything is as if each
// had come alone.
func TestBatchIsLikeSingles(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		for seed := range uint64(4) {
			var results [2]string
			for way := range results {
				l := newLab(t, sqltest.New(t, d.Dialect))
				r := rand.New(rand.NewPCG(seed, 3))
				verdicts := map[string]error{}
				in := l.inbox(func(m *bus.Delivery) error { return verdicts[m.ID] }, inbox.MaxAttempts(3))
				for round := range 12 {
					var ds []*bus.Delivery
					for n := range 1 + r.IntN(10) {
						id, key := fmt.Sprint(round, ".", n), fmt.Sprint("k", r.IntN(6))
						verdicts[id] = []error{inbox.Reject(errBoom), inbox.DeadLetter(errBoom), errBoom, inbox.Retry(time.Minute, errBoom)}[r.IntN(4)]
						if r.IntN(12) > 0 {
							delete(verdicts, id)
						}
						d := msg(id, key)
						if r.IntN(2) == 0 {
							d = seq(id, key, 100*round+n+1)
						}
						for range 1 + r.IntN(2)*r.IntN(2) {
							ds = append(ds, d)
						}
					}
					if way == 0 {
						l.process(in, ds...)
					} else {
						l.batch(in, ds...)
					}
					l.pass(time.Duration(r.IntN(3)) * time.Second)
					l.retry(in)
				}
				results[way] = fmt.Sprint(l.ledger(), l.states(), counts(t, in, "waxwing_inbox_handled_total", "waxwing_inbox_duplicates_total", "waxwing_inbox_retries_total"))
			}
			if results[0] != results[1] {
				t.Errorf("seed %d:\nsingly   %s\ntogether %s", seed, results[0], results[1])
			}
		}
	})
}

// TestBatchFailsAtEachStep: each step in the database fails once, before it happens
// and after, the commit included: each message has one effect, in order.
func TestBatchFailsAtEachStep(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		faulty, faults := waxtest.FailingDB(l.db)
		l.db = faulty
		ill := true
		in := l.inbox(func(m *bus.Delivery) error {
			if ill && m.Key == "parked" {
				return errBoom
			}
			return nil
		})
		l.process(in, seq("0", "parked", 1))
		var want []string
		for _, after := range []bool{false, true} {
			for step := 1; ; step++ {
				had := faults.Fired()
				faults.FailAt(step, after)
				id := func(name string) string { return fmt.Sprint(name, step, after) }
				n := step*10 + len(want)*1000
				l.batch(in, seq(id("a"), "k", n), msg(id("b"), "k"), seq(id("p"), "parked", n), seq(id("c"), "k", n+1), seq(id("a"), "k", n))
				want = append(want, id("a"), id("b"), id("c"))
				l.want(want...)
				if faults.Fired() == had {
					break
				}
			}
		}
		faults.FailAt(0, false)
		ill = false
		l.pass(time.Minute)
		l.retry(in)
		l.wantStates()
		if got := len(l.ledger()) - len(want); got != 1+len(want)/3 {
			t.Errorf("%d of %d that were put aside had an effect", got, 1+len(want)/3)
		}
		t.Logf("%d steps failed", faults.Fired())
	})
}

// TestBatchesInEachOthersWay: batches that lock the same rows in different orders, and
// batches with the same messages, leave one effect of each message.
func TestBatchesInEachOthersWay(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		for _, q := range []string{"CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)", "INSERT INTO pair VALUES (0, 0), (1, 0)"} {
			if _, err := l.pool.Exec(q); err != nil {
				t.Fatal(err)
			}
		}
		newInbox := func() *inbox.Inbox[*sql.Tx] {
			in, err := inbox.New(l.db, "billing", inbox.InPlace(1), inbox.Logger(slog.New(slog.DiscardHandler)))
			if err != nil {
				t.Fatal(err)
			}
			in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
				if _, err := l.db.Bind(tx).Exec(ctx, "UPDATE pair SET n = n + 1 WHERE id = ?", len(m.Key)%2); err != nil {
					return err
				}
				time.Sleep(time.Millisecond)
				return l.write(ctx, tx, m)
			})
			return in
		}
		ins := []*inbox.Inbox[*sql.Tx]{newInbox(), newInbox()}
		const rounds = 15
		var wg sync.WaitGroup
		for w := range 4 { // of which two have the same messages
			wg.Go(func() {
				for n := range rounds {
					one, other := msg(fmt.Sprint(w%2, "a", n), strings.Repeat("k", w%2+2)), msg(fmt.Sprint(w%2, "b", n), strings.Repeat("k", w%2+3))
					other.SetHeader(bus.HeaderSequence, fmt.Appendf(nil, "e:%d", n+1))
					l.batch(ins[w%2], one, other)
				}
			})
		}
		wg.Wait()
		l.wantStates()
		got := l.ledger()
		slices.Sort(got)
		if len(got) != 4*rounds || len(slices.Compact(got)) != 4*rounds {
			t.Errorf("%d effects of %d messages", len(got), 4*rounds)
		}
	})
}

// TestBatchOfSlowHandlers: a transaction takes no more in when it has been open for
// long.
func TestBatchOfSlowHandlers(t *testing.T) {
	l, c := newLab(t, sqltest.New(t, "sqlite")), &commits{}
	l.db = l.db.Hooked(c)
	in := l.inbox(func(*bus.Delivery) error { time.Sleep(2 * time.Millisecond); return nil }, inbox.BatchTime(time.Millisecond))
	l.wantSizes(l.batch(in, msg("a", "a"), msg("b", "b"), msg("c", "c")), 1, 1, 1)
	if c.n.Load() != 3 {
		t.Errorf("%d commits", c.n.Load())
	}
}

// TestBatchThatLosesItsTransaction: a handler that passes over an error at which the
// database has ended the transaction does not take the effects of others with it.
func TestBatchThatLosesItsTransaction(t *testing.T) {
	for dialect, lose := range map[string]func(ctx context.Context, l *lab, tx *sql.Tx){
		"mysql": loseByDeadlock,
		"sqlite": func(ctx context.Context, l *lab, tx *sql.Tx) {
			if _, err := tx.ExecContext(ctx, "ROLLBACK"); err != nil { // as SQLite by itself
				l.t.Error(err)
			}
		},
	} {
		t.Run(dialect, func(t *testing.T) {
			l := newLab(t, sqltest.New(t, dialect))
			in, err := inbox.New(l.db, "billing", inbox.BatchTime(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
				if m.ID == "careless" {
					if calls++; calls == 1 {
						lose(ctx, l, tx)
						return nil
					}
				}
				return l.write(ctx, tx, m)
			})
			l.wantSizes(l.batch(in, msg("a", "a"), msg("careless", "b"), msg("c", "c")), 1, 1, 1)
			l.want("a", "careless", "c")
		})
	}
}

// loseByDeadlock has tx be the one that a deadlock ends, and passes over it.
func loseByDeadlock(ctx context.Context, l *lab, tx *sql.Tx) {
	must := func(_ sql.Result, err error) {
		l.t.Helper()
		if err != nil {
			l.t.Error(err)
		}
	}
	must(l.pool.ExecContext(ctx, "CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"))
	for id := range 50 {
		must(l.pool.ExecContext(ctx, "INSERT INTO pair VALUES (?, 0)", id))
	}
	other, err := l.pool.BeginTx(ctx, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	must(other.ExecContext(ctx, "UPDATE pair SET n = 1 WHERE id > 0")) // it has more to lose
	must(tx.ExecContext(ctx, "UPDATE pair SET n = 1 WHERE id = 0"))
	done := make(chan error, 1)
	go func() {
		_, err := other.ExecContext(ctx, "UPDATE pair SET n = 1 WHERE id = 0")
		done <- errors.Join(err, other.Rollback())
	}()
	time.Sleep(50 * time.Millisecond)
	if _, err := tx.ExecContext(ctx, "UPDATE pair SET n = 1 WHERE id = 1"); err == nil {
		l.t.Error("there was no deadlock")
	}
	must(nil, <-done)
}

// TestBatchOfWhatIsUnknown: what nothing is known by is a dead letter, alone.
func TestBatchOfWhatIsUnknown(t *testing.T) {
	l := newLab(t, sqltest.New(t, "sqlite"))
	in := l.inbox(nil)
	l.wantSizes(l.batch(in, msg("a", "a"), msg("b", "b"), msg("", "x"), msg("c", "c"), msg("d", "d")), 2, 1, 2)
	l.want("a", "b", "c", "d")
	l.wantStates(":dead")
}

// TestBatchWithoutDedup: the ledger shows it if the safeguard is removed.
func TestBatchWithoutDedup(t *testing.T) {
	safeguard.Remove(safeguard.Dedup)
	defer safeguard.Restore()
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		l.batch(l.inbox(nil), msg("a", "k"), msg("a", "k"), seq("b", "k", 1), seq("b", "k", 1))
		l.want("a", "a", "b", "b")
	})
}

// TestBatchContextEnds: nothing is done when the process stops.
func TestBatchContextEnds(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		in := l.inbox(func(m *bus.Delivery) error {
			if m.ID == "b" {
				cancel()
			}
			return nil
		})
		if done, err := in.ProcessBatch(ctx, []*bus.Delivery{msg("a", "k"), msg("b", "k"), msg("c", "k")}); done != 0 || !errors.Is(err, context.Canceled) {
			t.Error(done, err)
		}
		l.want()
		l.wantStates()
	})
}

// TestBatchLocks: in PostgreSQL a batch does not wait for locks for long, nor for
// longer than the caller wants; a message alone does.
func TestBatchLocks(t *testing.T) {
	for set, want := range map[string]string{"": "50ms", "20ms": "20ms", "2s": "50ms"} {
		l := newLab(t, sqltest.New(t, "postgres"))
		l.pool.SetMaxOpenConns(1)
		if set != "" {
			if _, err := l.pool.Exec("SET lock_timeout = '" + set + "'"); err != nil {
				t.Fatal(err)
			}
		}
		in, err := inbox.New(l.db, "billing", inbox.BatchTime(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
			var waits string
			err := tx.QueryRowContext(ctx, "SHOW lock_timeout").Scan(&waits)
			got = append(got, waits)
			return err
		})
		l.batch(in, msg("a", "a"), msg("b", "b"))
		l.batch(in, msg("c", "c"))
		if set == "" {
			set = "0"
		}
		if !slices.Equal(got, []string{want, want, set}) {
			t.Errorf("with %s: %v", set, got)
		}
	}
}
