package saga_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// sealing makes services that seal commands and replies, and take no others.
func sealing(c *sealtest.Company) func(t testing.TB, d sqltest.Database, name string) *service {
	rules := map[string][]seal.Option{
		"center": {seal.To("stock", "stock"), seal.To("trade", "trade"), seal.Expect("replies", "stock", "trade")},
		"stock":  {seal.To("replies", "center"), seal.Expect("stock", "center")},
		"trade":  {seal.To("replies", "center"), seal.Expect("trade", "center")},
	}
	return func(t testing.TB, d sqltest.Database, name string) *service {
		return serviceOf(t, d, name, func(db *sqldb.DB[*sql.Tx]) (outbox.Option, inbox.Option) {
			ep := sealtest.Endpoint(c, db, name, rules[name]...)
			return outbox.Seal(ep), inbox.Seal(ep)
		})
	}
}

// TestPumpSealed: sagas whose commands and replies are sealed end in the same storm as
// others, and what is under way is ciphertext.
func TestPumpSealed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		w := worldOf(t, d.Dialect, 1, sealing(sealtest.New(t, time.Now)))
		w.start(6)
		for range 200 {
			w.step()
			for _, m := range w.flight {
				if bytes.Contains(m.Body, []byte("trip-")) || m.Header(saga.HeaderSaga) != nil {
					t.Fatalf("%s is plaintext", m.ID)
				}
			}
		}
		w.finish()
		if wrong, _ := w.judge(); len(wrong) > 0 {
			t.Fatal(waxtest.Report(wrong))
		}
	})
}

// TestRunSealed: an engine that runs by itself opens replies with its own inbox.
func TestRunSealed(t *testing.T) {
	wires, c := newMemBus(), sealtest.New(t, time.Now)
	stock := sealing(c)(t, sqltest.New(t, "sqlite"), "stock")
	p := saga.NewParticipant(stock.db, stock.ib, stock.ob)
	saga.Serve(p, "stock", "reserve", func(_ context.Context, _ *sql.Tx, o order, m *bus.Delivery) (any, error) {
		if from := string(m.Header(seal.HeaderFrom)); from != "center" || o.ID != "a" {
			t.Errorf("%+v from %q", o, from)
		}
		return nil, nil
	})
	db, _ := sqltest.Open(t, sqltest.New(t, "sqlite"))
	ep := sealtest.Endpoint(c, db, "center", seal.To("stock", "stock"), seal.Expect("replies", "stock"))
	ob := outbox.New(db, outbox.Seal(ep))
	eng := saga.NewEngine(db, ob, "replies", saga.Seal(ep))
	def := saga.Define[order]("one", 1).Step("reserve", build("stock", "reserve"), nil)
	if err := eng.Register(def); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, run := range []func() error{
		func() error { return outbox.NewRelay(ob, wires).Run(ctx) }, func() error { return outbox.NewRelay(stock.ob, wires).Run(ctx) },
		func() error { return p.Run(ctx, wires) }, func() error { return eng.Run(ctx, wires) },
	} {
		wg.Go(func() {
			if err := run(); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	if err := db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return saga.Start(ctx, eng, tx, def, "a", order{ID: "a"}) }); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		in, err := saga.Show(ctx, db, "a")
		if err == nil && in.State == "completed" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(fmt.Sprint(in, err))
		}
	}
}
