package service

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// What follows writes down what a service did, so that the demonstration can check
// it at the end. Nothing here has a unique key: what happens twice is there twice.

// createDone makes the table of what was done for sagas, and when.
const createDone = `CREATE TABLE IF NOT EXISTS done (order_id VARCHAR(100) NOT NULL, step VARCHAR(100) NOT NULL, op VARCHAR(20) NOT NULL, at_us BIGINT NOT NULL)`

// A Did is a row of the table done.
type Did struct {
	Order, Step string
	Op          string // "action" or "compensation"
	At          int64  // microseconds since 1970
}

// Did writes down that the service did, or undid, a step of an order's checkout.
func (b *Base) Did(ctx context.Context, tx Tx, order, step, op string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO done (order_id, step, op, at_us) VALUES ($1, $2, $3, "+b.DB.Dialect().Now()+")", order, step, op)
	return err
}

// Steps are what the service did so far.
func (b *Base) Steps(ctx context.Context) (all []Did, err error) {
	err = b.DB.InTx(ctx, func(ctx context.Context, tx Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT order_id, step, op, at_us FROM done")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d Did
			if err := rows.Scan(&d.Order, &d.Step, &d.Op, &d.At); err != nil {
				return err
			}
			all = append(all, d)
		}
		return rows.Err()
	})
	return all, err
}

// Emit publishes an event, and writes it down as a cause of what its consumers do.
func (b *Base) Emit(ctx context.Context, tx Tx, topic, key, eventType string, e contract.Event) error {
	id := fmt.Sprintf("%s/%s/%d", topic, key, e.Version)
	if err := b.ledger.Cause(ctx, tx, waxtest.Cause{ID: id, Key: key, Version: e.Version}); err != nil {
		return err
	}
	return b.Outbox.Publish(ctx, tx, outbox.Event{Topic: topic, Key: key, Type: eventType, ID: id, Data: e})
}

// Acted writes down what a consumer of events did because of one.
func (b *Base) Acted(ctx context.Context, tx Tx, consumer, id, key string, e contract.Event) error {
	return b.ledger.Effect(ctx, tx, waxtest.Effect{Consumer: consumer, CauseID: id, Key: key, Version: e.Version, Amount: e.Amount})
}

// Ledger is where causes and effects are.
func (b *Base) Ledger() *waxtest.Ledger[Tx] { return b.ledger }
