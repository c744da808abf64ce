// Package inbox handles each message once: what says that a message was seen is
// written first in the transaction that the handler's own writes are in, so that
// they commit together or not at all.
//
//	in, err := inbox.New(db, "billing")
//	inbox.Handle(in, "orders", "order.placed", func(ctx context.Context, tx pgx.Tx, o Order, m *bus.Delivery) error {
//		_, err := tx.Exec(ctx, "INSERT INTO invoice …")
//		return err
//	})
//	err = in.Run(ctx, broker)
//
// # What is known of a message
//
// By which row a message is known depends on what it brings along:
//
//   - One from Waxwing's outbox (bus.HeaderSequence) that has a key: a high-water
//     mark per consumer, epoch, topic and key. It catches also what a relay publishes
//     twice, for ever, by one row per key. It needs the messages of a key to come in
//     order: before partitions are added to a topic it should be empty. Deliveries
//     that are Shared are in none, and are known by their events.
//   - One from a partition of a log, if PerPartition is set: a row per partition.
//     It does not catch what was published twice. A topic that is deleted and made
//     again, and a group that is set back, need ForgetPositions.
//   - All others: a row per event, by source and id; without an id, by the place in
//     the log, or by what Identify says. These rows are kept for Retention. A message
//     without any of them cannot be told from its duplicate: it is a dead letter.
//   - One that is sealed, with Seal: a row per event, by what is authentic of it, which
//     is neither a sequence nor a source.
//
// A second delivery waits for the row's unique index while the first is being
// handled, also by another process that was thought dead: it is skipped if that
// commits, and handled if not.
//
// Effects outside of the database happen at least once: give their receiver
// the message's id, so that it can tell.
//
// # What fails
//
// What a handler returns decides, see Retry, Reject and DeadLetter. A message that
// fails is tried again in place (InPlace), then put aside into the table
// waxwing_parked and acknowledged. Later messages of its key are put behind it, so
// that order holds; others go on. Run tries it again with growing pauses. After
// MaxAttempts it is a dead letter, and its key waits until somebody replays or
// drops it (ReplayDeadLetters, DropDeadLetters, `waxwing dlq`), unless the inbox
// is Unordered. Messages without a key are put aside alone.
//
// # What is sealed
//
// With Seal, messages are opened after the row that they are known by was written, in
// the same transaction: what was seen before is acknowledged without being decrypted,
// and a transaction that is rolled back leaves no key used up. Rows hold only
// ciphertext. What is put aside stays openable for the time that the endpoint keeps it.
package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/msgtrace"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// An Inbox handles messages for one consumer: a name that all processes which do
// the same work share, and under which the database knows what was handled. It can
// be used by several goroutines once its handlers are registered.
type Inbox[TX any] struct {
	db       *sqldb.DB[TX]
	consumer string
	o        options
	handlers map[string]map[string]handler[TX] // by topic and type
	tracer   trace.Tracer
	sql      statements
	m        *metrics
	system   atomic.Value  // string: what Run's subscriber speaks
	wake     chan struct{} // a key of this process is due earlier than the next look
	catchUp  catchUp
	known    *known
}

// A handler handles a message in a transaction.
type handler[TX any] func(ctx context.Context, tx TX, m *bus.Delivery) error

// consumerMax is what the column takes.
const consumerMax = 100

// New is an inbox in a database whose tables sqldb.Migrate has made. It returns an
// error if options contradict each other, such as a Retention that is shorter than
// the RedeliveryHorizon. It does not use the database yet.
func New[TX any](db *sqldb.DB[TX], consumer string, opts ...Option) (*Inbox[TX], error) {
	if consumer == "" || len(consumer) > consumerMax {
		return nil, fmt.Errorf("inbox: the consumer's name has 1 to %d bytes, not %d", consumerMax, len(consumer))
	}
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	i := &Inbox[TX]{
		db: db, consumer: consumer, o: o, handlers: map[string]map[string]handler[TX]{},
		tracer: msgtrace.Tracer(o.traces), sql: statementsOf(db.Dialect()), wake: make(chan struct{}, 1), known: newKnown(),
	}
	i.m = newMetrics(consumer)
	i.handleControl()
	return i, nil
}

// Consumer is the name that New was given.
func (i *Inbox[TX]) Consumer() string { return i.consumer }

// now is the time in microseconds.
func (i *Inbox[TX]) now() int64 { return i.o.now().UnixMicro() }

// speaks is the system that a message came through, for spans.
func (i *Inbox[TX]) speaks(d *bus.Delivery) string {
	if s, ok := i.system.Load().(string); ok {
		return s
	}
	if d.Position != nil {
		return "kafka"
	}
	return "rabbitmq"
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errNoHandlers = errors.New("inbox: it has no handlers")
