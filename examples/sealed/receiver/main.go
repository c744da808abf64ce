// The receiver is a billing service: it opens what is sealed to it, and writes down whom
// to charge, in one transaction.
//
//	go run ./examples/sealed/receiver -folder keys
package main

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/sealed/service"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/seal"
)

func main() { service.Main("billing", receive, seal.Expect("payments", "orders")) }

func receive(ctx context.Context, s *service.Service) error {
	in, err := inbox.New(s.DB, "billing", inbox.Seal(s.Endpoint))
	if err != nil {
		return err
	}
	inbox.Handle(in, "payments", "order.placed", func(ctx context.Context, tx *sql.Tx, p service.Payment, m *bus.Delivery) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO charge (order_id, card) VALUES (?, ?)", p.Order, p.Card); err != nil {
			return err
		}
		fmt.Printf("order %s is paid by card %s, says %s\n", p.Order, p.Card, m.Header(seal.HeaderFrom))
		return nil
	})
	return in.Run(ctx, s.Broker)
}
