package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// openExample is a database in a new file.
func openExample() (db *sqldb.DB[*sql.Tx], done func()) {
	dir, err := os.MkdirTemp("", "waxwing-example-")
	if err != nil {
		panic(err)
	}
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(dir, "app.db"))
	if err != nil {
		panic(err)
	}
	if err := sqldb.Migrate(context.Background(), db); err != nil {
		panic(err)
	}
	if _, err := pool.Exec("CREATE TABLE invoice (order_id TEXT, cents INTEGER)"); err != nil {
		panic(err)
	}
	return db, func() { pool.Close(); os.RemoveAll(dir) }
}

// order is how a message of a shop looks.
func order(id string, cents int) *bus.Delivery {
	return &bus.Delivery{Message: bus.Message{
		Topic: "orders", Key: id, Type: "order.placed", Source: "shop", ID: "placed-" + id,
		Body: fmt.Appendf(nil, `{"id":%q,"cents":%d}`, id, cents),
	}}
}

// An Order is the body of such a message.
type Order struct {
	ID    string
	Cents int
}

func Example() {
	db, done := openExample()
	defer done()
	in, err := inbox.New(db, "billing")
	if err != nil {
		panic(err)
	}
	inbox.Handle(in, "orders", "order.placed", func(ctx context.Context, tx *sql.Tx, o Order, m *bus.Delivery) error {
		fmt.Println("an invoice for", o.ID)
		_, err := tx.ExecContext(ctx, "INSERT INTO invoice VALUES (?, ?)", o.ID, o.Cents)
		return err
	})
	// in.Run(ctx, broker) does this with all that the broker sends:
	ctx := context.Background()
	for _, d := range []*bus.Delivery{order("o1", 100), order("o2", 200), order("o1", 100)} {
		if err := in.Process(ctx, d); err != nil {
			panic(err)
		}
	}
	// Output:
	// an invoice for o1
	// an invoice for o2
}

// What a loop of one's own has at once can share a transaction, as in Run.
func ExampleInbox_ProcessBatch() {
	db, close := openExample()
	defer close()
	in, err := inbox.New(db, "billing", inbox.Batch(100))
	if err != nil {
		panic(err)
	}
	in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
		fmt.Println("handled", m.Key)
		return nil
	})
	ctx := context.Background()
	waiting := []*bus.Delivery{order("o1", 100), order("o2", 200), order("o1", 100)}
	for len(waiting) > 0 {
		done, err := in.ProcessBatch(ctx, waiting)
		for n := 0; err != nil && n < len(waiting); n++ { // nothing has happened: each by itself
			if err := in.Process(ctx, waiting[n]); err != nil {
				panic(err)
			}
			done++
		}
		waiting = waiting[done:]
	}
	// Output:
	// handled o1
	// handled o2
}

func ExampleInbox_Run() {
	db, done := openExample()
	defer done()
	in, err := inbox.New(db, "billing", inbox.Lanes(8))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
		fmt.Println(m.Type, m.Key)
		cancel() // the example ends
		return nil
	})
	var broker bus.Subscriber = newQueue(order("o1", 100)) // or a bus of bus/kafka or bus/amqp
	fmt.Println(in.Consumer(), "has ended:", in.Run(ctx, broker))
	// Output:
	// order.placed o1
	// billing has ended: <nil>
}

func ExampleDeadLetter() {
	db, done := openExample()
	defer done()
	in, _ := inbox.New(db, "billing")
	in.Handle("orders", "", func(context.Context, *sql.Tx, *bus.Delivery) error {
		return inbox.DeadLetter(errors.New("no such customer"))
	})
	ctx := context.Background()
	_ = in.Process(ctx, order("o1", 100))

	letters, _ := inbox.ListDeadLetters(ctx, db, inbox.Filter{Consumer: "billing"})
	fmt.Println(letters[0].Message.ID, letters[0].Reason)
	replay, _ := inbox.ReplayDeadLetters(ctx, db, inbox.Filter{Consumer: "billing"}, inbox.ReplayOptions{})
	fmt.Println("replayed:", len(replay.IDs))
	// Output:
	// placed-o1 no such customer
	// replayed: 1
}

func ExampleRetry() {
	db, done := openExample()
	defer done()
	in, _ := inbox.New(db, "billing")
	in.Handle("orders", "", func(_ context.Context, _ *sql.Tx, m *bus.Delivery) error {
		if m.Key == "o1" {
			return inbox.Retry(time.Hour, errors.New("the bank is closed"))
		}
		return inbox.Reject(errors.New("we do not sell to them"))
	})
	ctx := context.Background()
	fmt.Println(in.Process(ctx, order("o1", 100)), in.Process(ctx, order("o2", 100)))
	aside, _ := inbox.ListDeadLetters(ctx, db, inbox.Filter{All: true})
	fmt.Println(len(aside), aside[0].State, aside[0].Reason)
	// Output:
	// <nil> <nil>
	// 1 retry the bank is closed
}

func ExampleShowDeadLetter() {
	db, done := openExample()
	defer done()
	_, err := inbox.ShowDeadLetter(context.Background(), db, 7)
	fmt.Println(errors.Is(err, inbox.ErrNotFound), err)
	// Output:
	// true inbox: there is no such message put aside: 7
}

func ExampleDropDeadLetters() {
	db, done := openExample()
	defer done()
	ids, err := inbox.DropDeadLetters(context.Background(), db, inbox.Filter{Consumer: "billing"}, true)
	fmt.Println(len(ids), err)
	// Output:
	// 0 <nil>
}

func ExampleInbox_RetryDue() {
	db, done := openExample()
	defer done()
	now := time.Now()
	in, _ := inbox.New(db, "billing", inbox.Clock(func() time.Time { return now }), inbox.InPlace(1))
	calls := 0
	in.Handle("orders", "", func(context.Context, *sql.Tx, *bus.Delivery) error {
		if calls++; calls == 1 {
			return errors.New("no connection")
		}
		return nil
	})
	ctx := context.Background()
	_ = in.Process(ctx, order("o1", 100))
	now = now.Add(time.Minute)
	fmt.Println(in.RetryDue(ctx))
	// Output:
	// 1 <nil>
}

func ExampleInbox_Cleanup() {
	db, done := openExample()
	defer done()
	in, err := inbox.New(db, "billing", inbox.Retention(time.Hour))
	fmt.Println(err != nil)
	in, _ = inbox.New(db, "billing", inbox.Retention(14*24*time.Hour), inbox.RedeliveryHorizon(7*24*time.Hour))
	fmt.Println(in.Cleanup(context.Background()))
	// Output:
	// true
	// 0 <nil>
}

func ExampleForgetPositions() {
	db, done := openExample()
	defer done()
	fmt.Println(inbox.ForgetPositions(context.Background(), db, "billing", "orders"))
	// Output:
	// <nil>
}

func ExampleInbox_Collector() {
	db, done := openExample()
	defer done()
	in, _ := inbox.New(db, "billing")
	registry := prometheus.NewRegistry()
	registry.MustRegister(in.Collector())
	families, err := registry.Gather()
	fmt.Println(families[0].GetName(), err)
	// Output:
	// waxwing_dlq_depth <nil>
}
