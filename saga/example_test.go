package saga_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A Purchase is the state of the examples' saga.
type Purchase struct {
	ID       string
	Amount   int
	ChargeID string
}

func reserve(p Purchase) (saga.Command, error) {
	return saga.Command{Topic: "stock", Type: "stock.reserve", Data: p}, nil
}

func release(p Purchase) (saga.Command, error) {
	return saga.Command{Topic: "stock", Type: "stock.release", Data: p}, nil
}

func charge(p Purchase) (saga.Command, error) {
	return saga.Command{Topic: "payments", Type: "payment.charge", Data: p}, nil
}

func ship(p Purchase) (saga.Command, error) {
	return saga.Command{Topic: "stock", Type: "stock.ship", Data: p}, nil
}

// purchase is the definition of the examples' saga.
func purchase() *saga.Definition[Purchase] {
	return saga.Define[Purchase]("purchase", 1).
		Step("reserve", reserve, release, saga.Timeout(time.Minute)).
		Pivot("charge", charge, saga.OnReply(func(p *Purchase, chargeID string) error {
			p.ChargeID = chargeID
			return nil
		})).
		Step("ship", ship, nil)
}

// must keeps the examples short.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// exampleDB is a new database with the SDK's tables.
func exampleDB() (db *sqldb.DB[*sql.Tx], end func()) {
	dir, err := os.MkdirTemp("", "saga-example-")
	must(err)
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(dir, "example.db"))
	must(err)
	must(sqldb.Migrate(context.Background(), db))
	return db, func() { pool.Close(); os.RemoveAll(dir) }
}

// Example runs a saga and its participants, which here share a database and a bus
// within the process.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	db, end := exampleDB()
	defer end()
	var broker bus.Bus = newMemBus()

	ob := outbox.New(db)
	eng := saga.NewEngine(db, ob, "purchase-replies")
	def := purchase()
	must(eng.Register(def))

	in, err := inbox.New(db, "participants", inbox.Unordered())
	must(err)
	p := saga.NewParticipant(db, in, ob)
	saga.Serve(p, "stock", "stock.reserve", func(context.Context, *sql.Tx, Purchase, *bus.Delivery) (any, error) {
		fmt.Println("reserved")
		return nil, nil
	})
	saga.ServeCompensation(p, "stock", "stock.release", func(context.Context, *sql.Tx, Purchase, *bus.Delivery) (any, error) {
		fmt.Println("released")
		return nil, nil
	})
	saga.Serve(p, "payments", "payment.charge", func(_ context.Context, _ *sql.Tx, c Purchase, _ *bus.Delivery) (any, error) {
		if c.Amount > 100 {
			return nil, saga.Rejected(errors.New("no credit"))
		}
		fmt.Println("charged")
		return "charge-1", nil
	})
	saga.Serve(p, "stock", "stock.ship", func(_ context.Context, _ *sql.Tx, c Purchase, _ *bus.Delivery) (any, error) {
		fmt.Println("shipped, paid by", c.ChargeID)
		return nil, nil
	})

	var running sync.WaitGroup
	relay := outbox.NewRelay(ob, broker)
	running.Go(func() { must(relay.Run(ctx)) })
	running.Go(func() { must(p.Run(ctx, broker)) })
	running.Go(func() { must(eng.Run(ctx, broker)) })

	buy := func(id string, amount int) {
		must(ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			// ... the caller's own statements ...
			return saga.Start(ctx, eng, tx, def, id, Purchase{ID: id, Amount: amount})
		}))
		fmt.Println(ended(ctx, db, id))
	}
	buy("order-1", 70)
	buy("order-2", 700)
	cancel()
	running.Wait()
	// Output:
	// reserved
	// charged
	// shipped, paid by charge-1
	// order-1 is completed
	// reserved
	// released
	// order-2 is compensated: charge: no credit
}

