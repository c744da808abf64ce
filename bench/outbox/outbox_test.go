// Package outbox measures the outbox's relay on a PostgreSQL of its own that syncs
// every commit: how fast it drains a backlog, and how long it is from a commit to
// the publication; to a bus that takes everything at once, and through bus/kafka to
// a Waxwing on disk.
//
//	go test -run '^$' -bench . -benchtime 1x ./bench/outbox
package outbox

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

var (
	events  = flag.Int("events", 200_000, "of the backlog")
	rate    = flag.Int("rate", 400, "transactions per second")
	seconds = flag.Int("seconds", 10, "of transactions at that rate")
	workers = flag.Int("workers", 0, "of the relay; 0: its default")
	batch   = flag.Int("batch", 0, "of the relay; 0: its default")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() { // only to see that they run
		*events, *seconds = 2000, 1
	}
	os.Exit(sqltest.Run(m))
}

// A sink is a bus that takes everything at once, or hands it on, and calls got.
type sink struct {
	to  bus.Publisher // nil: nobody
	got func(msgs []bus.Message)
}

func (s sink) System() string { return "kafka" }

func (s sink) Publish(ctx context.Context, msgs []bus.Message) error {
	if s.to != nil {
		if err := s.to.Publish(ctx, msgs); err != nil {
			return err
		}
	}
	s.got(msgs)
	return nil
}

// targets are what relays publish to.
var targets = map[string]func(b *testing.B) bus.Publisher{
	"nothing": func(*testing.B) bus.Publisher { return nil },
	"waxwing": func(b *testing.B) bus.Publisher {
		broker, err := waxwing.Start(b.Context(), waxwing.DataDir(b.TempDir()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = broker.Stop(context.Background()) })
		to, err := kafka.New([]string{broker.KafkaAddr()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = to.Close() })
		if err := to.Publish(b.Context(), []bus.Message{{Topic: "orders", ID: "first", Body: []byte{}}}); err != nil { // makes the topic
			b.Fatal(err)
		}
		return to
	},
}

// open is an outbox in an empty database, with 50 aggregates.
func open(b *testing.B) (*outbox.Outbox[pgx.Tx], *pgxpool.Pool) {
	b.Helper()
	d := sqltest.Durable(b, "postgres")
	sqltest.Open(b, d) // migrates
	cfg, err := pgxpool.ParseConfig(d.DSN)
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns = 40
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(), "CREATE TABLE aggregate AS SELECT i AS id, 0 AS version FROM generate_series(0, 49) i; ALTER TABLE aggregate ADD PRIMARY KEY (id)"); err != nil {
		b.Fatal(err)
	}
	return outbox.New(sqldb.PGX(pool)), pool
}

