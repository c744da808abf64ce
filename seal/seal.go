package seal

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// HeaderSealed is the name of the header by which a sealed message says how far its
// stream is, for Counted: "stream:sequence:sender".
const HeaderSealed = "waxwing-sealed"

// HeaderFrom is the name of the header that Open adds: the service that has sealed the
// message. What comes under that name from outside is dropped.
const HeaderFrom = "waxwing-sealed-from"

// An Endpoint seals and opens for one identity. All processes of a service have one with
// the same database. It can be used by several goroutines.
type Endpoint[TX any] struct {
	db   *sqldb.DB[TX]
	core *core
}

// core is an endpoint without the type of the caller's transactions.
type core struct {
	options
	self    *Identity
	local   string // its name
	keys    *KeyRing
	conn    sqltx.Conn // each statement is a transaction
	dialect sqltx.Dialect
	inTx    func(ctx context.Context, f func(ctx context.Context, c sqltx.Conn) error) error
	marks   *marks
	recent  *recent
	m       *metrics
	checked atomic.Bool
}

// New is an endpoint in a database whose tables sqldb.Migrate has made. It returns an
// error if options contradict each other. It does not use the database yet.
func New[TX any](db *sqldb.DB[TX], id *Identity, keys *KeyRing, opts ...Option) (*Endpoint[TX], error) {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.check(id); err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, errors.New("seal: no storage keys")
	}
	e := &core{options: o, self: id, local: id.name, keys: keys, conn: db.Conn(), dialect: db.Dialect(), marks: newMarks(), recent: newRecent(), m: newMetrics(id.name)}
	e.inTx = func(ctx context.Context, f func(context.Context, sqltx.Conn) error) error {
		return db.InTx(ctx, func(ctx context.Context, tx TX) error { return f(ctx, db.Bind(tx)) })
	}
	return &Endpoint[TX]{db, e}, nil
}

// Name is the identity's.
func (e *Endpoint[TX]) Name() string { return e.core.local }

// String tells the name only.
func (e *Endpoint[TX]) String() string { return "endpoint " + e.core.local }

// Seal seals a message to a peer: it replaces the body by an envelope, the content type
// by ContentType, and puts all headers inside but those of relays and of tracing. Until
// the transaction ends, others that seal to that peer in the lane of the message's key
// wait. If it fails, the transaction must be rolled back; if that is rolled back, the
// message must not be sent.
//
// Where there is no session yet, it takes the bundle that Prepare has fetched, or asks
// the directory, for at most FetchTimeout, while the caller's locks are held.
func (e *Endpoint[TX]) Seal(ctx context.Context, tx TX, to string, m *bus.Message) error {
	return e.core.counting(e.core.sealAll(ctx, e.db.Bind(tx), []job{{to: to, kind: contentEvent, m: m}}), 1)
}

// SealEvents seals those of messages that a rule (To, ToGroup) says are sealed, in the
// transaction of c, and returns what is to be published in their place, in order: the
// messages themselves, and in front of them such as carry a group's new keys to its
// members. It is what an outbox calls.
func (e *Endpoint[TX]) SealEvents(ctx context.Context, c sqltx.Conn, msgs []bus.Message) ([]bus.Message, error) {
	return e.core.sealEvents(ctx, c, msgs)
}

// Open opens a sealed message: it puts body, content type and headers back, and adds
// HeaderFrom. from are those who may have sealed it: anybody who is trusted, if empty.
// If it fails, it has changed neither the message nor anything in the database, unless
// the error is the database's. What it has changed is to be committed with the
// message's effects.
func (e *Endpoint[TX]) Open(ctx context.Context, tx TX, d *bus.Delivery, from ...string) error {
	return e.core.opening(ctx, e.db.Bind(tx), d, from)
}

// OpenDelivery opens a message in the transaction of c, if it is sealed, and refuses it
// if it should be (Expect) and is not. It is what an inbox calls before its handler.
func (e *Endpoint[TX]) OpenDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	return e.core.openDelivery(ctx, c, d)
}

// Pin moves the session past a message that is put aside, and keeps it openable by Open
// for the time of KeepParked, so that those behind it can be opened. The message stays
// as it is.
func (e *Endpoint[TX]) Pin(ctx context.Context, tx TX, d *bus.Delivery) error {
	return e.core.pin(ctx, e.db.Bind(tx), d)
}

// PinDelivery is Pin in the transaction of c, if the message is sealed. It is what an
// inbox calls when it puts a message aside.
func (e *Endpoint[TX]) PinDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	if !isEnvelope(d.Body) {
		return nil
	}
	return e.core.pin(ctx, c, d)
}

// Discard moves the session past a message that nobody will handle, and keeps nothing
// of it. It also forgets one that was pinned.
func (e *Endpoint[TX]) Discard(ctx context.Context, tx TX, d *bus.Delivery) error {
	return e.core.discard(ctx, e.db.Bind(tx), d)
}

// DiscardDelivery is Discard in the transaction of c, if the message is sealed. It is
// what an inbox calls when it rejects a message, or drops a dead letter.
func (e *Endpoint[TX]) DiscardDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	if !isEnvelope(d.Body) {
		return nil
	}
	return e.core.discard(ctx, c, d)
}

// laneOf is the lane of a message's key.
func (e *core) laneOf(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(e.self.certificate.Lanes))
}

// nowUS is the time in microseconds since 1970.
func (e *core) nowUS() int64 { return e.now().UnixMicro() }

// failed is the database's error, with our name. One of ours has it already.
func failed(err error) error {
	if err == nil || strings.HasPrefix(err.Error(), "seal: ") {
		return err
	}
	return fmt.Errorf("seal: %w", err)
}
