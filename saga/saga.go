// Package saga carries out business transactions that span services: one step
// after the other, each by a command to a participant, and if one is refused, what
// was done is undone in reverse.
//
//	checkout := saga.Define[Order]("checkout", 2).
//		Step("reserve", reserve, release).
//		Pivot("charge", charge).
//		Step("ship", ship, nil)
//
//	eng := saga.NewEngine(db, ob, "checkout-replies")
//	err := eng.Register(checkout)
//	err = ob.InTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
//		return saga.Start(ctx, eng, tx, checkout, orderID, Order{…})
//	})
//	err = eng.Run(ctx, bus)
//
// An instance is a row, and no code is played again: each reply and each timer is
// one transaction of the row, the next commands in the outbox, and the message's row
// in the inbox. Before the pivot a step that is rejected, or does not answer in
// time, turns the saga back; from the pivot's success on it only goes forward. What
// fails too often where there is no other way needs attention: List shows it, Retry
// and Skip, or the command "waxwing saga", go on. Nothing is dropped.
//
// Participants serve commands through their own inbox and outbox (Serve,
// ServeCompensation), with a barrier in their database: a command has one effect
// however often it comes, a compensation of what never happened has none, and an
// action that comes after its compensation has none.
package saga