// run runs a relay until the function that it returns is called.
func run(b *testing.B, o *outbox.Outbox[pgx.Tx], to bus.Publisher) (stop func()) {
	opts := []outbox.RelayOption{outbox.Logger(slog.New(slog.NewTextHandler(io.Discard, nil)))}
	if *workers > 0 {
		opts = append(opts, outbox.Workers(*workers))
	}
	if *batch > 0 {
		opts = append(opts, outbox.BatchSize(*batch))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- outbox.NewRelay(o, to, opts...).Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// fill writes a backlog, by 1,000 in a transaction.
func fill(b *testing.B, o *outbox.Outbox[pgx.Tx], body []byte) {
	b.Helper()
	for n := 0; n < *events; n += 1000 {
		err := o.InTx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
			batch := make([]outbox.Event, min(1000, *events-n))
			for i := range batch {
				batch[i] = outbox.Event{Topic: "orders", Key: strconv.Itoa((n + i) % 5000), Type: "order.placed", Data: body}
			}
			return o.Publish(ctx, tx, batch...)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDrain: how many events per second a relay publishes and deletes of a
// backlog, until the table is empty; bodies of 256 bytes and 1 KB.
func BenchmarkDrain(b *testing.B) {
	for _, c := range []struct {
		to   string
		size int
	}{{"nothing", 256}, {"nothing", 1024}, {"waxwing", 256}, {"waxwing", 1024}} {
		b.Run(fmt.Sprint(c.to, "/", c.size, "B"), func(b *testing.B) {
			size, to := c.size, targets[c.to](b)
			for b.Loop() {
				b.StopTimer()
				o, pool := open(b)
				fill(b, o, make([]byte, size))
				if _, err := pool.Exec(b.Context(), "CHECKPOINT"); err != nil {
					b.Fatal(err)
				}
				var got atomic.Int64
				all := make(chan struct{})
				b.StartTimer()
				began := time.Now()
				stop := run(b, o, sink{to, func(msgs []bus.Message) {
					if got.Add(int64(len(msgs))) == int64(*events) {
						close(all)
					}
				}})
				<-all
				stop() // after the last delete
				took := time.Since(began)
				b.StopTimer()
				var left int
				if err := pool.QueryRow(b.Context(), "SELECT count(*) FROM waxwing_outbox").Scan(&left); err != nil || left > 0 {
					b.Fatal(left, " are left, ", err)
				}
				b.ReportMetric(float64(*events)/took.Seconds(), "events/s")
				b.StartTimer()
			}
		})
	}
}

// BenchmarkLatency: from the return of the commit to the publication of its event,
// at a fixed rate of transactions, each of which updates a row and publishes.
func BenchmarkLatency(b *testing.B) {
	for _, to := range []string{"nothing", "waxwing"} {
		b.Run(to, func(b *testing.B) { latency(b, targets[to](b)) })
	}
}

func latency(b *testing.B, to bus.Publisher) {
	o, _ := open(b)
	var mu sync.Mutex
	committed, published := map[string]time.Time{}, map[string]time.Time{}
	stop := run(b, o, sink{to, func(msgs []bus.Message) {
		mu.Lock()
		defer mu.Unlock()
		for i := range msgs {
			published[msgs[i].ID] = time.Now()
		}
	}})
	defer stop()
	total := *rate * *seconds
	for b.Loop() {
		clear(committed)
		clear(published)
		pace(b, total, func(n int) {
			id := fmt.Sprintf("%d-%d", b.N, n)
			err := o.InTx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, "UPDATE aggregate SET version = version + 1 WHERE id = $1", n%50); err != nil {
					return err
				}
				return o.Publish(ctx, tx, outbox.Event{Topic: "orders", Key: strconv.Itoa(n % 50), Type: "order.placed", ID: id, Data: make([]byte, 256)})
			})
			now := time.Now()
			if err != nil {
				b.Error(err)
				return
			}
			mu.Lock()
			committed[id] = now
			mu.Unlock()
		})
		report(b, &mu, committed, published, total)
	}
}

// pace calls f total times at the rate, in goroutines, and waits for them.
func pace(b *testing.B, total int, f func(n int)) {
	var wg sync.WaitGroup
	began := time.Now()
	for n := range total {
		time.Sleep(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(*rate))))
		wg.Go(func() { f(n) })
	}
	wg.Wait()
	b.ReportMetric(float64(total)/time.Since(began).Seconds(), "tx/s")
}

// report waits for the last publication and reports percentiles.
func report(b *testing.B, mu *sync.Mutex, committed, published map[string]time.Time, total int) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(published)
		mu.Unlock()
		if n >= total {
			break
		}
		if time.Now().After(end) {
			b.Fatal(n, " of ", total, " were published")
		}
	}
	mu.Lock()
	defer mu.Unlock()
	var took []float64 // milliseconds; below 0 if the publication was first
	for id, at := range committed {
		took = append(took, max(0, published[id].Sub(at).Seconds()*1000))
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(took[len(took)*p/100], fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(took[len(took)-1], "max-ms")
}
