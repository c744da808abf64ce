package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// TestDuplicatesAtOnce: of deliveries at the same time, also through two inboxes as
// two processes have them, one has an effect.
func TestDuplicatesAtOnce(t *testing.T) {
	for name, make := range map[string]func(n int) *bus.Delivery{
		"event":    func(n int) *bus.Delivery { return msg(fmt.Sprint("e", n), "k") },
		"sequence": func(n int) *bus.Delivery { return seq(fmt.Sprint("s", n), "k", n+1) },
		"position": func(n int) *bus.Delivery { return at(fmt.Sprint("p", n), 0, int64(n)) },
	} {
		t.Run(name, func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
				l := newLab(t, d)
				opts := []inbox.Option{}
				if name == "position" {
					opts = append(opts, inbox.PerPartition())
				}
				two := []*inbox.Inbox[*sql.Tx]{l.inbox(nil, opts...), l.inbox(nil, opts...)}
				var want []string
				for n := range 10 {
					var wg sync.WaitGroup
					for w := range 6 {
						wg.Go(func() {
							if err := two[w%2].Process(t.Context(), make(n)); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					want = append(want, make(n).ID)
				}
				l.want(want...)
			})
		})
	}
}

// TestZombie: a second delivery waits while the first is being handled, and is handled
// if that is rolled back.
func TestZombie(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql"} { // SQLite has one writer anyway
		for _, commits := range []bool{true, false} {
			t.Run(fmt.Sprint(dialect, " commits ", commits), func(t *testing.T) {
				l := newLab(t, sqltest.New(t, dialect))
				inside, leave := make(chan struct{}), make(chan struct{})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				zombie := l.inbox(func(*bus.Delivery) error {
					close(inside)
					<-leave
					return nil
				})
				done := make(chan error, 2)
				go func() { done <- zombie.Process(ctx, seq("a", "k", 1)) }()
				<-inside
				if !commits {
					stop() // its process loses the partition
				}
				var second atomic.Bool
				go func() {
					err := l.inbox(nil).Process(t.Context(), seq("a", "k", 1))
					second.Store(true)
					done <- err
				}()
				time.Sleep(100 * time.Millisecond)
				if commits && second.Load() {
					t.Error("the second delivery did not wait")
				}
				close(leave)
				err := errors.Join(<-done, <-done)
				if commits && err != nil || !commits && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				l.want("a")
			})
		}
	}
}

// TestRelaySendsAgain: what a relay publishes twice, as a block, has one effect.
func TestRelaySendsAgain(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(nil)
		for _, n := range []int{1, 2, 3, 1, 2, 3, 4, 3, 4, 5} {
			l.process(in, seq(fmt.Sprint(n), "k", n))
		}
		l.want("1", "2", "3", "4", "5")
	})
}

// TestEpoch: after a restore ids begin again, in another epoch.
func TestEpoch(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(nil)
		again := seq("new1", "k", 1)
		again.SetHeader(bus.HeaderSequence, []byte("e2:1"))
		l.process(in, seq("old1", "k", 1), seq("old2", "k", 2), again, again, seq("old2", "k", 2))
		l.want("old1", "old2", "new1")
	})
}

// TestIdentity: what messages are known by.
func TestIdentity(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		long := strings.Repeat("long", 200)
		in := l.inbox(nil, inbox.Identify(func(d *bus.Delivery) string { return string(d.Header("number")) }))
		other := msg("1", "k")
		other.Source = "elsewhere"
		noID := func(n string) *bus.Delivery {
			d := msg("", "k")
			d.SetHeader("number", []byte(n))
			return d
		}
		noSeq := seq("plain", "k", 1)
		noSeq.SetHeader(bus.HeaderSequence, []byte("nonsense"))
		place := at("", 3, 7)
		for range 2 {
			l.process(in, msg("1", "k"), other, msg(long, long), msg(long+"x", long), seq("s", long, 1), seq("t", long+"x", 1),
				noID("one"), noID("two"), noSeq, place, msg("\x00\xff", "\x00\xff"), seq("nokey", "", 5), seq("nokey2", "", 5))
		}
		if got := len(l.ledger()); got != 13 {
			t.Errorf("%d effects, want 13", got)
		}
		l.process(in, msg("", "k")) // that nothing is known of
		all, err := inbox.ListDeadLetters(t.Context(), l.db, inbox.Filter{})
		if err != nil || len(all) != 1 || !strings.Contains(all[0].Reason, "neither an id nor a position") {
			t.Fatal(all, err)
		}
	})
}

// TestRollback: an effect of a transaction that fails is none, and is made later.
func TestRollback(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		calls := 0
		in := l.inbox(func(m *bus.Delivery) error {
			if calls++; calls < 3 {
				return errBoom
			}
			if m.Attempt != 3 {
				t.Errorf("the third attempt is number %d", m.Attempt)
			}
			return nil
		}, inbox.InPlace(3), inbox.Backoff(time.Millisecond, time.Millisecond))
		l.process(in, msg("a", "k"), msg("a", "k"))
		l.want("a")
		l.wantStates()
	})
}

// TestContextEnds: a message is neither acknowledged nor put aside when the process
// stops.
func TestContextEnds(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		in := l.inbox(func(*bus.Delivery) error { cancel(); return ctx.Err() })
		if err := in.Process(ctx, msg("a", "k")); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		l.want()
		l.wantStates()
	})
}

