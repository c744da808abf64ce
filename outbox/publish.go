package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/msgtrace"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// Buckets is into how many parts an outbox is divided by the events' keys. Each
// part has one relay at a time.
const Buckets = 16

// An Event is what Publish writes.
type Event struct {
	Topic string // where it goes, see bus.Message
	Key   string // what it is about: events of one key stay in order; may be empty
	Type  string // such as "order.placed"
	// Data is the body: []byte and json.RawMessage as they are, all else as JSON.
	Data any

	// The rest is for those who need it.

	ID          string       // by default a random UUID; must be unique
	ContentType string       // by default "application/json", of []byte "application/octet-stream"
	Headers     []bus.Header // further headers
}

// Outbox writes events into the table waxwing_outbox of a database. It can be used
// by several goroutines.
type Outbox[TX any] struct {
	db     *sqldb.DB[TX]
	source string
	now    func() time.Time
	tracer trace.Tracer
	wake   *signal
	sealer Sealer
	max    int // bytes of an event

	callerLocks bool
}

// An Option changes what New makes.
type Option func(*options)

type options struct {
	source string
	now    func() time.Time
	traces trace.TracerProvider
	sealer Sealer
	max    int

	callerLocks bool
}

// Source names the service that events are from (CloudEvents' source).
func Source(name string) Option { return func(o *options) { o.source = name } }

// TracerProvider is where spans go, by default OpenTelemetry's global one.
func TracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.traces = p } }

// Clock is the clock that events are stamped by, by default time.Now.
func Clock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// MaxBytes is how large an event may be, key, headers and body together: by default
// 1,000,000, which is below what brokers take by default. Publish refuses larger
// ones, as the relay could never send them, nor those of their key behind them.
func MaxBytes(n int) Option { return func(o *options) { o.max = n } }

// ErrTooLarge means that an event is larger than MaxBytes, or its key, topic, type,
// ID or content type than what every database can hold.
var ErrTooLarge = errors.New("outbox: an event is too large")

// CallerLocks says that every transaction that publishes an event of a key holds a
// lock that stands for the key already, such as that of the row that it has
// updated. Publish then takes none itself. Where that does not hold, an inbox can
// skip an event that commits late.
func CallerLocks() Option { return func(o *options) { o.callerLocks = true } }

// New is an outbox in a database whose tables sqldb.Migrate has made. It does not
// use the database yet.
func New[TX any](db *sqldb.DB[TX], opts ...Option) *Outbox[TX] {
	o := options{now: time.Now, max: 1_000_000}
	for _, opt := range opts {
		opt(&o)
	}
	return &Outbox[TX]{db: db, source: o.source, now: o.now, tracer: msgtrace.Tracer(o.traces), wake: newSignal(), sealer: o.sealer, max: o.max, callerLocks: o.callerLocks}
}

// Publish writes events in the caller's transaction. They are published, in order
// per key, once it has committed, and never if it does not. Call Wake after the
// commit, or use InTx; otherwise the relay's next look finds them.
//
// Until the transaction ends, others that publish events of the same topic and key
// wait, so that ids are in the order of the commits; two transactions that publish
// the same keys in different orders may so deadlock, which the database ends by
// an error of one of them. CallerLocks turns that off.
func (o *Outbox[TX]) Publish(ctx context.Context, tx TX, events ...Event) error {
	c := sqltx.Pipe(o.db.Bind(tx)) // for what the sealer writes; an insert comes after it
	msgs := make([]bus.Message, len(events))
	for i := range events {
		var err error
		if msgs[i], err = o.message(ctx, &events[i]); err != nil {
			return err
		}
	}
	msgs, err := o.sealed(ctx, c, msgs)
	if err != nil {
		return err
	}
	var locks []int32
	if !o.callerLocks {
		locks = slotsOf(msgs)
	}
	if err := lockKeys(ctx, c, o.db.Dialect(), locks); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	for len(msgs) > 0 {
		n := min(len(msgs), rowsPerInsert)
		if err := o.insert(ctx, c, msgs[:n], locks); err != nil {
			return fmt.Errorf("outbox: %w", err)
		}
		msgs, locks = msgs[n:], nil // the first insert has taken all locks
	}
	return nil
}

