package sqltx

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Std is a database reached through database/sql. One of SQLite must begin its
// transactions with BEGIN IMMEDIATE.
func Std(db *sql.DB, d Dialect) *DB[*sql.Tx] {
	driver := stdDriver{db: db, dialect: d}
	if d == SQLite {
		driver.turn, driver.turnWait = make(chan struct{}, 1), turnWait
	}
	return &DB[*sql.Tx]{driver, d}
}

type stdDriver struct {
	db      *sql.DB
	dialect Dialect

	// Of SQLite.
	turn     chan struct{} // holds one while a transaction is open
	turnWait time.Duration
}

// turnWait is how long a transaction may wait for others, as OpenSQLite has it wait
// for those of other processes.
const turnWait = 10 * time.Second

// errTurn is Transient.
var errTurn = errors.New("sqldb: other transactions have been writing for too long")

// take waits for the transaction's turn. SQLite writes one transaction at a time, and
// its own way to wait is to look again and again, in which some never find the lock
// free, each holding a connection meanwhile. In a channel they stand in line.
func (d stdDriver) take(ctx context.Context) error {
	if d.turn == nil {
		return nil
	}
	select {
	case d.turn <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(d.turnWait)
	defer t.Stop()
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C: // it may be within another one
		return errTurn
	}
}

// give lets the next one begin.
func (d stdDriver) give() {
	if d.turn != nil {
		<-d.turn
	}
}

func (d stdDriver) bind(tx *sql.Tx) Conn { return stdConn{tx, d.dialect} }
func (d stdDriver) conn() Conn           { return stdConn{d.db, d.dialect} }

func (d stdDriver) begin(ctx context.Context) (*sql.Tx, error) {
	opts := &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	if d.dialect == SQLite {
		opts = nil // it is serializable
	}
	if err := d.take(ctx); err != nil {
		return nil, err
	}
	tx, err := d.db.BeginTx(ctx, opts)
	if err != nil {
		d.give()
	}
	return tx, err
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
		_ = d.rollback(ctx, tx)
		return nil, err
	}
	return tx, nil
}

func (d stdDriver) commit(_ context.Context, tx *sql.Tx) error {
	defer d.give()
	return tx.Commit()
}

func (d stdDriver) rollback(_ context.Context, tx *sql.Tx) error {
	defer d.give()
	return tx.Rollback()
}

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
