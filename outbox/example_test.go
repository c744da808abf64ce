package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A printer is a bus that prints. Use bus/kafka or bus/amqp instead.
type printer struct{ done chan struct{} }

func (p printer) System() string { return "kafka" }

func (p printer) Publish(_ context.Context, msgs []bus.Message) error {
	for _, m := range msgs {
		fmt.Println(m.Topic, m.Key, m.Type, string(m.Body))
		p.done <- struct{}{}
	}
	return nil
}

// open opens an empty database.
func open() (*sqldb.DB[*sql.Tx], func()) {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		panic(err)
	}
	pool, err := sqldb.OpenSQLite(filepath.Join(dir, "db"))
	if err != nil {
		panic(err)
	}
	db := sqldb.SQLite(pool)
	if err := sqldb.Migrate(context.Background(), db); err != nil {
		panic(err)
	}
	return db, func() { pool.Close(); os.RemoveAll(dir) }
}

type order struct {
	ID    string
	Total int
}

// A transaction's events are published once it has committed.
func Example() {
	ctx := context.Background()
	db, end := open()
	defer end()

	ob := outbox.New(db, outbox.Source("orders"))
	to := printer{make(chan struct{}, 10)}
	relay := outbox.NewRelay(ob, to)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error)
	go func() { done <- relay.Run(ctx) }()

	err := ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The transaction's own statements go here.
		return ob.Publish(ctx, tx, outbox.Event{Topic: "orders", Key: "7", Type: "order.placed", Data: order{"7", 30}})
	})
	if err != nil {
		panic(err)
	}
	<-to.done
	cancel()
	fmt.Println(<-done)
	// Output:
	// orders 7 order.placed {"ID":"7","Total":30}
	// <nil>
}

// Publish takes the caller's transaction; Wake spares the wait for the next poll.
func ExampleOutbox_Publish() {
	ctx := context.Background()
	db, end := open()
	defer end()
	ob := outbox.New(db)
	err := db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return ob.Publish(ctx, tx,
			outbox.Event{Topic: "orders", Key: "7", Type: "order.placed", Data: order{"7", 30}},
			outbox.Event{Topic: "mails", Key: "anna", Data: []byte("hello")})
	})
	ob.Wake()
	fmt.Println(err)
	// Output: <nil>
}

// An event that the broker refuses for ever can be dropped.
func ExampleOutbox_Drop() {
	ctx := context.Background()
	db, end := open()
	defer end()
	ob := outbox.New(db)
	err := ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return ob.Publish(ctx, tx, outbox.Event{Topic: "no such topic", Key: "7", Type: "order.placed"})
	})
	if err != nil {
		panic(err)
	}
	waiting, err := ob.List(ctx, 10)
	if err != nil {
		panic(err)
	}
	for _, e := range waiting {
		fmt.Println(e.ID, e.Message.Topic, e.Message.Type)
		fmt.Println(ob.Drop(ctx, e.ID))
	}
	// Output:
	// 1 no such topic order.placed
	// true <nil>
}

// After a restore from a backup, before relays run again.
func ExampleOutbox_RenewEpoch() {
	db, end := open()
	defer end()
	fmt.Println(outbox.New(db).RenewEpoch(context.Background()))
	// Output: <nil>
}

// A relay with all its options, and its metrics.
func ExampleNewRelay() {
	db, end := open()
	defer end()
	relay := outbox.NewRelay(outbox.New(db), printer{},
		outbox.Lease(5*time.Second), outbox.BatchSize(1000), outbox.Workers(4),
		outbox.Poll(10*time.Millisecond, 2*time.Second), outbox.Backoff(time.Second, time.Minute))
	fmt.Println(prometheus.NewRegistry().Register(relay.Collector()))
	// Output: <nil>
}
