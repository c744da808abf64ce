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
	benchBatch   = 16 // as many as Batch is by default
	benchRound   = 300 * time.Millisecond
)

// BenchmarkOverhead compares a handler's own transaction of three statements with
// the same through the inbox, on PostgreSQL that syncs each commit, by eight workers
// that all have messages waiting: in batches as they are by default, and one message
// after the other (Batch(1), and what a message costs that comes alone). Short rounds
// in turn; one iteration is one of each, and the metrics are medians: the rates, and
// by how many percent the rate of the handler's own transactions is higher than each
// of the others, of the same iteration.
func BenchmarkOverhead(b *testing.B) {
	for _, level := range []string{"sequence", "event", "position"} {
		b.Run(level, func(b *testing.B) { benchOverhead(b, level) })
	}
}

func benchOverhead(b *testing.B, level string) {
	s := newBench(b, level)
	ways := []func(worker int) (int, error){s.alone, s.batch, s.single}
	for _, way := range ways {
		s.round(b, way) // caches warm up
	}
	rates, over := make([][]float64, len(ways)), make([][]float64, len(ways))
	for n := 0; b.Loop(); n++ {
		var now [3]float64
		for k := range ways {
			at := (n + k) % len(ways)
			now[at] = s.round(b, ways[at])
		}
		for at, rate := range now {
			rates[at], over[at] = append(rates[at], rate), append(over[at], 100*(now[0]/rate-1))
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates[0]), "alone/s")
	b.ReportMetric(median(rates[1]), "batch/s")
	b.ReportMetric(median(rates[2]), "single/s")
	b.ReportMetric(median(over[1]), "batch-overhead-%")
	b.ReportMetric(median(over[2]), "single-overhead-%")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

type bench struct {
	db    *sqldb.DB[pgx.Tx]
	in    *inbox.Inbox[pgx.Tx]
	level string

	next    [benchWorkers]int
	waiting [benchWorkers][]*bus.Delivery
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

// take are the next messages of a worker.
func (s *bench) take(worker, n int) []*bus.Delivery {
	out := make([]*bus.Delivery, n)
	for i := range out {
		out[i] = s.message(worker, s.next[worker])
		s.next[worker]++
	}
	return out
}

func (s *bench) alone(worker int) (int, error) {
	d := s.take(worker, 1)[0]
	return 1, s.db.InTx(context.Background(), func(ctx context.Context, tx pgx.Tx) error { return book(ctx, tx, d) })
}

func (s *bench) single(worker int) (int, error) {
	return 1, s.in.Process(context.Background(), s.take(worker, 1)[0])
}

// batch handles what waits as a lane does.
func (s *bench) batch(worker int) (int, error) {
	if len(s.waiting[worker]) < benchBatch {
		s.waiting[worker] = append(s.waiting[worker], s.take(worker, benchBatch)...)
	}
	done, err := s.in.ProcessBatch(context.Background(), s.waiting[worker][:benchBatch])
	s.waiting[worker] = s.waiting[worker][done:]
	return done, err
}

// round has all workers work for a moment and returns their rate.
func (s *bench) round(b *testing.B, way func(worker int) (int, error)) float64 {
	var done atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range benchWorkers {
		wg.Go(func() {
			for time.Since(start) < benchRound {
				n, err := way(w)
				if err != nil {
					b.Error(err)
					return
				}
				done.Add(int64(n))
			}
			s.waiting[w] = nil
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(start).Seconds()
}
