// Package outbox publishes events that a transaction has committed, and only
// those. Publish writes them in the caller's transaction; a Relay sends them.
//
//	ob := outbox.New(db, outbox.Source("orders"))
//	err := ob.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
//		// ... the caller's own statements ...
//		return ob.Publish(ctx, tx, outbox.Event{Topic: "orders", Key: id, Type: "order.placed", Data: order})
//	})
//	err = outbox.NewRelay(ob, broker).Run(ctx)
//
// In a transaction that is begun elsewhere, call Wake after its commit.
//
// Events with the same topic and key are published in the order in which their
// transactions committed: until the first has committed, the second waits in
// Publish.
package outbox
