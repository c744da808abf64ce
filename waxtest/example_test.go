package waxtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// exampleConsumer is an inbox that writes its effects down, with the messages that it
// is to get and what they stand for.
type exampleConsumer struct {
	waxtest.Consumer
	faults *waxtest.Faults
	msgs   []bus.Message
	causes []waxtest.Cause
}

// newConsumer makes one in a new database.
func newConsumer(ctx context.Context) (c exampleConsumer, done func()) {
	dir, err := os.MkdirTemp("", "waxwing-example-")
	check(err)
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(dir, "app.db"))
	check(err)
	check(sqldb.Migrate(ctx, db))
	ledger, err := waxtest.NewLedger(ctx, db)
	check(err)
	db, c.faults = waxtest.FailingDB(db)
	in, err := inbox.New(db, "billing")
	check(err)

	c.msgs, c.causes = waxtest.Messages(60, 5, "orders", "order.placed", true, nil)
	version := map[string]int64{}
	for _, cause := range c.causes {
		version[cause.ID] = cause.Version
	}
	in.Handle("orders", "order.placed", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
		return ledger.Effect(ctx, tx, waxtest.Effect{Consumer: "billing", CauseID: m.ID, Key: m.Key, Version: version[m.ID]})
	})
	c.Consumer = waxtest.Consumer{Name: "billing", Process: in.Process, Effects: ledger.Effects}
	return c, func() { pool.Close(); os.RemoveAll(dir) }
}

// check keeps the examples short.
func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// A consumer whose effects are in the transaction of its inbox passes.
func Example() {
	ctx := context.Background()
	c, done := newConsumer(ctx)
	defer done()
	found, err := waxtest.Crashes(ctx, c.Consumer, c.faults, c.msgs, c.causes)
	fmt.Println(len(found), err)
	fmt.Println("steps that failed:", c.faults.Fired() > 10)
	// Output:
	// 0 <nil>
	// steps that failed: true
}

func ExampleDuplicates() {
	ctx := context.Background()
	c, done := newConsumer(ctx)
	defer done()
	found, err := waxtest.Duplicates(ctx, c.Consumer, c.msgs, c.causes, 1)
	fmt.Println(len(found), err)
	// Output: 0 <nil>
}

func ExampleReordered() {
	ctx := context.Background()
	c, done := newConsumer(ctx)
	defer done()
	found, err := waxtest.Reordered(ctx, c.Consumer, c.msgs, c.causes, 1)
	fmt.Println(len(found), err)
	// Output: 0 <nil>
}

func ExampleZombies() {
	ctx := context.Background()
	c, done := newConsumer(ctx)
	defer done()
	found, err := waxtest.Zombies(ctx, c.Consumer, c.msgs[:10], c.causes[:10])
	fmt.Println(len(found), err)
	// Output: 0 <nil>
}

// A consumer that remembers nothing acts twice, and is found out.
func ExampleReport() {
	ctx := context.Background()
	msgs, causes := waxtest.Messages(1, 1, "orders", "order.placed", false, nil)
	var effects []waxtest.Effect
	forgetful := waxtest.Consumer{
		Name: "billing",
		Process: func(_ context.Context, d *bus.Delivery) error {
			effects = append(effects, waxtest.Effect{Consumer: "billing", CauseID: d.ID, Key: d.Key, Version: 1})
			return nil
		},
		Effects: func(context.Context) ([]waxtest.Effect, error) { return effects, nil },
	}
	found, err := waxtest.Duplicates(ctx, forgetful, msgs, causes, 2)
	check(err)
	fmt.Println(len(found) > 0, found[0].Check)
	fmt.Println(len(waxtest.Report(found)) > 0)
	// Output:
	// true each effect once
	// true
}