// ended waits until a saga has ended.
func ended(ctx context.Context, db *sqldb.DB[*sql.Tx], id string) string {
	for {
		in, err := saga.Show(ctx, db, id)
		must(err)
		switch in.State {
		case "completed":
			return in.ID + " is completed"
		case "compensated":
			return in.ID + " is compensated: " + in.Reason
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func ExampleDefine() {
	command := func(kind string) saga.Builder[Purchase] {
		return func(p Purchase) (saga.Command, error) {
			return saga.Command{Topic: "travel", Type: kind, Data: p}, nil
		}
	}
	def := saga.Define[Purchase]("journey", 3).
		Parallel( // both at once; if one is refused, the other is undone
			saga.Branch("car", command("car.book"), command("car.cancel"), saga.Timeout(time.Minute)),
			saga.Branch("hotel", command("hotel.book"), command("hotel.cancel"), saga.Attempts(5), saga.Backoff(time.Second, time.Minute)),
		).
		Pivot("pay", charge). // from here there is no way back
		Step("tickets", command("tickets.send"), nil, saga.Attempts(0))
	db, end := exampleDB()
	defer end()
	eng := saga.NewEngine(db, outbox.New(db), "journey-replies", saga.Keep(24*time.Hour), saga.Lanes(4))
	fmt.Println(eng.Register(def))
	fmt.Println(eng.Register(saga.Define[Purchase]("journey", 4)))
	// Output:
	// <nil>
	// saga journey v4: it has no step
}

func ExampleEngine_Check() {
	ctx := context.Background()
	db, end := exampleDB()
	defer end()
	ob := outbox.New(db)
	eng, def := saga.NewEngine(db, ob, "replies"), purchase()
	must(eng.Register(def))
	must(ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return saga.Start(ctx, eng, tx, def, "order-1", Purchase{ID: "order-1"})
	}))

	// The next release has forgotten the definition. Run refuses in the same way.
	eng = saga.NewEngine(db, ob, "replies")
	err := eng.Check(ctx)
	fmt.Println(errors.Is(err, saga.ErrUnregistered))
	fmt.Println(err)
	// Output:
	// true
	// saga: no such definition is registered: purchase v1 (1 under way)
}

// A test moves the clock instead of waiting, and hands over the replies itself.
func ExampleEngine_FireTimers() {
	ctx := context.Background()
	db, end := exampleDB()
	defer end()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	ob := outbox.New(db)
	eng, def := saga.NewEngine(db, ob, "replies", saga.Clock(func() time.Time { return now })), purchase()
	must(eng.Register(def))
	must(ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return saga.Start(ctx, eng, tx, def, "order-1", Purchase{ID: "order-1"})
	}))

	now = now.Add(time.Minute) // without a reply to the first step
	fmt.Println(eng.FireTimers(ctx))
	in, err := saga.Show(ctx, db, "order-1")
	must(err)
	fmt.Println(in.State, in.Steps[0].Name, in.Steps[0].Status, "because of", in.Reason)
	// Output:
	// 1 <nil>
	// compensating reserve undoing because of reserve: no reply in time
}

