package saga_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// benchSteps is how many replies, and thereby transitions, a saga has.
const benchSteps = 5

func benchSaga() *saga.Definition[trip] {
	d := saga.Define[trip]("bench", 1)
	build := func(s trip) (saga.Command, error) {
		return saga.Command{Topic: "work", Type: "do", Data: s}, nil
	}
	for i := range benchSteps {
		d.Step(fmt.Sprintf("step-%d", i), build, build, saga.Timeout(30*time.Second))
	}
	return d
}

// BenchmarkTransitions handles replies, of participants that cost nothing, by 8
// workers: a transition each, on a PostgreSQL that syncs every commit.
func BenchmarkTransitions(b *testing.B) {
	b.Run("sql", func(b *testing.B) {
		db, pool := sqltest.Open(b, sqltest.Durable(b, "postgres"))
		pool.SetMaxIdleConns(8)
		benchTransitions(b, db)
	})
	b.Run("pgx", func(b *testing.B) {
		d := sqltest.Durable(b, "postgres")
		sqltest.Open(b, d)
		pool, err := pgxpool.New(b.Context(), d.DSN+"&pool_max_conns=8")
		if err != nil {
			b.Fatal(err)
		}
		defer pool.Close()
		benchTransitions(b, sqldb.PGX(pool))
	})
}

func benchTransitions[TX any](b *testing.B, db *sqldb.DB[TX]) {
	ctx := b.Context()
	ob := outbox.New(db)
	eng := saga.NewEngine(db, ob, "replies")
	def := benchSaga()
	if err := eng.Register(def); err != nil {
		b.Fatal(err)
	}
	ib, err := inbox.New(db, "bench")
	if err != nil {
		b.Fatal(err)
	}
	eng.Bind(ib)
	start := func(n int) error {
		return db.InTx(ctx, func(ctx context.Context, tx TX) error {
			id := fmt.Sprintf("saga-%d", n)
			return saga.Start(ctx, eng, tx, def, id, trip{ID: id})
		})
	}
	reply := func(n, step int) error {
		m := bus.Message{Topic: "replies", ID: fmt.Sprintf("%d-%d", n, step), Type: saga.ReplyType, Body: []byte(`"done"`)}
		for name, value := range map[string]string{
			saga.HeaderSaga: fmt.Sprintf("saga-%d", n), saga.HeaderName: "bench", saga.HeaderStep: fmt.Sprintf("step-%d", step),
			saga.HeaderOp: "action", saga.HeaderAttempt: "1", saga.HeaderOutcome: "ok",
		} {
			m.SetHeader(name, []byte(value))
		}
		return ib.Process(ctx, &bus.Delivery{Message: m, Attempt: 1})
	}
	sagas := (b.N + benchSteps - 1) / benchSteps
	each(b, sagas, func(n int) error { return start(n) })
	b.ResetTimer()
	each(b, sagas, func(n int) error {
		for s := range benchSteps {
			if err := reply(n, s); err != nil {
				return err
			}
		}
		return nil
	})
	b.ReportMetric(float64(sagas*benchSteps)/b.Elapsed().Seconds(), "transitions/s")
	b.StopTimer()
	if err := finished(ctx, db, sagas); err != nil {
		b.Fatal(err)
	}
}

// finished checks that all have come to their end.
func finished[TX any](ctx context.Context, db *sqldb.DB[TX], want int) error {
	all, err := saga.List(ctx, db, saga.Filter{State: "completed", Limit: want + 1})
	if err == nil && len(all) != want {
		err = fmt.Errorf("%d of %d sagas are completed", len(all), want)
	}
	return err
}

// each calls f with 0 to n-1, by 8 workers.
func each(b *testing.B, n int, f func(n int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
