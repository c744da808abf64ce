// Package sealed looks at sealed messages on the real broker as those do who have no
// keys, with unmodified clients; and has those open them who have.
package sealed

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// marker is in all that is sealed, and nowhere else.
const marker = "plainly"

// A payment is what is published.
type payment struct{ Card string }

var silent = slog.New(slog.DiscardHandler)

// A market is a broker with its directory, and services.
type market struct {
	*harness.Broker
	t   *testing.T
	co  *sealtest.Company
	dir *directory.Client
}

func start(t *testing.T) *market {
	t.Helper()
	b := harness.StartBrokerIn(t, filepath.Join(t.TempDir(), "data"), "--broker-config", "group.initial.rebalance.delay.ms=0")
	dir, err := directory.NewClient(directory.Config{URL: "http://" + b.HTTP, User: "guest", Password: "guest"})
	harness.Must(t, err)
	return &market{b, t, sealtest.New(t, time.Now), dir}
}

// database is a new one.
func database(t *testing.T, name string) (*sqldb.DB[*sql.Tx], *sql.DB) {
	t.Helper()
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(t.TempDir(), name+".db") + "?_pragma=synchronous(off)")
	harness.Must(t, err)
	t.Cleanup(func() { pool.Close() })
	harness.Must(t, sqldb.Migrate(t.Context(), db))
	return db, pool
}

// endpoint is a service's, to which others can seal.
func (m *market) endpoint(db *sqldb.DB[*sql.Tx], name string, rules ...seal.Option) *seal.Endpoint[*sql.Tx] {
	m.t.Helper()
	ep, err := seal.New(db, m.co.Identity(name, 2), m.co.Keys,
		append(rules, seal.Pinned(m.co.Root.Public()), seal.Through(m.dir), seal.CountedBy(m.dir), seal.OneTimeKeys(1), seal.Logger(silent))...)
	harness.Must(m.t, err)
	_, err = ep.Check(m.t.Context())
	harness.Must(m.t, err)
	harness.Must(m.t, ep.Publish(m.t.Context()))
	return ep
}

// during runs something until the test ends.
func (m *market) during(run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(m.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil && ctx.Err() == nil {
			m.t.Error(err)
		}
	}()
	m.t.Cleanup(func() { cancel(); <-ended })
}

// send publishes n payments under a topic, by an outbox and its relay.
func (m *market) send(db *sqldb.DB[*sql.Tx], ep *seal.Endpoint[*sql.Tx], to bus.Publisher, topic string, n int) {
	m.t.Helper()
	ob := outbox.New(db, outbox.Source("orders"), outbox.Seal(ep))
	for i := range n {
		err := ob.InTx(m.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return ob.Publish(ctx, tx, outbox.Event{
				Topic: topic, Key: fmt.Sprint("order-", i), Type: "order.paid", ID: fmt.Sprint("id-", i), Data: payment{fmt.Sprint(marker, i)},
				Headers: []bus.Header{{Name: "tenant-" + marker, Value: []byte(marker)}},
			})
		})
		harness.Must(m.t, err)
	}
	m.during(outbox.NewRelay(ob, seal.Counted(to, m.dir), outbox.Logger(silent)).Run)
}

// A sight is a message as a client has printed it.
type sight struct {
	Key, Body []byte
	Headers   map[string][][]byte
}

// visible are the headers and properties that docs/format/seal.md and the packages of the
// buses say are outside.
var visible = []string{
	"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type", bus.HeaderSequence, seal.HeaderSealed, // both
	"content_type", "delivery_mode", "message_id", "timestamp", "type", "app_id", "waxwing-key", // AMQP
}

// strange checks that somebody without keys sees ciphertext in the lines of a client.
func strange(t *testing.T, lines []string, n int) {
	t.Helper()
	if len(lines) != n {
		t.Fatalf("%d messages, want %d", len(lines), n)
	}
	bodies := map[string]bool{}
	for _, line := range lines {
		var s sight
		harness.Must(t, json.Unmarshal([]byte(line), &s))
		all := slices.Concat(s.Key, s.Body)
		for name, values := range s.Headers {
			if !slices.Contains(visible, name) {
				t.Errorf("a header %q is outside", name)
			}
			all = append(append(all, name...), bytes.Join(values, nil)...)
		}
		if bytes.Contains(all, []byte(marker)) {
			t.Errorf("plaintext: %q", all)
		}
		e, err := seal.ParseEnvelope(s.Body)
		if err != nil || !bytes.HasPrefix(s.Body, []byte("WXS")) {
			t.Errorf("%v: %q", err, s.Body)
		} else if e.Kind != seal.KindHandshake || e.Sender != "orders" || e.Recipient != "billing" {
			t.Errorf("%+v", e)
		}
		bodies[string(s.Body)] = true
	}
	if len(bodies) != n {
		t.Errorf("%d ciphertexts of %d", len(bodies), n)
	}
}

