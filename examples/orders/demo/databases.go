package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/waxwing-mq/waxwing/examples/orders/inventory"
	"github.com/waxwing-mq/waxwing/examples/orders/order"
	"github.com/waxwing-mq/waxwing/examples/orders/payment"
	"github.com/waxwing-mq/waxwing/examples/orders/shipping"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// databases are the DSNs of the services: files in dir, or with a server's DSN a
// schema there for each, which drop removes.
func databases(ctx context.Context, dir, server string) (dsn map[string]string, drop func(), err error) {
	dsn = map[string]string{}
	if server == "" {
		for _, name := range serviceNames {
			dsn[name] = "sqlite:" + filepath.Join(dir, name+".db")
		}
		return dsn, func() {}, nil
	}
	_, db, err := sqldb.Open(server)
	if err != nil {
		return nil, nil, err
	}
	drop = func() {
		for _, name := range serviceNames {
			_, _ = db.Exec("DROP SCHEMA IF EXISTS " + schema(name) + " CASCADE")
		}
		db.Close()
	}
	for _, name := range serviceNames {
		if dsn[name], err = withSchema(server, schema(name)); err == nil {
			_, err = db.ExecContext(ctx, "CREATE SCHEMA "+schema(name))
		}
		if err != nil {
			drop()
			return nil, nil, lineError{err}
		}
	}
	return dsn, drop, nil
}

// lineError is an error in one line: what follows the first of ours is for logs.
type lineError struct{ error }

func (e lineError) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e lineError) Unwrap() error { return e.error }

func schema(service string) string { return fmt.Sprintf("waxwing_demo_%d_%s", os.Getpid(), service) }

// withSchema is a DSN for a schema of a PostgreSQL database.
func withSchema(dsn, schema string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("the DSN is not like postgres://user:password@host:port/database")
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// shops are the services as this process sees them: what it puts into their
// databases before, and reads after, while none of them runs.
type shops struct {
	order     *order.Service
	payment   *payment.Service
	inventory *inventory.Service
	shipping  *shipping.Service
	pools     []*sql.DB
}

// openShops opens the databases.
func openShops(ctx context.Context, dsn map[string]string) (*shops, error) {
	s := &shops{}
	open := func(name string) (*sqldb.DB[*sql.Tx], error) {
		db, pool, err := sqldb.Open(dsn[name])
		if err == nil {
			s.pools = append(s.pools, pool)
		}
		return db, err
	}
	for _, name := range serviceNames {
		db, err := open(name)
		if err == nil {
			switch name {
			case "order":
				s.order, err = order.New(ctx, db, nil)
			case "payment":
				s.payment, err = payment.New(ctx, db, nil)
			case "inventory":
				s.inventory, err = inventory.New(ctx, db)
			case "shipping":
				s.shipping, err = shipping.New(ctx, db)
			}
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *shops) close() {
	for _, p := range s.pools {
		p.Close()
	}
}

// An endowment is what customers and stock begin with, in sum.
type endowment struct{ money, pieces int64 }

// endow gives customers money, and articles stock: enough for any orders, or none.
func (s *shops) endow(ctx context.Context, orders int) (e endowment, err error) {
	enough := int64(orders) * maxQuantity
	for i := range articles {
		err = errors.Join(err, s.inventory.Put(ctx, fmt.Sprintf("article-%d", i), enough))
		e.pieces += enough
	}
	for i := range customers {
		err = errors.Join(err, s.payment.Open(ctx, fmt.Sprintf("customer-%02d", i), enough*maxPrice))
		e.money += enough * maxPrice
	}
	for i := range countries {
		err = errors.Join(err, s.shipping.Reach(ctx, fmt.Sprintf("country-%d", i)))
	}
	return e, errors.Join(err, s.inventory.Put(ctx, noArticle, 0), s.payment.Open(ctx, noMoney, 0))
}
