//go:build killpoints

package killmatrix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// A worker does a case's work in one process.
type worker struct {
	Plan
	db     *sqldb.DB[*sql.Tx]
	pool   *sql.DB
	ledger *waxtest.Ledger[*sql.Tx]
	bus    bus.Bus
	sent   *recorder
	toBus  bus.Publisher // what the relay publishes to
	ob     *outbox.Outbox[*sql.Tx]
	engine *saga.Engine[*sql.Tx]
	trip   *saga.Definition[trip]
	late   *saga.Definition[trip]

	sealed  map[string]*seal.Endpoint[*sql.Tx] // by service, nil if nothing is sealed
	answers *outbox.Outbox[*sql.Tx]            // the participant's

	produced atomic.Int64
	failures sync.Map // event id -> *atomic.Int64, attempts of this process
}

// work is a worker's whole life. It returns when everything is at rest.
func work(p *Plan) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if p.Removed != "" {
		safeguard.Remove(safeguard.Names[p.Removed])
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	w, err := open(ctx, p)
	if err != nil {
		return err
	}
	defer w.pool.Close()
	if p.Keys != nil {
		if err := w.seal(ctx); err != nil {
			return err
		}
	}
	if p.Replay {
		return w.replay(ctx)
	}
	return w.run(ctx)
}

func open(ctx context.Context, p *Plan) (w *worker, err error) {
	w = &worker{Plan: *p}
	if w.db, w.pool, err = sqldb.Open(p.DSN); err != nil {
		return nil, err
	}
	if w.ledger, err = waxtest.NewLedger(ctx, w.db); err != nil {
		return nil, err
	}
	if addr, ok := strings.CutPrefix(p.Broker, "kafka:"); ok {
		w.bus, err = kafka.New([]string{addr}, kafka.CommitEvery(50*time.Millisecond), kafka.Client(kgo.SessionTimeout(alive), kgo.HeartbeatInterval(alive/5)))
	} else {
		w.bus, err = amqp.New(p.Broker)
	}
	if err != nil {
		return nil, err
	}
	if w.sent, err = openRecorder(w.bus, p.Sent); err != nil {
		return nil, err
	}
	w.ob, w.toBus = outbox.New(w.db, outbox.Source("killmatrix")), w.sent
	w.answers = w.ob
	return w, nil
}

