// Package payment is the service that moves money from customers to the merchant.
//
// It shows a participant of a saga in its smallest form: a handler for the action,
// one for the compensation, both in the transaction that the SDK gives them.
package payment

import (
	"context"
	"database/sql"
	"errors"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
)

// Merchant is the account to which customers pay.
const Merchant = "merchant"

// The tables. An account's version counts its changes, and so orders its events.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS account (name VARCHAR(100) PRIMARY KEY, balance BIGINT NOT NULL, version BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS paid (order_id VARCHAR(100) NOT NULL, card VARCHAR(100) NOT NULL, sealed_by VARCHAR(100) NOT NULL)`,
	`INSERT INTO account (name, balance, version) VALUES ('` + Merchant + `', 0, 0) ON CONFLICT DO NOTHING`,
}

// Service is the payment service.
type Service struct{ *service.Base }

// New is the service in a database. Commands have to be sealed by order, and replies are
// sealed to it: that both sides seal gives the session new keys.
func New(ctx context.Context, db *service.DB, keys *service.Keys) (*Service, error) {
	base, err := service.New(ctx, "payment", db,
		keys.With(seal.Expect(contract.PaymentCommands, "order"), seal.To(contract.CheckoutReplies, "order")), tables...)
	if err != nil {
		return nil, err
	}
	s := &Service{base}
	saga.Serve(s.Commands, contract.PaymentCommands, contract.ChargeCard, s.charge)
	saga.ServeCompensation(s.Commands, contract.PaymentCommands, contract.RefundCard, s.refund)
	return s, nil
}

// Open gives a customer an account with money in it, unless there is one.
func (s *Service) Open(ctx context.Context, customer string, balance int64) error {
	return s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO account (name, balance, version) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING", customer, balance)
		return err
	})
}

// charge moves an order's amount to the merchant, if the customer has it.
func (s *Service) charge(ctx context.Context, tx service.Tx, o contract.Payment, m *bus.Delivery) (any, error) {
	version, err := s.move(ctx, tx, o.Customer, o.Amount)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, saga.Rejected(errors.New("the card was declined"))
	}
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO paid (order_id, card, sealed_by) VALUES ($1, $2, $3)", o.ID, o.Card, string(m.Header(seal.HeaderFrom)))
	if err != nil {
		return nil, err
	}
	if err := s.Did(ctx, tx, o.ID, "charge", "action"); err != nil {
		return nil, err
	}
	return nil, s.Emit(ctx, tx, contract.Payments, o.Customer, contract.PaymentCharged,
		contract.Event{Version: version, Order: o.ID, About: o.Customer, Amount: o.Amount})
}

// refund moves it back. It is called only if charge had its effect.
func (s *Service) refund(ctx context.Context, tx service.Tx, o contract.Payment, _ *bus.Delivery) (any, error) {
	version, err := s.move(ctx, tx, o.Customer, -o.Amount)
	if err != nil {
		return nil, err
	}
	if err := s.Did(ctx, tx, o.ID, "charge", "compensation"); err != nil {
		return nil, err
	}
	return nil, s.Emit(ctx, tx, contract.Payments, o.Customer, contract.PaymentRefunded,
		contract.Event{Version: version, Order: o.ID, About: o.Customer, Amount: -o.Amount})
}

// move moves money from a customer to the merchant and returns the version of the
// customer's account. It returns sql.ErrNoRows if there is too little. The row that
// it locks orders the events of the customer.
func (s *Service) move(ctx context.Context, tx service.Tx, customer string, amount int64) (version int64, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE account SET balance = balance - $1, version = version + 1 WHERE name = $2 AND balance >= $1 RETURNING version",
		amount, customer).Scan(&version)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE account SET balance = balance + $1 WHERE name = $2", amount, Merchant)
	return version, err
}

// A Paid is how an order was paid, and who had sealed that.
type Paid struct{ Order, Card, SealedBy string }

// Paid are all that were, also those that were refunded.
func (s *Service) Paid(ctx context.Context) (all []Paid, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT order_id, card, sealed_by FROM paid")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var p Paid
			if err := rows.Scan(&p.Order, &p.Card, &p.SealedBy); err != nil {
				return err
			}
			all = append(all, p)
		}
		return rows.Err()
	})
	return all, err
}

// Balances are what the merchant and all customers together have.
func (s *Service) Balances(ctx context.Context) (merchant, customers int64, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT COALESCE(SUM(CASE WHEN name = $1 THEN balance ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN name = $1 THEN 0 ELSE balance END), 0) FROM account`, Merchant).Scan(&merchant, &customers)
	})
	return merchant, customers, err
}
