// Package service is what the four services of the example have in common: a
// database of their own, an outbox with its relay, commands from a queue, events
// from topics.
package service

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// DB and Tx are how all services reach their databases. With pgx's own pool they
// would be *sqldb.DB[pgx.Tx] and pgx.Tx.
type (
	DB = sqldb.DB[*sql.Tx]
	Tx = *sql.Tx
)

// A Base is what a service is built on.
type Base struct {
	Name   string
	DB     *DB
	Outbox *outbox.Outbox[Tx]
	// Commands are those that the service carries out for sagas, through the inbox
	// "NAME.commands".
	Commands *saga.Participant[Tx]

	endpoint *seal.Endpoint[Tx]
	opens    inbox.Option // what is sealed to the endpoint

	ledger  *waxtest.Ledger[Tx]
	inboxes []*inbox.Inbox[Tx]
	runs    []run
}

// A run is something that lasts as long as the service.
type run func(ctx context.Context, b Buses) error

// Buses are where a service sends and receives.
type Buses struct {
	Events   bus.Bus // topics
	Commands bus.Bus // queues
}

// lanes is how many messages of an inbox are handled at once, each of another key:
// one waits for the database while another has it.
const lanes = 2

// New is the base of a service in a database, in which it makes its tables.
func New(ctx context.Context, name string, db *DB, keys *Keys, tables ...string) (*Base, error) {
	if err := sqldb.Migrate(ctx, db); err != nil {
		return nil, err
	}
	for _, create := range append(tables, createDone) {
		if _, err := db.Conn().Exec(ctx, create); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, create)
		}
	}
	b := &Base{Name: name, DB: db}
	seals, opens, err := b.seals(keys)
	if err != nil {
		return nil, err
	}
	b.Outbox, b.opens = outbox.New(db, outbox.Source(name), seals), opens
	if b.ledger, err = waxtest.NewLedger(ctx, db); err != nil {
		return nil, err
	}
	commands, err := inbox.New(db, name+".commands", inbox.Lanes(lanes), opens)
	if err != nil {
		return nil, err
	}
	b.inboxes = append(b.inboxes, commands)
	b.Commands = saga.NewParticipant(db, commands, b.Outbox)
	return b, nil
}

// Start begins the run of something that lasts as long as the service.
func (b *Base) Start(run func(ctx context.Context, buses Buses) error) { b.runs = append(b.runs, run) }

// Events is a new inbox for events, under a name that says what it does. It runs
// with the service.
func (b *Base) Events(name string) (*inbox.Inbox[Tx], error) {
	return b.inbox(name, inbox.Seal(nil), func(buses Buses) bus.Bus { return buses.Events })
}

// Replies is a new inbox for the replies to a saga. It runs with the service.
func (b *Base) Replies(name string) (*inbox.Inbox[Tx], error) {
	return b.inbox(name, b.opens, func(buses Buses) bus.Bus { return buses.Commands })
}

// inbox is a new inbox, after whose handlers the relay looks at once.
func (b *Base) inbox(name string, opens inbox.Option, of func(Buses) bus.Bus) (*inbox.Inbox[Tx], error) {
	in, err := inbox.New(b.DB, name, inbox.Lanes(lanes), inbox.Wakes(b.Outbox), opens)
	if err != nil {
		return nil, err
	}
	b.inboxes = append(b.inboxes, in)
	b.Start(func(ctx context.Context, buses Buses) error { return in.Run(ctx, of(buses)) })
	return in, nil
}

// Lease is for how long a relay that is heard of no more keeps others waiting. This
// is short, so that the example recovers while one watches.
const Lease = 1500 * time.Millisecond

// Run runs the service until ctx ends or something cannot go on.
func (b *Base) Run(ctx context.Context, buses Buses) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range b.runs {
		g.Go(func() error { return r(ctx, buses) })
	}
	g.Go(func() error { return b.Commands.Run(ctx, buses.Commands) })
	g.Go(func() error { return b.Relay(buses).Run(ctx) })
	return g.Wait()
}

// Relay is the relay of the service's outbox: one worker, so that what it has sent
// and not deleted is one batch.
func (b *Base) Relay(buses Buses) *outbox.Relay {
	to := bus.Route(buses.Commands.System(), func(topic string) bus.Publisher {
		if isTopic(topic) {
			return buses.Events
		}
		return buses.Commands
	})
	return outbox.NewRelay(b.Outbox, to, outbox.Lease(Lease), outbox.Workers(1),
		outbox.BatchSize(8), outbox.Poll(5*time.Millisecond, 50*time.Millisecond))
}

// isTopic says whether a topic of messages is one of Kafka's.
func isTopic(name string) bool {
	return name == contract.Orders || name == contract.Payments || name == contract.Shipments
}