// The first three checks, and the seventh, on what was recorded elsewhere.
func ExampleEachEffectOnce() {
	causes := []waxtest.Cause{{ID: "placed-1", Key: "o1", Version: 1}, {ID: "paid-1", Key: "o1", Version: 2}}
	effects := []waxtest.Effect{
		{Consumer: "billing", CauseID: "paid-1", Key: "o1", Version: 2},
		{Consumer: "billing", CauseID: "placed-1", Key: "o1", Version: 1},
		{Consumer: "billing", CauseID: "placed-1", Key: "o1", Version: 1},
	}
	fmt.Println(len(waxtest.EachEffectOnce(causes, effects, []string{"billing"}, nil)), "not once")
	fmt.Println(len(waxtest.NoEffectWithoutCause(causes, effects)), "without a cause")
	fmt.Println(len(waxtest.OrderPerKey(effects)) > 0, "that an order is wrong")
	fmt.Println(len(waxtest.NothingAdded(effects[:2], effects)), "added by a replay")
	// Output:
	// 1 not once
	// 0 without a cause
	// true that an order is wrong
	// 1 added by a replay
}

func ExampleConserved() {
	fmt.Print(waxtest.Report(waxtest.Conserved("money", 100, map[string]int64{"anna": 70, "bert": 20})))
	// Output: conservation: money: map[anna:70 bert:20] add up to 90, want 100
}

func ExampleSagasEnded() {
	run := waxtest.SagaRun{
		ID: "order-1", State: "compensated",
		Steps:   []waxtest.SagaStep{{Name: "reserve", Group: 0}, {Name: "charge", Group: 1}},
		Effects: []waxtest.SagaEffect{{Step: "reserve", Op: "action"}},
	}
	fmt.Print(waxtest.Report(waxtest.SagasEnded([]waxtest.SagaRun{run})))
	// Output: sagas end: order-1 is compensated, and reserve was done 1 times, compensated 0 times
}

func ExampleAllAccounted() {
	fmt.Print(waxtest.Report(waxtest.AllAccounted("billing", waxtest.Accounts{In: 10, Effects: 8, DeadLetters: 1})))
	// Output: all accounted for: billing: 10 came in; 8 effects, 1 dead letters and 0 in flight make 9
}

// A test of faults has to show that they happened.
func ExampleFaultsFired() {
	fmt.Print(waxtest.Report(waxtest.FaultsFired([]waxtest.Fault{{Name: "kill after the commit"}})))
	// Output: faults fired: kill after the commit never happened
}

// With a safeguard removed, a run has to be found wrong.
func ExampleNotices() {
	fmt.Print(waxtest.Report(waxtest.Notices("the unique key", nil)))
	// Output: checks notice: nothing was noticed without the safeguard "the unique key"
}

func ExampleFaults_FailAt() {
	ctx := context.Background()
	c, done := newConsumer(ctx)
	defer done()
	c.faults.FailAt(1, false) // the next step, before it happens
	d := &bus.Delivery{Message: c.msgs[0]}
	fmt.Println(c.Process(ctx, d) != nil, c.faults.Fired())
	fmt.Println(c.Process(ctx, d)) // it comes again
	// Output:
	// true 1
	// <nil>
}

func ExampleLedger() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "waxwing-example-")
	check(err)
	defer os.RemoveAll(dir)
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(dir, "app.db"))
	check(err)
	defer pool.Close()
	ledger, err := waxtest.NewLedger(ctx, db)
	check(err)
	check(db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { // the producer's, with its outbox
		return ledger.Cause(ctx, tx, waxtest.Cause{ID: "placed-1", Key: "o1", Version: 1})
	}))
	check(db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { // the consumer's, with its inbox
		return ledger.Effect(ctx, tx, waxtest.Effect{Consumer: "billing", CauseID: "placed-1", Key: "o1", Version: 1})
	}))
	causes, err := ledger.Causes(ctx)
	check(err)
	effects, err := ledger.Effects(ctx)
	check(err)
	fmt.Println(len(waxtest.EachEffectOnce(causes, effects, []string{"billing"}, nil)))
	// Output: 0
}

// A clock for options such as inbox.Clock.
func ExampleClock() {
	clock := waxtest.NewClock(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	clock.Advance(time.Hour)
	fmt.Println(clock.Now().Format(time.TimeOnly))
	// Output: 13:00:00
}

// In a test, with a broker of its own.
func ExampleBroker() {
	_ = func(t *testing.T) {
		broker := waxtest.Broker(t)
		b, err := kafka.New([]string{broker.KafkaAddr()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
	}
}
