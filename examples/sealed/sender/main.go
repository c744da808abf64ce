// The sender is an order service: it writes an order down and publishes, in the same
// transaction, how it is paid, sealed to billing.
//
//	go run ./examples/sealed/sender -folder keys ORDER CARD
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"

	"github.com/waxwing-mq/waxwing/examples/sealed/service"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/seal"
)

func main() { service.Main("orders", send, seal.To("payments", "billing")) }

func send(ctx context.Context, s *service.Service) error {
	p := service.Payment{Order: flag.Arg(0), Card: flag.Arg(1)}
	ob := outbox.New(s.DB, outbox.Source("orders"), outbox.Seal(s.Endpoint))
	err := ob.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO purchase (id) VALUES (?)", p.Order); err != nil {
			return err
		}
		return ob.Publish(ctx, tx, outbox.Event{Topic: "payments", Key: p.Order, Type: "order.placed", Data: p})
	})
	if err != nil {
		return err
	}
	fmt.Printf("order %s is committed, its card sealed to billing\n", p.Order)
	return outbox.NewRelay(ob, s.Publisher).Run(ctx) // sends it
}
