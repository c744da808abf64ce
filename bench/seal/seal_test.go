// Package seal measures what sealing costs an outbox, on a PostgreSQL of its own that
// syncs every commit.
//
//	go test -run '^$' -bench . -benchtime 15x ./bench/seal
package seal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/sqldb"
)

const (
	lanes = 8    // and writers, each of which has the keys of one
	size  = 1024 // of a body
	topic = "payments"
	plain = "orders"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// BenchmarkOutbox compares an outbox whose events are sealed with one whose are not:
// eight writers, each in a lane of its own, commit one event of 1 KB in each transaction,
// as fast as they can, while a relay publishes to a Waxwing on disk; a round ends when
// the outbox is empty. Short rounds in turn; one iteration is one of each, and the
// metrics are medians: the rates, and the sealed one as a percentage of the plain one of
// the same iteration. The sessions are beyond their handshakes.
func BenchmarkOutbox(b *testing.B) {
	for name, p := range map[string]ratchet.Profile{"signal-v4": ratchet.SignalV4, "waxwing-he": ratchet.WaxwingHE} {
		b.Run(name, func(b *testing.B) { compare(b, p) })
	}
}

func compare(b *testing.B, p ratchet.Profile) {
	s := newShop(b, p)
	for _, t := range []string{plain, topic} {
		s.round(b, t) // caches warm up
	}
	var rates [2][]float64
	var share []float64
	for n := 0; b.Loop(); n++ {
		var now [2]float64
		for k := range now {
			at := (n + k) % 2
			now[at] = s.round(b, []string{plain, topic}[at])
		}
		rates[0], rates[1], share = append(rates[0], now[0]), append(rates[1], now[1]), append(share, 100*now[1]/now[0])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rates[0]), "plain/s")
	b.ReportMetric(median(rates[1]), "sealed/s")
	b.ReportMetric(median(share), "sealed-%")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// A shop publishes.
type shop struct {
	ob   *outbox.Outbox[pgx.Tx]
	keys [lanes]string
	sent atomic.Int64 // by the relay
	next atomic.Int64
}

func newShop(b *testing.B, p ratchet.Profile) *shop {
	d := sqltest.Durable(b, "postgres")
	sqltest.Open(b, d) // migrates
	cfg, err := pgxpool.ParseConfig(d.DSN)
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns = lanes + 8
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	db := sqldb.PGX(pool)

	company := sealtest.New(b, time.Now)
	company.Identity("shop", lanes)
	company.Identity("billing", lanes)
	ep := sealtest.Endpoint(company, db, "shop", seal.Profile(p), seal.To(topic, "billing"), seal.OneTimeKeys(2*lanes))
	billing := sealtest.Endpoint(company, db, "billing", seal.Profile(p), seal.OneTimeKeys(2*lanes))

	s := &shop{ob: outbox.New(db, outbox.Seal(ep))}
	s.keys = greeted(b, db, ep, billing)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	relay := outbox.NewRelay(s.ob, counting{target(b), &s.sent}, outbox.Logger(slog.New(slog.DiscardHandler)))
	go func() { done <- relay.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return s
}

// greeted has a session in each lane, which both sides have used, and returns a key of
// each lane.
func greeted(b *testing.B, db *sqldb.DB[pgx.Tx], ep, billing *seal.Endpoint[pgx.Tx]) (keys [lanes]string) {
	found := map[int]string{}
	err := db.InTx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
		for n := 0; len(found) < lanes; n++ {
			m := bus.Message{Topic: topic, Key: fmt.Sprint("key", n), ID: fmt.Sprint(n), Body: []byte("first")}
			if err := ep.Seal(ctx, tx, "billing", &m); err != nil {
				return err
			}
			env, err := seal.ParseEnvelope(m.Body)
			if err != nil {
				return err
			}
			found[env.Lane] = m.Key
			if err := billing.Open(ctx, tx, &bus.Delivery{Message: m}); err != nil {
				return err
			}
		}
		hello, err := billing.Greet(ctx, tx, "shop")
		for i := range hello {
			if err == nil {
				err = ep.Open(ctx, tx, &bus.Delivery{Message: hello[i]})
			}
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for lane, key := range found {
		keys[lane] = key
	}
	return keys
}

// target is a Waxwing on disk.
func target(b *testing.B) bus.Publisher {
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
	if err := to.Publish(b.Context(), []bus.Message{{Topic: topic, ID: "first", Body: []byte{}}, {Topic: plain, ID: "first", Body: []byte{}}}); err != nil { // makes the topics
		b.Fatal(err)
	}
	return to
}

// counting counts what was published.
type counting struct {
	bus.Publisher
	sent *atomic.Int64
}

func (c counting) Publish(ctx context.Context, msgs []bus.Message) error {
	err := c.Publisher.Publish(ctx, msgs)
	if err == nil {
		c.sent.Add(int64(len(msgs)))
	}
	return err
}

// round has all writers write for a moment, waits until everything is published, and
// returns the rate.
func (s *shop) round(b *testing.B, topic string) float64 {
	before := s.sent.Load()
	var written atomic.Int64
	body := make([]byte, size)
	began := time.Now()
	var wg sync.WaitGroup
	for w := range lanes {
		wg.Go(func() {
			for time.Since(began) < 400*time.Millisecond {
				err := s.ob.InTx(b.Context(), func(ctx context.Context, tx pgx.Tx) error {
					return s.ob.Publish(ctx, tx, outbox.Event{Topic: topic, Key: s.keys[w], Type: "made", ID: fmt.Sprint("e", s.next.Add(1)), Data: body})
				})
				if err != nil {
					b.Error(err)
					return
				}
				written.Add(1)
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(30 * time.Second); s.sent.Load()-before < written.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("the relay does not get on")
		}
	}
	return float64(written.Load()) / time.Since(began).Seconds()
}
