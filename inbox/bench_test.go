package inbox_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

const (
	benchWorkers = 8
	benchRound   = 200 * time.Millisecond
)

// BenchmarkOverhead compares a handler's own transaction of three statements with
// the same through the inbox: eight workers, PostgreSQL that syncs each commit,
// short rounds in turn. One iteration is a pair of rounds; the metric
// overhead-% is the median of the pairs.
func BenchmarkOverhead(b *testing.B) {
	for _, level := range []string{"sequence", "event", "position"} {
		b.Run(level, func(b *testing.B) { benchOverhead(b, level) })
	}
}

func benchOverhead(b *testing.B, level string) {
	s := newBench(b, level)
	for _, run := range []func(worker, n int) error{s.alone, s.through} {
		s.round(b, run) // caches warm up
	}
	var ratios, alone, through []float64
	for n := 0; b.Loop(); n++ {
		var x, y float64
		if n%2 == 0 {
			x, y = s.round(b, s.alone), s.round(b, s.through)
		} else {
			y, x = s.round(b, s.through), s.round(b, s.alone)
		}
		alone, through, ratios = append(alone, x), append(through, y), append(ratios, 100*(x/y-1))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(alone), "alone/s")
	b.ReportMetric(median(through), "inbox/s")
	b.ReportMetric(median(ratios), "overhead-%")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

type bench struct {
	db    *sqldb.DB[pgx.Tx]
	in    *inbox.Inbox[pgx.Tx]
	level string
	next  [benchWorkers]int
}

func newBench(b *testing.B, level string) *bench {
	d := sqltest.Durable(b, "postgres")
	sqltest.Open(b, d)
	cfg, err := pgxpool.ParseConfig(d.DSN)
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns = benchWorkers
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	for _, q := range []string{
		"CREATE TABLE account (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL) WITH (fillfactor = 50)",
		"INSERT INTO account SELECT n, 0 FROM generate_series(0, 7999) n",
		"CREATE TABLE booking (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account INTEGER NOT NULL, amount BIGINT NOT NULL, note TEXT NOT NULL)",
	} {
		if _, err := pool.Exec(b.Context(), q); err != nil {
			b.Fatal(err)
		}
	}
	s := &bench{db: sqldb.PGX(pool), level: level}
	opts := []inbox.Option{inbox.Lanes(benchWorkers)}
	if level == "position" {
		opts = append(opts, inbox.PerPartition())
	}
	if s.in, err = inbox.New(s.db, "bench", opts...); err != nil {
		b.Fatal(err)
	}
	s.in.Handle("orders", "", func(ctx context.Context, tx pgx.Tx, m *bus.Delivery) error { return book(ctx, tx, m) })
	return s
}

// book is the handler: three statements.
func book(ctx context.Context, tx pgx.Tx, m *bus.Delivery) error {
	var account, balance int64
	fmt.Sscan(m.Key, &account)
	if err := tx.QueryRow(ctx, "SELECT balance FROM account WHERE id = $1 FOR UPDATE", account).Scan(&balance); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "UPDATE account SET balance = $2 WHERE id = $1", account, balance+1); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO booking (account, amount, note) VALUES ($1, $2, $3)", account, 1, m.ID)
	return err
}

// message is the nth message of a worker.
func (s *bench) message(worker, n int) *bus.Delivery {
	d := &bus.Delivery{Message: bus.Message{Topic: "orders", Key: fmt.Sprint(worker*1000 + n%1000), ID: fmt.Sprintf("%08x-%d-4000-8000-%012d", n*2654435761%(1<<32), worker, n), Source: "shop", Body: []byte("{}")}}
	switch s.level {
	case "sequence":
		d.SetHeader(bus.HeaderSequence, fmt.Appendf(nil, "f3a9c0de:%d", n+1))
	case "position":
		d.Position = &bus.Position{Topic: "orders", Partition: int32(worker), Offset: int64(n)}
	}
	return d
}

func (s *bench) alone(worker, n int) error {
	d := s.message(worker, n)
	return s.db.InTx(context.Background(), func(ctx context.Context, tx pgx.Tx) error { return book(ctx, tx, d) })
}

func (s *bench) through(worker, n int) error {
	return s.in.Process(context.Background(), s.message(worker, n))
}

// round has all workers work for a moment and returns their rate.
func (s *bench) round(b *testing.B, run func(worker, n int) error) float64 {
	var done atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range benchWorkers {
		wg.Go(func() {
			for time.Since(start) < benchRound {
				if err := run(w, s.next[w]); err != nil {
					b.Error(err)
					return
				}
				s.next[w]++
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}
