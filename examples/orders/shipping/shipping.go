// Package shipping is the service that sends parcels, and a letter to the customer
// about each thing that happens to an order.
//
// Sending is the pivot of the checkout: a parcel that is on its way does not come
// back. Letters show a consumer of events: nobody commands them.
package shipping

import (
	"context"
	"database/sql"
	"errors"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/examples/orders/contract"
	"github.com/waxwing-mq/waxwing/examples/orders/service"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/saga"
)

// Letters is the name of the consumer of the orders' events.
const Letters = "letters"

var tables = []string{
	`CREATE TABLE IF NOT EXISTS country (name VARCHAR(100) PRIMARY KEY, parcels BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS parcel (order_id VARCHAR(100) NOT NULL, sku VARCHAR(100) NOT NULL, quantity BIGINT NOT NULL, country VARCHAR(100) NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS letter (order_id VARCHAR(100) NOT NULL, about VARCHAR(100) NOT NULL)`,
}

// Service is the shipping service.
type Service struct{ *service.Base }

// New is the service in a database.
func New(ctx context.Context, db *service.DB) (*Service, error) {
	base, err := service.New(ctx, "shipping", db, nil, tables...)
	if err != nil {
		return nil, err
	}
	s := &Service{base}
	saga.Serve(s.Commands, contract.ShippingCommands, contract.SendParcel, s.send)
	letters, err := s.Events(Letters)
	if err != nil {
		return nil, err
	}
	inbox.Handle(letters, contract.Orders, "", s.letter)
	return s, nil
}

// Reach says that parcels can be sent to a country.
func (s *Service) Reach(ctx context.Context, country string) error {
	return s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO country (name, parcels) VALUES ($1, 0) ON CONFLICT DO NOTHING", country)
		return err
	})
}

// send sends a parcel, if the country can be reached.
func (s *Service) send(ctx context.Context, tx service.Tx, o contract.Order, _ *bus.Delivery) (any, error) {
	var nth int64
	err := tx.QueryRowContext(ctx, "UPDATE country SET parcels = parcels + 1 WHERE name = $1 RETURNING parcels", o.Country).Scan(&nth)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, saga.Rejected(errors.New("no carrier goes there"))
	}
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO parcel (order_id, sku, quantity, country) VALUES ($1, $2, $3, $4)", o.ID, o.SKU, o.Quantity, o.Country); err != nil {
		return nil, err
	}
	if err := s.Did(ctx, tx, o.ID, "ship", "action"); err != nil {
		return nil, err
	}
	return nil, s.Emit(ctx, tx, contract.Shipments, o.Country, contract.ShipmentSent,
		contract.Event{Version: nth, Order: o.ID, About: o.Country, Amount: o.Quantity})
}

// letter writes to the customer what happened to an order.
func (s *Service) letter(ctx context.Context, tx service.Tx, e contract.Event, m *bus.Delivery) error {
	if _, err := tx.ExecContext(ctx, "INSERT INTO letter (order_id, about) VALUES ($1, $2)", e.Order, m.Type); err != nil {
		return err
	}
	return s.Acted(ctx, tx, Letters, m.ID, m.Key, e)
}

// Pieces is how many pieces were sent.
func (s *Service) Pieces(ctx context.Context) (n int64, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context, tx service.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT COALESCE(SUM(quantity), 0) FROM parcel").Scan(&n)
	})
	return n, err
}