// An operator looks at what is stuck, and has it tried again or skipped.
func ExampleRetry() {
	ctx := context.Background()
	db, end := exampleDB()
	defer end()
	ob := outbox.New(db)
	eng := saga.NewEngine(db, ob, "replies")
	in, err := inbox.New(db, "saga")
	must(err)
	eng.Bind(in) // instead of Run, which does it on its own
	def := saga.Define[Purchase]("purchase", 1).Pivot("charge", charge).Step("ship", ship, nil, saga.Attempts(1))
	must(eng.Register(def))
	must(ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return saga.Start(ctx, eng, tx, def, "order-1", Purchase{ID: "order-1"})
	}))
	answer := func(step, outcome string) {
		m := bus.Message{Topic: "replies", Type: saga.ReplyType, ID: step, Headers: []bus.Header{
			{Name: saga.HeaderSaga, Value: []byte("order-1")}, {Name: saga.HeaderName, Value: []byte("purchase")},
			{Name: saga.HeaderStep, Value: []byte(step)}, {Name: saga.HeaderOp, Value: []byte("action")},
			{Name: saga.HeaderAttempt, Value: []byte("1")}, {Name: saga.HeaderOutcome, Value: []byte(outcome)},
		}}
		must(in.Process(ctx, &bus.Delivery{Message: m}))
	}
	answer("charge", "ok")
	answer("ship", "failed")

	stuck, err := saga.List(ctx, db, saga.Filter{State: "attention"})
	must(err)
	for _, s := range stuck {
		fmt.Println(s.ID, s.State, s.Steps[1].Name, s.Steps[1].Stuck(), s.Steps[1].Error)
		must(saga.Retry(ctx, db, s.ID)) // or saga.Skip
	}
	_, err = eng.FireTimers(ctx) // as Run does twice a second
	must(err)
	s, err := saga.Show(ctx, db, "order-1")
	must(err)
	fmt.Println(s.ID, s.State, s.Steps[1].Name, s.Steps[1].Status, s.Steps[1].Attempts)
	fmt.Println(saga.Skip(ctx, db, "order-1"))
	// Output:
	// order-1 attention ship true failed
	// order-1 running ship sent 2
	// saga: the instance needs no attention: order-1 is running
}

// A participant says that it cannot do something now: the saga asks again.
func ExampleFailed() {
	db, end := exampleDB()
	defer end()
	in, err := inbox.New(db, "participants", inbox.Unordered())
	must(err)
	p := saga.NewParticipant(db, in, outbox.New(db))
	saga.Serve(p, "stock", "stock.reserve", func(context.Context, *sql.Tx, Purchase, *bus.Delivery) (any, error) {
		return nil, saga.Failed(errors.New("the shelf is being counted"))
	})
	err = in.Process(context.Background(), &bus.Delivery{Message: bus.Message{
		Topic: "stock", Type: "stock.reserve", ID: "command-1", Body: []byte(`{"ID": "order-1"}`), Headers: []bus.Header{
			{Name: saga.HeaderSaga, Value: []byte("order-1")}, {Name: saga.HeaderName, Value: []byte("purchase")},
			{Name: saga.HeaderStep, Value: []byte("reserve")}, {Name: saga.HeaderOp, Value: []byte("action")},
			{Name: saga.HeaderAttempt, Value: []byte("1")}, {Name: saga.HeaderReplyTo, Value: []byte("purchase-replies")},
		},
	}})
	must(err)
	replies, err := outbox.New(db).List(context.Background(), 10)
	must(err)
	for _, r := range replies {
		fmt.Printf("%s: %s\n", r.Message.Header(saga.HeaderOutcome), r.Message.Header(saga.HeaderError))
	}
	// Output: failed: the shelf is being counted
}

// Rows of the barrier are kept until nothing of their sagas can be under way.
func ExampleParticipant_Prune() {
	db, end := exampleDB()
	defer end()
	in, err := inbox.New(db, "participants", inbox.Unordered())
	must(err)
	p := saga.NewParticipant(db, in, outbox.New(db))
	fmt.Println(p.Prune(context.Background(), 30*24*time.Hour))
	// Output: 0 <nil>
}

// An application that runs the engine's inbox with others of its own runs the
// timers by themselves, and shows the metrics.
func ExampleEngine_RunTimers() {
	ctx, cancel := context.WithCancel(context.Background())
	db, end := exampleDB()
	defer end()
	eng := saga.NewEngine(db, outbox.New(db), "replies")
	must(eng.Register(purchase()))
	reg := prometheus.NewRegistry()
	must(reg.Register(eng.Collector()))
	done := make(chan error)
	go func() { done <- eng.RunTimers(ctx) }()
	cancel()
	fmt.Println(<-done)
	// Output: <nil>
}