// rowsPerInsert keeps a statement's placeholders below what databases take.
const rowsPerInsert = 100

var columns = []string{"bucket", "topic", "msg_key", "event_id", "event_type", "content_type", "headers", "body", "created_us"}

// insert writes messages by one statement, whose rows get ids in their order.
func (o *Outbox[TX]) insert(ctx context.Context, c sqltx.Conn, msgs []bus.Message, locks []int32) error {
	now := o.now().UnixMicro()
	args := make([]any, 0, 1+len(msgs)*len(columns))
	if o.db.Dialect() == sqltx.Postgres {
		if locks == nil {
			locks = []int32{}
		}
		args = append(args, locks)
	}
	for i := range msgs {
		m := &msgs[i]
		args = append(args, bucket(m), m.Topic, []byte(m.Key), m.ID, m.Type, m.ContentType, busrow.EncodeHeaders(m.Headers), m.Body, now)
	}
	_, err := c.Exec(ctx, insertion(o.db.Dialect(), len(msgs)), args...)
	return err
}

// message is the message that an event becomes.
func (o *Outbox[TX]) message(ctx context.Context, e *Event) (bus.Message, error) {
	if e.Topic == "" {
		return bus.Message{}, errors.New("outbox: an event without a topic")
	}
	m := bus.Message{Topic: e.Topic, Key: e.Key, ID: e.ID, Type: e.Type, ContentType: e.ContentType, Headers: e.Headers}
	if m.ID == "" {
		m.ID = newID()
	}
	kind := "application/json"
	switch d := e.Data.(type) {
	case nil:
		m.Body, kind = []byte{}, ""
	case []byte:
		m.Body, kind = d, "application/octet-stream"
	case json.RawMessage:
		m.Body = d
	default:
		b, err := json.Marshal(d)
		if err != nil {
			return bus.Message{}, fmt.Errorf("outbox: event %s: %w", m.Type, err)
		}
		m.Body = b
	}
	if m.Body == nil {
		m.Body = []byte{} // nil would be NULL
	}
	if m.ContentType == "" {
		m.ContentType = kind
	}
	if err := o.fits(&m); err != nil {
		return bus.Message{}, err
	}
	msgtrace.Create(ctx, o.tracer, &m)
	return m, nil
}

// What a row can hold in each of the databases.
const (
	maxKey  = 4096 // bytes
	maxText = 255  // bytes, of topic, ID, type and content type each
)

// fits checks a message's size.
func (o *Outbox[TX]) fits(m *bus.Message) error {
	n := len(m.Key) + len(m.Body)
	for _, h := range m.Headers {
		n += len(h.Name) + len(h.Value)
	}
	if n > o.max {
		return fmt.Errorf("%w: event %s of type %q has %d bytes, %d are allowed", ErrTooLarge, m.ID, m.Type, n, o.max)
	}
	if len(m.Key) > maxKey || max(len(m.Topic), len(m.ID), len(m.Type), len(m.ContentType)) > maxText {
		return fmt.Errorf("%w: a key may have %d bytes, topic, ID, type and content type %d", ErrTooLarge, maxKey, maxText)
	}
	return nil
}

// bucket is the part of the outbox that a message belongs to. Messages without a
// key are spread.
func bucket(m *bus.Message) int {
	key := m.Key
	if key == "" {
		key = m.ID
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % Buckets)
}

// InTx runs f in a transaction and wakes the relay once it has committed.
func (o *Outbox[TX]) InTx(ctx context.Context, f func(ctx context.Context, tx TX) error) error {
	err := o.db.InTx(ctx, func(ctx context.Context, tx TX) error {
		if err := f(ctx, tx); err != nil {
			return err
		}
		return killpoint.At(ctx, killpoint.BusinessCommit, killpoint.Before)
	})
	if err != nil {
		return err
	}
	o.Wake()
	return killpoint.At(ctx, killpoint.BusinessCommit, killpoint.After)
}

// Wake has the relays of this process that were made with the same Outbox look at
// once. It does not block.
func (o *Outbox[TX]) Wake() { o.wake.raise() }
