// Package inventory is the service that has the stock: pieces are available, then
// reserved for an order, then gone.
//
// It serves two steps of the checkout: reserve, before the pivot, which release
// undoes, and confirm, after it, which only goes forward.
package inventory

import (
	"context"
	"errors"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/saga"
)

var tables = []string{
	`CREATE TABLE IF NOT EXISTS stock (sku VARCHAR(100) PRIMARY KEY, available BIGINT NOT NULL, reserved BIGINT NOT NULL, gone BIGINT NOT NULL)`,
}

// Service is the inventory service.
type Service struct{ *service.Base }

// New is the service in a database.
func New(ctx context.Context, db *service.DB) (*Service, error) {
	base, err := service.New(ctx, "inventory", db, nil, tables...)
	if err != nil {
		return nil, err
	}
	s := &Service{base}
	saga.Serve(s.Commands, contract.InventoryCommands, contract.ReserveStock, s.reserve)
	saga.ServeCompensation(s.Commands, contract.InventoryCommands, contract.ReleaseStock, s.release)
	saga.Serve(s.Commands, contract.InventoryCommands, contract.ConfirmStock, s.confirm)
	return s, nil
}

// Put puts pieces of an article into stock, unless it is there.
func (s *Service) Put(ctx context.Context, sku string, pieces int64) error {
	return s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO stock (sku, available, reserved, gone) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING", sku, pieces)
		return err
	})
}

// reserve keeps pieces for an order, if there are enough.
func (s *Service) reserve(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	done, err := tx.ExecContext(ctx, "UPDATE stock SET available = available - $1, reserved = reserved + $1 WHERE sku = $2 AND available >= $1", o.Quantity, o.SKU)
	if err != nil {
		return nil, err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return nil, errors.Join(err, saga.Rejected(errors.New("out of stock")))
	}
	return nil, s.Did(ctx, tx, o.ID, "reserve", "action")
}

// release puts them back. It is called only if reserve had its effect.
func (s *Service) release(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	if _, err := tx.ExecContext(ctx, "UPDATE stock SET available = available + $1, reserved = reserved - $1 WHERE sku = $2", o.Quantity, o.SKU); err != nil {
		return nil, err
	}
	return nil, s.Did(ctx, tx, o.ID, "reserve", "compensation")
}

// confirm takes them out of the books, once the parcel is on its way.
func (s *Service) confirm(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	if _, err := tx.ExecContext(ctx, "UPDATE stock SET reserved = reserved - $1, gone = gone + $1 WHERE sku = $2", o.Quantity, o.SKU); err != nil {
		return nil, err
	}
	return nil, s.Did(ctx, tx, o.ID, "confirm", "action")
}

// Stock is how many pieces are available, reserved and gone, of all articles.
func (s *Service) Stock(ctx context.Context) (available, reserved, gone int64, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT COALESCE(SUM(available), 0), COALESCE(SUM(reserved), 0), COALESCE(SUM(gone), 0) FROM stock").
			Scan(&available, &reserved, &gone)
	})
	return available, reserved, gone, err
}
