package waxwing_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

type Order struct {
	ID    string
	Cents int
}

// readmeLines are the lines with which the README's section on the SDK begins.
func readmeLines(ctx context.Context, ob *outbox.Outbox[*sql.Tx], in *inbox.Inbox[*sql.Tx], order Order) error {
	//README
	err := ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { // the order and its event: both, or neither
		if _, err := tx.ExecContext(ctx, "INSERT INTO purchase (id, cents) VALUES (?, ?)", order.ID, order.Cents); err != nil {
			return err
		}
		return ob.Publish(ctx, tx, outbox.Event{Topic: "orders", Key: order.ID, Type: "order.placed", Data: order})
	})
	inbox.Handle(in, "orders", "order.placed", func(ctx context.Context, tx *sql.Tx, o Order, m *bus.Delivery) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO invoice (order_id, cents) VALUES (?, ?)", o.ID, o.Cents)
		return err // one invoice for each order, however often its event comes
	})
	//README
	return err
}

// TestReadmeSDKLines: the README's ten lines are those above.
func TestReadmeSDKLines(t *testing.T) {
	source, err := os.ReadFile("readme_sdk_test.go")
	must(t, err)
	parts := strings.Split(string(source), "\t//README\n")
	if len(parts) != 3 {
		t.Fatalf("this file has %d parts", len(parts))
	}
	var run strings.Builder
	for line := range strings.Lines(parts[1]) {
		run.WriteString(strings.TrimPrefix(line, "\t"))
	}
	shown := snippets("README.md", readmeSDK(t))[0].code
	if shown != run.String() {
		t.Errorf("README.md has\n%s\nand what is run is\n%s", shown, run.String())
	}
	if n := strings.Count(shown, "\n"); n != 10 {
		t.Errorf("README.md's ten lines are %d", n)
	}
}

// TestReadmeSDK runs them, over both protocols: one order, one event, and, although
// the event comes twice, one invoice.
func TestReadmeSDK(t *testing.T) {
	for name, connect := range map[string]func(b *waxwing.Broker) (bus.Bus, error){
		"kafka": func(b *waxwing.Broker) (bus.Bus, error) { return kafka.New([]string{b.KafkaAddr()}) },
		"amqp":  func(b *waxwing.Broker) (bus.Bus, error) { return amqp.New(b.AMQPURL()) },
	} {
		t.Run(name, func(t *testing.T) { // a broker each: a topic of Kafka clients is no queue
			broker, err := connect(waxtest.Broker(t, waxwing.AMQPAddr("127.0.0.1:0")))
			must(t, err)
			defer broker.Close()
			readmeOver(t, broker)
		})
	}
}

func readmeOver(t *testing.T, broker bus.Bus) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(t.TempDir(), "shop.db"))
	must(t, err)
	defer pool.Close()
	must(t, sqldb.Migrate(ctx, db))
	for _, s := range []string{"CREATE TABLE purchase (id TEXT, cents INTEGER)", "CREATE TABLE invoice (order_id TEXT, cents INTEGER)"} {
		_, err := pool.ExecContext(ctx, s)
		must(t, err)
	}
	ob := outbox.New(db)
	in, err := inbox.New(db, "billing")
	must(t, err)
	must(t, readmeLines(ctx, ob, in, Order{"o1", 500}))

	var running sync.WaitGroup
	running.Go(func() {
		if err := outbox.NewRelay(ob, &unheard{Publisher: broker}, outbox.Logger(silent)).Run(ctx); err != nil {
			t.Error(err)
		}
	})
	seen := make(chan string, 10)
	counting := counted{broker, seen}
	running.Go(func() {
		if err := in.Run(ctx, counting); err != nil {
			t.Error(err)
		}
	})
	var ids [2]string
	for i := range ids {
		select {
		case ids[i] = <-seen:
		case <-ctx.Done():
			t.Fatalf("the event came %d times", i)
		}
	}
	if ids[0] != ids[1] {
		t.Errorf("there were two events: %s", ids)
	}
	cancel()
	running.Wait()
	got := ""
	must(t, pool.QueryRow("SELECT (SELECT COUNT(*) FROM purchase) || ' order, ' || COUNT(*) || ' invoice for ' || MIN(order_id) || ' of ' || SUM(cents) FROM invoice").Scan(&got))
	if want := "1 order, 1 invoice for o1 of 500"; got != want {
		t.Errorf("there is %s; want %s", got, want)
	}
}

// unheard is a publisher whose first acknowledgement is lost, so that the relay
// publishes the event again.
type unheard struct {
	bus.Publisher
	once sync.Once
}

func (u *unheard) Publish(ctx context.Context, msgs []bus.Message) error {
	err := u.Publisher.Publish(ctx, msgs)
	u.once.Do(func() { err = errors.Join(err, errors.New("the acknowledgement is lost")) })
	return err
}

// counted tells which messages a subscriber has seen acknowledged.
type counted struct {
	bus.Subscriber
	seen chan<- string
}

func (c counted) Subscribe(ctx context.Context, s bus.Subscription, h bus.Handler) error {
	return c.Subscriber.Subscribe(ctx, s, func(ctx context.Context, ds []*bus.Delivery) (int, error) {
		done, err := h(ctx, ds)
		for _, d := range ds[:done] {
			c.seen <- d.ID
		}
		return done, err
	})
}