// opens checks that billing, by its inbox, gets n payments.
func (m *market) opens(db *sqldb.DB[*sql.Tx], ep *seal.Endpoint[*sql.Tx], from bus.Subscriber, topic string, n int) {
	m.t.Helper()
	in, err := inbox.New(db, "billing", inbox.Seal(ep), inbox.Logger(silent))
	harness.Must(m.t, err)
	got := make(chan string, 10*n)
	inbox.Handle(in, topic, "order.paid", func(_ context.Context, _ *sql.Tx, p payment, d *bus.Delivery) error {
		got <- fmt.Sprintf("%s %s %s %s", d.Key, p.Card, d.Header("tenant-"+marker), d.Header(seal.HeaderFrom))
		return nil
	})
	m.during(func(ctx context.Context) error { return in.Run(ctx, from) })
	var all []string
	for range n {
		select {
		case one := <-got:
			all = append(all, one)
		case <-time.After(time.Minute):
			m.t.Fatalf("only %q", all)
		}
	}
	slices.Sort(all)
	for i, one := range all {
		if want := fmt.Sprintf("order-%d %s%d %s orders", i, marker, i, marker); one != want {
			m.t.Errorf("%q, want %q", one, want)
		}
	}
}

const payments = 5

// TestKafkaJS: a KafkaJS consumer of a sealed topic sees only ciphertext, and the
// receiver opens it.
func TestKafkaJS(t *testing.T) {
	modules := harness.Tool(t, "node", "node_modules")
	m := start(t)
	wire, err := kafka.New([]string{m.Bootstrap}, kafka.Client(kgo.ProducerBatchCompression(kgo.GzipCompression()))) // KafkaJS has no snappy
	harness.Must(t, err)
	t.Cleanup(func() { wire.Close() })
	ordersDB, _ := database(t, "orders")
	billingDB, _ := database(t, "billing")
	billing := m.endpoint(billingDB, "billing", seal.Expect("payments", "orders"))
	m.send(ordersDB, m.endpoint(ordersDB, "orders", seal.To("payments", "billing")), wire, "payments", payments)
	stranger := amqptest.Run(t, ".", []string{"BOOTSTRAP=" + m.Bootstrap, "NODE_PATH=" + modules}, "node", "kafka.js", "payments", fmt.Sprint(payments))
	stranger.AwaitCount(payments)
	strange(t, stranger.Wait(), payments)
	m.opens(billingDB, billing, wire, "payments", payments)
}

// TestPika: so does a pika consumer of a queue.
func TestPika(t *testing.T) {
	python := harness.Tool(t, "amqppython", "bin", "python")
	m := start(t)
	url := "amqp://guest:guest@" + m.AMQP + "/"
	wire, err := amqp.New(url)
	harness.Must(t, err)
	t.Cleanup(func() { wire.Close() })
	ordersDB, _ := database(t, "orders")
	billingDB, _ := database(t, "billing")
	billing := m.endpoint(billingDB, "billing", seal.Expect("payments", "orders"))
	m.send(ordersDB, m.endpoint(ordersDB, "orders", seal.To("payments", "billing")), wire, "payments", payments)
	harness.Until(t, "the queue", func() bool {
		_, _, err := harness.Waxwing(t.Context(), "", "queue", "show", "payments", "--url", url)
		return err == nil
	})
	stranger := amqptest.Run(t, ".", []string{"AMQP_URL=" + url}, python, "-B", "amqp.py", "payments", fmt.Sprint(payments))
	stranger.AwaitCount(payments)
	strange(t, stranger.Wait(), payments)
	m.opens(billingDB, billing, wire, "payments", payments)
}

// readers are the members of a group.
const readers = 100

// TestGroupOf100: the broker has one ciphertext, which 100 consumers open, each with the
// key that it was sent.
func TestGroupOf100(t *testing.T) {
	m := start(t)
	wire, err := kafka.New([]string{m.Bootstrap})
	harness.Must(t, err)
	t.Cleanup(func() { wire.Close() })
	db, _ := database(t, "readers") // one for all of them, which saves migrations
	ordersDB, _ := database(t, "orders")
	orders := m.endpoint(ordersDB, "orders", seal.ToGroup("news", "readers"))
	var names []string
	var mu sync.Mutex
	seen := map[string]int{}
	for i := range readers {
		name := fmt.Sprint("reader-", i)
		names = append(names, name)
		in, err := inbox.New(db, name, inbox.Seal(m.endpoint(db, name, seal.Expect("news", "orders"))), inbox.Logger(silent), inbox.Lanes(1))
		harness.Must(t, err)
		inbox.Handle(in, "news", "order.paid", func(_ context.Context, _ *sql.Tx, p payment, _ *bus.Delivery) error {
			mu.Lock()
			defer mu.Unlock()
			if p.Card == marker+"0" {
				seen[name]++
			}
			return nil
		})
		m.during(func(ctx context.Context) error { return in.Run(ctx, wire) })
	}
	harness.Must(t, ordersDB.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return orders.Group("readers").Add(ctx, tx, names...) }))
	m.send(ordersDB, orders, wire, "news", 1)
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen)
	}
	for end := time.Now().Add(2 * time.Minute); count() < readers; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d have opened it", count(), readers)
		}
	}
	all := harness.ReadAll(t, m.Broker, "news")
	if len(all) != 1 {
		t.Fatalf("the broker has %d messages", len(all))
	}
	if e, err := seal.ParseEnvelope(all[0].Value); err != nil || e.Kind != seal.KindGroup || bytes.Contains(all[0].Value, []byte(marker)) {
		t.Errorf("%v, %v", e, err)
	}
}
