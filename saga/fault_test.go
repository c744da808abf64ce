package saga_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sample"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// TestEachStepFails plays one saga again and again. Each time another step that the
// SDK takes in the database fails, before it happens or after, until there are no
// more: the saga ends in the same way, with the same effects.
func TestEachStepFails(t *testing.T) {
	f := newFaulty(t)
	every := sample.Of(3, 1)
	for _, after := range []bool{false, true} {
		n := 1
		for ; ; n += every {
			fired := f.faults.Fired()
			f.faults.FailAt(n, after)
			f.play(fmt.Sprintf("trip-%d-%t", n, after))
			if got := f.effects(); !slices.Equal(got, []string{"+reserve", "-reserve"}) {
				t.Fatalf("step %d, after %t: %v", n, after, got)
			}
			if f.faults.Fired() == fired {
				break
			}
		}
		if n < 40 {
			t.Fatalf("only %d steps", n)
		}
		t.Logf("%d steps, every %d, after %t", n-1, every, after)
	}
}

// faulty is a saga and its participants in one database that fails.
type faulty struct {
	t *testing.T
	*service
	faults *waxtest.Faults
	clock  *clock
	eng    *saga.Engine[*sql.Tx]
	def    *saga.Definition[trip]
}

func newFaulty(t *testing.T) *faulty {
	db, pool := sqltest.Open(t, sqltest.New(t, "sqlite"))
	f := &faulty{t: t, clock: newClock()}
	db, f.faults = waxtest.FailingDB(db)
	ib, err := inbox.New(db, "all", inbox.InPlace(5), inbox.Backoff(time.Microsecond, time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	f.service = &service{db, pool, outbox.New(db), ib}
	if _, err := pool.Exec("CREATE TABLE ledger (what VARCHAR(100))"); err != nil {
		t.Fatal(err)
	}
	p := saga.NewParticipant(db, ib, f.ob)
	command := func(kind string) saga.Builder[trip] {
		return func(s trip) (saga.Command, error) { return saga.Command{Topic: "work", Type: kind, Data: s}, nil }
	}
	f.def = saga.Define[trip]("trip", 1)
	for _, step := range []string{"reserve", "car"} {
		f.def.Step(step, command(step), command("undo-"+step), saga.Timeout(time.Second))
		saga.Serve(p, "work", step, f.act("+"+step))
		saga.ServeCompensation(p, "work", "undo-"+step, f.act("-"+step))
	}
	f.eng = saga.NewEngine(db, f.ob, "replies", saga.Clock(f.clock.Now))
	if err := f.eng.Register(f.def); err != nil {
		t.Fatal(err)
	}
	f.eng.Bind(ib)
	return f
}

func (f *faulty) act(what string) saga.Act[trip, *sql.Tx] {
	return func(_ context.Context, tx *sql.Tx, _ trip, _ *bus.Delivery) (any, error) {
		_, err := tx.Exec("INSERT INTO ledger VALUES ('" + what + "')")
		return "done", err
	}
}

// again does something until it does not fail by a fault.
func (f *faulty) again(do func() error) {
	f.t.Helper()
	for {
		err := do()
		if err == nil {
			return
		}
		if !errors.Is(err, waxtest.ErrFault) {
			f.t.Fatal(err)
		}
	}
}

// play reserves, and has the second step time out and come after its compensation.
func (f *faulty) play(id string) {
	ctx := f.t.Context()
	f.again(func() error {
		return f.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			return saga.Start(ctx, f.eng, tx, f.def, id, trip{ID: id})
		})
	})
	var late []bus.Message
	for round := range 20 {
		for _, m := range f.take(f.t) {
			if m.Type == "car" {
				late = append(late, m)
				continue
			}
			f.again(func() error { return f.ib.Process(ctx, &bus.Delivery{Message: m}) })
		}
		if round == 5 {
			f.clock.now = f.clock.now.Add(time.Second)
		}
		f.again(func() error { _, err := f.eng.FireTimers(ctx); return err })
	}
	for _, m := range append(late, late...) {
		f.again(func() error { return f.ib.Process(ctx, &bus.Delivery{Message: m}) })
	}
	if in, err := saga.Show(ctx, f.db, id); err != nil && !errors.Is(err, waxtest.ErrFault) || err == nil && in.State != "compensated" {
		f.t.Fatal(in, err)
	}
	if len(late) != 1 {
		f.t.Fatalf("%d commands were late", len(late))
	}
}

// effects are those of the last saga.
func (f *faulty) effects() (out []string) {
	rows, err := f.pool.Query("SELECT what FROM ledger ORDER BY rowid")
	if err != nil {
		f.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			f.t.Fatal(err)
		}
		out = append(out, what)
	}
	rows.Close()
	if _, err := f.pool.Exec("DELETE FROM ledger"); err != nil {
		f.t.Fatal(err)
	}
	return out
}
