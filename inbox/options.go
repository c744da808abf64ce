package inbox

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/waxwing-mq/waxwing/bus"
)

// An Option changes what New makes.
type Option func(*options)

type options struct {
	lanes        int
	perPartition bool
	batch        int
	batchTime    time.Duration // for which a transaction takes further messages in
	identify     func(*bus.Delivery) string

	inPlace, maxAttempts   int
	backoffMin, backoffMax time.Duration
	unordered              bool

	retention, horizon, minUp time.Duration
	poll, cleanEvery          time.Duration

	waker  interface{ Wake() }
	opener Opener
	now    func() time.Time
	rand   func() float64
	traces trace.TracerProvider
	log    *slog.Logger
}

func defaults() options {
	return options{
		lanes: 1, batch: 16, batchTime: 25 * time.Millisecond, inPlace: 2, maxAttempts: 20, backoffMin: 200 * time.Millisecond, backoffMax: 5 * time.Minute,
		retention: 7 * 24 * time.Hour, horizon: 24 * time.Hour, minUp: 10 * time.Minute,
		poll: 500 * time.Millisecond, cleanEvery: 10 * time.Minute,
		now: time.Now, rand: rand.Float64, log: slog.Default(),
	}
}

// check refuses what cannot work.
func (o *options) check() error {
	switch {
	case o.lanes < 1:
		return errors.New("inbox: Lanes must be at least 1")
	case o.batch < 1:
		return errors.New("inbox: Batch must be at least 1")
	case o.inPlace < 1 || o.maxAttempts < 1:
		return errors.New("inbox: InPlace and MaxAttempts must be at least 1")
	case o.backoffMin <= 0 || o.backoffMax < o.backoffMin:
		return errors.New("inbox: Backoff needs 0 < min <= max")
	case o.horizon <= 0:
		return errors.New("inbox: RedeliveryHorizon must be more than 0")
	case o.retention < o.horizon:
		return fmt.Errorf("inbox: Retention %v is shorter than the redelivery horizon %v: what comes again in between would be handled twice", o.retention, o.horizon)
	case o.poll <= 0:
		return errors.New("inbox: Poll must be more than 0")
	}
	return nil
}

// Lanes is how many messages are handled at once, 1 by default. Those with the same
// key are handled one after the other.
func Lanes(n int) Option { return func(o *options) { o.lanes = n } }

// PerPartition handles each partition of a log one message after the other, and
// knows what was seen by one row per partition, where messages have no sequence.
func PerPartition() Option { return func(o *options) { o.perPartition = true } }

// Batch is how many messages of a lane, 16 by default, are handled in one transaction
// at most. Only those that wait already are taken: a message that comes alone is
// handled alone, at once. What it saves is a BEGIN and a COMMIT for each. With 1 each
// message has a transaction of its own.
//
// Messages of a batch share its transaction with their neighbours. If one of them
// fails, everything is rolled back and each is handled once more, alone, so that
// verdicts, retries and what is put aside are those of that message only; but handlers
// are called twice then, which effects outside of the database have to bear. Locks are
// held until the whole batch commits. After 25 ms no further message is taken in, so
// that slow handlers have a transaction each. In PostgreSQL a statement of a batch that
// waits for a lock for 50 ms fails, since two batches that wait for each other would
// do so for a second (deadlock_timeout). What a handler sets for its transaction, such
// as by SET LOCAL, is set for the next ones too, and now() is the same for all:
// handlers to which that matters need Batch(1).
func Batch(n int) Option { return func(o *options) { o.batch = n } }

// Identify gives an identity to messages of producers who set no id, such as a
// number within the body. It is asked only for those. "" means that there is none.
func Identify(f func(d *bus.Delivery) string) Option { return func(o *options) { o.identify = f } }

// Wakes calls Wake of something after each message that was handled: of the outbox
// that handlers publish to, so that its relay looks at once.
func Wakes(outbox interface{ Wake() }) Option { return func(o *options) { o.waker = outbox } }

// InPlace is how often, 2 by default, a message is tried before it is put aside,
// as long as the pause between is at most a second. Its lane waits meanwhile.
func InPlace(attempts int) Option { return func(o *options) { o.inPlace = attempts } }

// MaxAttempts is after how many attempts, 20 by default, a message is a dead letter.
func MaxAttempts(n int) Option { return func(o *options) { o.maxAttempts = n } }

// Backoff bounds the pause before the next attempt: it is min after the first, doubles
// with each, up to max, and half of it is random. By default 200 ms and 5 minutes.
func Backoff(min, max time.Duration) Option {
	return func(o *options) { o.backoffMin, o.backoffMax = min, max }
}

// Unordered lets a key go on when one of its messages is a dead letter.
func Unordered() Option { return func(o *options) { o.unordered = true } }

// Retention is how long, 7 days by default, an event and an idle key are known. New
// returns an error if it is shorter than the RedeliveryHorizon.
func Retention(d time.Duration) Option { return func(o *options) { o.retention = d } }

// RedeliveryHorizon is how long after a message was handled, 24 hours by default,
// it may come again: as long as consumers, relays or brokers may be down, or behind.
func RedeliveryHorizon(d time.Duration) Option { return func(o *options) { o.horizon = d } }

// CleanupDelay is how long Run waits at least, 10 minutes by default, before it
// removes what is older than the Retention. It also waits until it has seen a
// message that is newer than its start, of each partition or queue that has sent it
// something in that time, or has run for the RedeliveryHorizon: a consumer that was
// down for long may be sent old messages again.
func CleanupDelay(d time.Duration) Option { return func(o *options) { o.minUp = d } }

// Poll is how often, 500 ms by default, Run looks for messages put aside that are
// due.
func Poll(d time.Duration) Option { return func(o *options) { o.poll = d } }

// Clock is the clock of due times and ages, by default time.Now. Processes whose
// clocks differ try messages that much too early or late.
func Clock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// Rand is the source of jitter, a number of [0, 1), by default math/rand's.
func Rand(f func() float64) Option { return func(o *options) { o.rand = f } }

// TracerProvider is where spans go, by default OpenTelemetry's global one.
func TracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// Logger is told of messages put aside, dead letters and errors of the database, by
// default slog's default.
func Logger(l *slog.Logger) Option { return func(o *options) { o.log = l } }