// TestWithoutDedup: the ledger shows it if the safeguard is removed.
func TestWithoutDedup(t *testing.T) {
	safeguard.Remove(safeguard.Dedup)
	defer safeguard.Restore()
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(nil)
		l.process(in, msg("a", "k"), msg("a", "k"), seq("b", "k", 1), seq("b", "k", 1))
		l.want("a", "a", "b", "b")
	})
}

// TestTransient: a handler whose transaction others get in the way of is called
// again at once, not put aside.
func TestTransient(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql"} {
		t.Run(dialect, func(t *testing.T) {
			l := newLab(t, sqltest.New(t, dialect))
			if _, err := l.pool.Exec("CREATE TABLE pair (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)"); err != nil {
				t.Fatal(err)
			}
			if _, err := l.pool.Exec("INSERT INTO pair VALUES (1, 0), (2, 0)"); err != nil {
				t.Fatal(err)
			}
			in, err := inbox.New(l.db, "billing", inbox.InPlace(1))
			if err != nil {
				t.Fatal(err)
			}
			var calls atomic.Int64
			var meet sync.WaitGroup
			meet.Add(2)
			in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
				first, second := 1, 2
				if m.Key == "b" {
					first, second = 2, 1
				}
				c := l.db.Bind(tx)
				if _, err := c.Exec(ctx, "UPDATE pair SET n = n + 1 WHERE id = ?", first); err != nil {
					return err
				}
				if calls.Add(1) <= 2 { // both have their first row: a deadlock
					meet.Done()
					meet.Wait()
				}
				_, err := c.Exec(ctx, "UPDATE pair SET n = n + 1 WHERE id = ?", second)
				return err
			})
			var wg sync.WaitGroup
			for _, key := range []string{"a", "b"} {
				wg.Go(func() { l.process(in, msg(key, key)) })
			}
			wg.Wait()
			if calls.Load() < 3 {
				t.Error("there was no deadlock")
			}
			var sum int
			if err := l.pool.QueryRow("SELECT SUM(n) FROM pair").Scan(&sum); err != nil || sum != 4 {
				t.Error(sum, err)
			}
			l.wantStates()
		})
	}
}

// TestKnownRowIsGone: a row that this process remembers, and cleanup has removed, is
// made again.
func TestKnownRowIsGone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in, p := l.inbox(nil), l.inbox(nil, inbox.PerPartition())
		l.process(in, seq("1", "k", 1), seq("2", "k", 2))
		l.process(p, at("a", 0, 0), at("b", 0, 1))
		for _, table := range []string{"key", "position"} {
			if _, err := l.pool.Exec("DELETE FROM waxwing_inbox_" + table); err != nil {
				t.Fatal(err)
			}
		}
		l.process(in, seq("3", "k", 3), seq("3", "k", 3), seq("2", "k", 2))
		l.process(p, at("c", 0, 2), at("c", 0, 2))
		l.want("1", "2", "a", "b", "3", "c")
	})
}

// TestNamesAreTold: events that differ in source and id only by where one ends, and
// names of other kinds, are not taken for each other.
func TestNamesAreTold(t *testing.T) {
	from := func(source, id string) *bus.Delivery {
		d := msg(id, "")
		d.Source = source
		return d
	}
	place := from("", "")
	place.Position = &bus.Position{Topic: "orders", Partition: 0, Offset: 7}
	all := []*bus.Delivery{
		from("https://a/orders", "1/2"), from("https://a/orders/1", "2"), from("https://a", "orders/1/2"),
		from("orders", "0/7"), from("orders/0", "7"), place, from("\x00", "x"), from("\x00\x00", "x"),
	}
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(nil)
		for range 2 {
			l.process(in, all...)
		}
		if got := len(l.ledger()); got != len(all) {
			t.Errorf("%d of %d events were handled", got, len(all))
		}
	})
}

// TestSharedOutOfOrder: from a queue that several processes read at once, a message
// that is overtaken by a later one of its key is no duplicate of it.
func TestSharedOutOfOrder(t *testing.T) {
	shared := func(id string, n int) *bus.Delivery {
		d := seq(id, "k", n)
		d.Shared = true
		return d
	}
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		two := []*inbox.Inbox[*sql.Tx]{l.inbox(nil), l.inbox(nil)}
		l.process(two[0], shared("b", 2))
		l.process(two[1], shared("a", 1), shared("b", 2))
		l.process(two[0], shared("a", 1))
		l.want("b", "a")
	})
}

// TestForgetPositions: after it new messages at old places of the topic are handled,
// whether partitions or messages are known by their places, and those of others are
// not forgotten.
func TestForgetPositions(t *testing.T) {
	place := func(topic string) *bus.Delivery {
		d := at("", 3, 7)
		d.Topic, d.Position.Topic = topic, topic
		return d
	}
	for name, opts := range map[string][]inbox.Option{"partition": {inbox.PerPartition()}, "message": nil} {
		t.Run(name, func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
				l := newLab(t, d)
				in := l.inbox(nil, opts...)
				in.Handle("orders2", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error { return l.write(ctx, tx, m) })
				both := []*bus.Delivery{place("orders"), place("orders2")}
				l.process(in, append(both, both...)...)
				l.want("", "")
				if err := inbox.ForgetPositions(t.Context(), l.db, "billing", "orders"); err != nil {
					t.Fatal(err)
				}
				l.process(in, append(both, both...)...)
				l.want("", "", "")
			})
		})
	}
}
