package saga_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestAtOnce: replies to the branches of a group, each several times, and two timer
// workers, all at once: the group is left once, and each command sent once.
func TestAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		k := newDesk(t, d)
		def := saga.Define[order]("group", 1).
			Parallel(
				saga.Branch("a", build("x", "a"), build("x", "undo"), saga.Timeout(time.Second)),
				saga.Branch("b", build("x", "b"), build("x", "undo"), saga.Timeout(time.Second)),
				saga.Branch("c", build("x", "c"), build("x", "undo"), saga.Timeout(time.Second)),
			).
			Step("last", build("x", "last"), nil)
		register(t, k, def)
		const sagas = 10
		for i := range sagas {
			if err := start(k, def, fmt.Sprint("s", i), order{}); err != nil {
				t.Fatal(err)
			}
		}
		k.take(t)
		k.clock.now = k.clock.now.Add(999 * time.Millisecond)
		var wg sync.WaitGroup
		for i := range sagas {
			for n, step := range []string{"a", "b", "c", "a", "b", "c"} {
				wg.Go(func() {
					if err := k.ib.Process(t.Context(), reply(fmt.Sprint("s", i), "group", step, fmt.Sprint(i, " ", n))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Go(func() {
				if _, err := k.eng.FireTimers(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if sent := k.take(t); len(sent) != sagas {
			t.Fatalf("%d commands, want %d", len(sent), sagas)
		}
		for i := range sagas {
			k.is(fmt.Sprint("s", i), "running", "a done", "b done", "c done", "last sent")
		}
	})
}

// reply is an answer "ok" to an action.
func reply(id, name, step, message string) *bus.Delivery {
	m := bus.Message{Topic: "replies", ID: message, Type: saga.ReplyType}
	for header, value := range map[string]string{
		saga.HeaderSaga: id, saga.HeaderName: name, saga.HeaderStep: step,
		saga.HeaderOp: "action", saga.HeaderAttempt: "1", saga.HeaderOutcome: "ok",
	} {
		m.SetHeader(header, []byte(value))
	}
	return &bus.Delivery{Message: m}
}

// TestTimersAtOnce: of several workers, one fires a timer.
func TestTimersAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		k, def := newDesk(t, d), checkout(1)
		register(t, k, def)
		const sagas = 20
		for i := range sagas {
			if err := start(k, def, fmt.Sprint("s", i), order{}); err != nil {
				t.Fatal(err)
			}
		}
		k.take(t)
		k.clock.now = k.clock.now.Add(10 * time.Second)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := k.eng.FireTimers(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		k.pass(0) // what one left to another that then gave up
		if sent := k.take(t); len(sent) != sagas {
			t.Fatalf("%d compensations, want %d", len(sent), sagas)
		}
	})
}

// TestDatabaseClock: without a clock of one's own, timers go by the database's.
func TestDatabaseClock(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		s := newService(t, d, "clock")
		eng := saga.NewEngine(s.db, s.ob, "replies")
		def := saga.Define[order]("quick", 1).Step("s", build("x", "do"), build("x", "undo"), saga.Timeout(time.Millisecond))
		slow := saga.Define[order]("slow", 1).Step("s", build("x", "do"), build("x", "undo"), saga.Timeout(time.Hour))
		k := &desk{t: t, eng: eng, service: s}
		register(t, k, def, slow)
		if err := errors.Join(start(k, def, "q", order{}), start(k, slow, "z", order{})); err != nil {
			t.Fatal(err)
		}
		for {
			if n, err := eng.FireTimers(t.Context()); err != nil || n > 1 {
				t.Fatal(n, err)
			} else if n == 1 {
				break
			}
		}
		k.is("q", "compensating")
		in := k.is("z", "running")
		if age := time.Since(in.Created); age < -time.Minute || age > time.Hour {
			t.Fatalf("it was created %v ago", age)
		}
	})
}

// TestPGX: all of it on pgx's own transactions.
func TestPGX(t *testing.T) {
	d := sqltest.New(t, "postgres")
	sqltest.Open(t, d)
	pool, err := pgxpool.New(t.Context(), d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, cancel := context.WithCancel(t.Context())
	db, broker := sqldb.PGX(pool), newMemBus()
	ob := outbox.New(db)
	ib, err := inbox.New(db, "shop")
	if err != nil {
		t.Fatal(err)
	}
	p := saga.NewParticipant(db, ib, ob)
	saga.Serve(p, "shop", "sell", func(ctx context.Context, tx pgx.Tx, o order, _ *bus.Delivery) (any, error) {
		if _, err := tx.Exec(ctx, "SELECT 1"); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "SELECT no_such_column"); err == nil {
			t.Error("that is no column")
		}
		return nil, saga.Rejected(errors.New("the transaction is broken, and has to be brought back"))
	})
	eng := saga.NewEngine(db, ob, "replies", saga.Poll(10*time.Millisecond))
	def := saga.Define[order]("sale", 1).Step("sell", build("shop", "sell"), nil)
	if err := eng.Register(def); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, run := range []func() error{func() error { return outbox.NewRelay(ob, broker).Run(ctx) }, func() error { return p.Run(ctx, broker) }, func() error { return eng.Run(ctx, broker) }} {
		wg.Go(func() {
			if err := run(); err != nil {
				t.Error(err)
			}
		})
	}
	defer wg.Wait()
	defer cancel()
	if err := ob.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error { return saga.Start(ctx, eng, tx, def, "one", order{}) }); err != nil {
		t.Fatal(err)
	}
	for {
		in, err := saga.Show(ctx, db, "one")
		if err != nil {
			t.Fatal(err)
		}
		if in.State == "compensated" {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}
