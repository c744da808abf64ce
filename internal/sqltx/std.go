package sqltx

import (
	"context"
	"database/sql"
	"errors"
)

// Std is a database reached through database/sql. One of SQLite must begin its
// transactions with BEGIN IMMEDIATE.
func Std(db *sql.DB, d Dialect) *DB[*sql.Tx] {
	return &DB[*sql.Tx]{stdDriver{db, d}, d}
}

type stdDriver struct {
	db      *sql.DB
	dialect Dialect
}

func (d stdDriver) bind(tx *sql.Tx) Conn { return stdConn{tx, d.dialect} }
func (d stdDriver) conn() Conn           { return stdConn{d.db, d.dialect} }

func (d stdDriver) begin(ctx context.Context) (*sql.Tx, error) {
	opts := &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	if d.dialect == SQLite {
		opts = nil // it is serializable
	}
	return d.db.BeginTx(ctx, opts)
}

func (d stdDriver) beginWith(ctx context.Context, query string, args []any, scan func(Rows) error) (*sql.Tx, error) {
	tx, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := d.bind(tx).Query(ctx, query, args...)
	if err == nil {
		err = scan(rows)
		rows.Close()
		err = errors.Join(err, rows.Err())
	}
	if err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}

func (d stdDriver) commit(_ context.Context, tx *sql.Tx) error   { return tx.Commit() }
func (d stdDriver) rollback(_ context.Context, tx *sql.Tx) error { return tx.Rollback() }

// stdConn is a database or a transaction.
type stdConn struct {
	c interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
	dialect Dialect
}

func (c stdConn) query(q string) string {
	if c.dialect == Postgres {
		return numbered(q)
	}
	return q
}

func (c stdConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	r, err := c.c.ExecContext(ctx, c.query(query), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (c stdConn) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	rows, err := c.c.QueryContext(ctx, c.query(query), args...)
	if err != nil {
		return nil, err
	}
	return stdRows{rows}, nil
}

type stdRows struct{ *sql.Rows }

func (r stdRows) Close() { _ = r.Rows.Close() }