// run does the work until nothing more happens.
func (w *worker) run(ctx context.Context) error {
	parts, err := w.parts()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for name, part := range parts {
		wg.Go(func() {
			for ctx.Err() == nil { // as a supervisor would
				if err := part(ctx); err != nil && ctx.Err() == nil {
					slog.Warn(name, "error", err)
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	err = w.rest(ctx)
	stop()
	wg.Wait()
	return errors.Join(err, w.bus.Close())
}

// parts are what goes on at the same time.
func (w *worker) parts() (map[string]func(context.Context) error, error) {
	relay := outbox.NewRelay(w.ob, w.toBus, outbox.Lease(lease), outbox.BatchSize(batch), outbox.Poll(5*time.Millisecond, 50*time.Millisecond))
	billing, err := w.inbox("billing")
	if err != nil {
		return nil, err
	}
	inbox.Handle(billing, w.Prefix+"orders", "moved", w.bill)
	inbox.Handle(billing, w.Prefix+"news", "moved", w.read)
	participant, err := w.participant()
	if err != nil {
		return nil, err
	}
	w.engine = saga.NewEngine(w.db, w.ob, w.Prefix+"replies", saga.Poll(50*time.Millisecond), w.opensReplies())
	w.trip, w.late = w.define(version), w.define(lateVersion)
	if err := w.engine.Register(w.trip, w.late); err != nil {
		return nil, err
	}
	parts := map[string]func(context.Context) error{
		"relay":       relay.Run,
		"billing":     func(ctx context.Context) error { return billing.Run(ctx, w.bus) },
		"participant": func(ctx context.Context) error { return participant.Run(ctx, w.bus) },
		"engine":      func(ctx context.Context) error { return w.engine.Run(ctx, w.bus) },
		"operator":    w.operate,
		"sagas":       w.startSagas,
	}
	for name, ep := range w.sealed {
		parts["keys of "+name] = ep.Run
	}
	for n := range writer {
		parts[fmt.Sprint("producer ", n)] = func(ctx context.Context) error { return w.produce(ctx, n) }
	}
	return parts, nil
}

func (w *worker) inbox(consumer string) (*inbox.Inbox[*sql.Tx], error) {
	return inbox.New(w.db, w.Prefix+consumer, inbox.Lanes(3), inbox.InPlace(1), inbox.MaxAttempts(30),
		inbox.Backoff(10*time.Millisecond, 100*time.Millisecond), inbox.Poll(20*time.Millisecond), w.opens(consumer))
}

// A move is the workload's event.
type move struct {
	Key     string
	Version int64
	Amount  int64
}

// amount is what order i moves.
func amount(i int) int64 { return int64(i%7 + 1) }

// produce is one of the writers: its share of the business transactions, each
// once.
func (w *worker) produce(ctx context.Context, n int) error {
	pause := pace
	if w.Slowly {
		pause = slowly
	}
	for i := n; i < orders; i += writer {
		if err := w.ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return w.order(ctx, tx, i) }); err != nil {
			return err // and begin again: what is committed is not done twice
		}
		time.Sleep(pause)
	}
	w.produced.Add(1)
	<-ctx.Done()
	return nil
}

// order is a business transaction: it locks what it is about, and publishes.
func (w *worker) order(ctx context.Context, tx *sql.Tx, i int) error {
	c := w.db.Bind(tx)
	key, id := fmt.Sprintf("key-%d", i%keys), fmt.Sprintf("order-%d", i)
	if _, err := c.Exec(ctx, "UPDATE account SET version = version + 1 WHERE k = ?", key); err != nil {
		return err
	}
	var version, done int64
	if err := sqltx.One(ctx, c, "SELECT version FROM account WHERE k = ?", []any{key}, &version); err != nil {
		return err
	}
	if err := sqltx.One(ctx, c, "SELECT COUNT(*) FROM waxtest_cause WHERE cause_id = ?", []any{id}, &done); err != nil {
		return err
	}
	if done > 0 { // by an earlier process, or this one, which did not learn of it
		_, err := c.Exec(ctx, "UPDATE account SET version = version - 1 WHERE k = ?", key)
		return err
	}
	if err := w.ledger.Cause(ctx, tx, waxtest.Cause{ID: id, Key: key, Version: version}); err != nil {
		return err
	}
	events := []outbox.Event{{Topic: w.Prefix + "orders", Key: key, Type: "moved", ID: id, Data: move{key, version, amount(i)}}}
	if w.sealed != nil { // and to a group
		events = append(events, outbox.Event{Topic: w.Prefix + "news", Key: key, Type: "moved", ID: fmt.Sprintf("news-%d", i), Data: move{key, version, amount(i)}})
	}
	return w.ob.Publish(ctx, tx, events...)
}

var errNotNow = errors.New("not now")

// bill is the consumer's handler. Some events fail at first, some until the
// operator has mended something.
func (w *worker) bill(ctx context.Context, tx *sql.Tx, e move, m *bus.Delivery) error {
	var n int
	if _, err := fmt.Sscanf(m.ID, "order-%d", &n); err != nil {
		return inbox.DeadLetter(err)
	}
	if n%10 == 3 && w.attempts(m.ID) <= 2 {
		return errNotNow
	}
	c := w.db.Bind(tx)
	if n%40 == 7 {
		var mended int
		if err := sqltx.One(ctx, c, "SELECT COUNT(*) FROM fixed WHERE event_id = ?", []any{m.ID}, &mended); err != nil {
			return err
		}
		if mended == 0 {
			return inbox.DeadLetter(errNotNow)
		}
	}
	if _, err := c.Exec(ctx, "UPDATE account SET balance = balance + ? WHERE k = ?", e.Amount, e.Key); err != nil {
		return err
	}
	return w.ledger.Effect(ctx, tx, waxtest.Effect{Consumer: "billing", CauseID: m.ID, Key: e.Key, Version: e.Version, Amount: e.Amount})
}

// attempts counts this process's attempts at something.
func (w *worker) attempts(id string) int64 {
	n, _ := w.failures.LoadOrStore(id, new(atomic.Int64))
	return n.(*atomic.Int64).Add(1)
}

// operate mends what makes dead letters, and has them handled again.
func (w *worker) operate(ctx context.Context) error {
	for ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
		dead, err := inbox.ListDeadLetters(ctx, w.db, inbox.Filter{})
		if err != nil || len(dead) == 0 {
			if err != nil {
				return err
			}
			continue
		}
		for _, d := range dead {
			if _, err := w.db.Conn().Exec(ctx, w.db.Dialect().InsertOnce("fixed", "event_id"), d.Message.ID); err != nil {
				return err
			}
			if _, err := inbox.ReplayDeadLetters(ctx, w.db, inbox.Filter{IDs: []int64{d.ID}}, inbox.ReplayOptions{MaxReplays: 100}); err != nil {
				return err
			}
		}
	}
	return nil
}

// replay publishes once more whatever was published, while the consumers run, and
// ends when they have had it.
func (w *worker) replay(ctx context.Context) error {
	msgs, err := recorded(w.Sent)
	if err != nil {
		return err
	}
	w.sent.Publisher = discard{w.bus} // nothing new may come of it
	parts, err := w.parts()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, name := range []string{"billing", "participant", "engine"} {
		wg.Go(func() {
			if err := parts[name](ctx); err != nil && ctx.Err() == nil {
				slog.Warn(name, "error", err)
			}
		})
	}
	for len(msgs) > 0 && err == nil {
		n := min(len(msgs), 100)
		err = w.bus.Publish(ctx, msgs[:n])
		msgs = msgs[n:]
	}
	if err == nil {
		err = w.lastOne(ctx)
	}
	stop()
	wg.Wait()
	return errors.Join(err, w.bus.Close())
}

// lastOne publishes a last order, and waits until it has had its effect: then all
// before it of its key are through, and nearly all others.
func (w *worker) lastOne(ctx context.Context) error {
	for k := range keys {
		id := fmt.Sprintf("order-%d", 10*orders+keys*10+k) // neither fails nor dies
		msgs := []bus.Message{{Topic: w.Prefix + "orders", Key: fmt.Sprintf("key-%d", k), ID: id, Source: "last", Type: "moved", Body: []byte(`{"Key":"last"}`)}}
		if err := w.sealLast(ctx, msgs); err != nil {
			return err
		}
		if err := w.bus.Publish(ctx, msgs); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		var n int
		if err := sqltx.One(ctx, w.db.Conn(), "SELECT COUNT(*) FROM waxtest_effect WHERE cause_key = ?", []any{[]byte("last")}, &n); err != nil {
			return err
		}
		if n >= keys {
			time.Sleep(300 * time.Millisecond) // the participant's, the engine's
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("what was published once more does not come through")
}

// discard is a publisher that must not be used.
type discard struct{ bus.Publisher }

func (discard) Publish(context.Context, []bus.Message) error { return errNotNow }
