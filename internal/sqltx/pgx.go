package sqltx

import (
	"context"
	"errors"
	"time"

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

var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted}

func (d pgxDriver) begin(ctx context.Context) (pgx.Tx, error) {
	return d.pool.BeginTx(ctx, readCommitted)
}

func (d pgxDriver) beginWith(ctx context.Context, query string, args []any, scan func(Rows) error) (pgx.Tx, error) {
	var b pgx.Batch
	b.BeginTx(readCommitted)
	b.Queue(numbered(query), args...)
	results := d.pool.SendBatch(ctx, &b)
	tx := results.Tx()
	if err := errors.Join(first(results, scan), results.Close()); err != nil {
		_ = d.rollback(ctx, tx) // and gives the connection back
		return nil, err
	}
	return tx, nil
}

// first reads the results of a batch that begins a transaction.
func first(results pgx.BatchResults, scan func(Rows) error) error {
	if _, err := results.Exec(); err != nil {
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := scan(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

func (d pgxDriver) commit(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }

// rollbackTime is for how long a server may be waited for that does not answer; then
// the connection is closed, by which it rolls back too.
const rollbackTime = 3 * time.Second

// rollback also works after the end of ctx.
func (d pgxDriver) rollback(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTime)
	defer cancel()
	return tx.Rollback(ctx)
}

// pgxConn is a pool or a transaction.
type pgxConn struct {
	c interface {
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
	}
}

func (c pgxConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := c.c.Exec(ctx, numbered(query), args...)
	return tag.RowsAffected(), err
}

func (c pgxConn) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	return c.c.Query(ctx, numbered(query), args...)
}
