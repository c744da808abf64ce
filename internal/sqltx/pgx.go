package sqltx

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PGX is a PostgreSQL database reached through pgx.
func PGX(pool *pgxpool.Pool) *DB[pgx.Tx] {
	return &DB[pgx.Tx]{pgxDriver{pool}, Postgres}
}

type pgxDriver struct{ pool *pgxpool.Pool }

func (d pgxDriver) bind(tx pgx.Tx) Conn { return pgxConn{tx} }
func (d pgxDriver) conn() Conn          { return pgxConn{d.pool} }

func (d pgxDriver) begin(ctx context.Context) (pgx.Tx, error) {
	return d.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
}
func (d pgxDriver) commit(ctx context.Context, tx pgx.Tx) error   { return tx.Commit(ctx) }
func (d pgxDriver) rollback(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) }

// pgxConn is a pool or a transaction.
type pgxConn struct {
	c interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	}
}

func (c pgxConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := c.c.Exec(ctx, numbered(query), args...)
	return tag.RowsAffected(), err
}

func (c pgxConn) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return c.c.Query(ctx, numbered(query), args...)
}
