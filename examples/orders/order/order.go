// Package order is the service that customers talk to: it takes orders over HTTP,
// and carries out each by a saga that commands the other services.
//
// The saga's first and last steps are the order's own: accepting it, which cancelling
// undoes, and completing it.
package order

import (
	"context"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
)

// The states of an order.
const (
	Placed    = "placed"
	Accepted  = "accepted"
	Completed = "completed"
	Cancelled = "cancelled"
)

// Report is the name of the consumer of payments and shipments.
const Report = "report"

var tables = []string{
	`CREATE TABLE IF NOT EXISTS customer_order (id VARCHAR(100) PRIMARY KEY, state VARCHAR(20) NOT NULL, customer VARCHAR(100) NOT NULL,
		sku VARCHAR(100) NOT NULL, quantity BIGINT NOT NULL, amount BIGINT NOT NULL, country VARCHAR(100) NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS report (line VARCHAR(100) PRIMARY KEY, amount BIGINT NOT NULL)`,
	`INSERT INTO report (line, amount) VALUES ('revenue', 0), ('pieces', 0) ON CONFLICT DO NOTHING`,
}

// Service is the order service.
type Service struct {
	*service.Base
	checkout *saga.Definition[contract.Payment]
	engine   *saga.Engine[service.Tx]
}

// New is the service in a database. How an order is paid is sealed to payment.
func New(ctx context.Context, db *service.DB, keys *service.Keys) (*Service, error) {
	base, err := service.New(ctx, "order", db, keys.With(seal.To(contract.PaymentCommands, "payment")), tables...)
	if err != nil {
		return nil, err
	}
	s := &Service{Base: base, checkout: checkout()}
	if err := s.startEngine(); err != nil {
		return nil, err
	}
	saga.Serve(s.Commands, contract.OrderCommands, contract.AcceptOrder, s.accept)
	saga.ServeCompensation(s.Commands, contract.OrderCommands, contract.CancelOrder, s.cancel)
	saga.Serve(s.Commands, contract.OrderCommands, contract.CompleteOrder, s.complete)
	report, err := s.Events(Report)
	if err != nil {
		return nil, err
	}
	inbox.Handle(report, contract.Payments, "", s.line("revenue"))
	inbox.Handle(report, contract.Shipments, "", s.line("pieces"))
	return s, nil
}

// place writes a new order and begins its checkout, in the transaction of the
// request that wants it.
func (s *Service) place(ctx context.Context, tx service.Tx, o contract.Payment) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO customer_order (id, state, customer, sku, quantity, amount, country) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		o.ID, Placed, o.Customer, o.SKU, o.Quantity, o.Amount, o.Country)
	if err != nil {
		return err
	}
	if err := s.Emit(ctx, tx, contract.Orders, o.ID, contract.OrderPlaced, contract.Event{Version: 1, Order: o.ID, About: o.Customer, Amount: o.Amount}); err != nil {
		return err
	}
	return saga.Start(ctx, s.engine, tx, s.checkout, o.ID, o)
}

// accept is the first step.
func (s *Service) accept(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	if err := s.turn(ctx, tx, o, Accepted); err != nil {
		return nil, err
	}
	return nil, s.Did(ctx, tx, o.ID, "accept", "action")
}

// cancel undoes it, when all else is undone.
func (s *Service) cancel(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	if err := s.turn(ctx, tx, o, Cancelled); err != nil {
		return nil, err
	}
	if err := s.Did(ctx, tx, o.ID, "accept", "compensation"); err != nil {
		return nil, err
	}
	return nil, s.Emit(ctx, tx, contract.Orders, o.ID, contract.OrderCancelled, contract.Event{Version: 2, Order: o.ID, About: o.Customer, Amount: o.Amount})
}

// complete is the last step.
func (s *Service) complete(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	if err := s.turn(ctx, tx, o, Completed); err != nil {
		return nil, err
	}
	if err := s.Did(ctx, tx, o.ID, "complete", "action"); err != nil {
		return nil, err
	}
	return nil, s.Emit(ctx, tx, contract.Orders, o.ID, contract.OrderCompleted, contract.Event{Version: 2, Order: o.ID, About: o.Customer, Amount: o.Amount})
}

// turn changes an order's state.
func (s *Service) turn(ctx context.Context, tx service.Tx, o contract.Order, state string) error {
	_, err := tx.ExecContext(ctx, "UPDATE customer_order SET state = $1 WHERE id = $2", state, o.ID)
	return err
}

// line adds what events tell to a line of the report.
func (s *Service) line(name string) func(context.Context, service.Tx, contract.Event, *bus.Delivery) error {
	return func(ctx context.Context, tx service.Tx, e contract.Event, m *bus.Delivery) error {
		if _, err := tx.ExecContext(ctx, "UPDATE report SET amount = amount + $1 WHERE line = $2", e.Amount, name); err != nil {
			return err
		}
		return s.Acted(ctx, tx, Report, m.ID, m.Key, e)
	}
}

// Lines are the report.
func (s *Service) Lines(ctx context.Context) (revenue, pieces int64, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(CASE WHEN line = 'revenue' THEN amount ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN line = 'pieces' THEN amount ELSE 0 END), 0) FROM report`).Scan(&revenue, &pieces)
	})
	return revenue, pieces, err
}

// States is how many orders there are in each state.
func (s *Service) States(ctx context.Context) (map[string]int, error) {
	states := map[string]int{}
	err := s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT state, COUNT(*) FROM customer_order GROUP BY state")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var state string
			var n int
			if err := rows.Scan(&state, &n); err != nil {
				return err
			}
			states[state] = n
		}
		return rows.Err()
	})
	return states, err
}
