// Package sqltx is what the SDK knows of SQL: statements on the caller's own
// transaction, whichever of pgx and database/sql it is of.
package sqltx

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Conn carries out statements: a transaction, or a database on its own, where each
// statement is a transaction. Placeholders are question marks in every dialect.
type Conn interface {
	// Exec returns how many rows the statement affected.
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	// Query's rows must be closed, or read to their end, before the next statement.
	Query(ctx context.Context, query string, args ...any) (Rows, error)
}

// Rows are the rows of a query, as those of database/sql.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// A driver is how a database is reached.
type driver[TX any] interface {
	bind(tx TX) Conn
	conn() Conn
	begin(ctx context.Context) (TX, error)
	// beginWith begins and carries out a first query, whose rows scan reads.
	beginWith(ctx context.Context, query string, args []any, scan func(Rows) error) (TX, error)
	commit(ctx context.Context, tx TX) error
	// rollback rolls back also if ctx has ended.
	rollback(ctx context.Context, tx TX) error
}

// DB is a database whose transactions are of type TX: pgx.Tx or *sql.Tx. It belongs
// to the caller, who closes what it was made of.
type DB[TX any] struct {
	driver  driver[TX]
	dialect Dialect
}

// Dialect says which SQL the database speaks.
func (db *DB[TX]) Dialect() Dialect { return db.dialect }

// Bind is the caller's transaction as the SDK uses it.
func (db *DB[TX]) Bind(tx TX) Conn { return db.driver.bind(tx) }

// Conn carries out single statements, each in a transaction of its own.
func (db *DB[TX]) Conn() Conn { return db.driver.conn() }

// InTx runs f in a transaction: commits if it returns nil, else rolls back and
// returns its error. PostgreSQL and MySQL read what is committed (READ COMMITTED).
// It is rolled back also if f panics.
func (db *DB[TX]) InTx(ctx context.Context, f func(ctx context.Context, tx TX) error) error {
	tx, err := db.driver.begin(ctx)
	if err != nil {
		return err
	}
	return db.finish(ctx, tx, f)
}

// InTxFirst is InTx with a query first, whose rows scan reads before f is called. Through
// pgx, it begins the transaction and asks in one round trip.
func (db *DB[TX]) InTxFirst(ctx context.Context, query string, args []any, scan func(Rows) error, f func(ctx context.Context, tx TX) error) error {
	tx, err := db.driver.beginWith(ctx, query, args, scan)
	if err != nil {
		return err
	}
	return db.finish(ctx, tx, f)
}

// finish runs f in a transaction that has begun, and ends it.
func (db *DB[TX]) finish(ctx context.Context, tx TX, f func(ctx context.Context, tx TX) error) error {
	done := false
	defer func() {
		if !done {
			_ = db.driver.rollback(ctx, tx)
		}
	}()
	if err := f(ctx, tx); err != nil {
		return err
	}
	done = true
	return db.driver.commit(ctx, tx)
}

// Dialect is a variety of SQL.
type Dialect int

// The dialects. MySQL includes MariaDB.
const (
	Postgres Dialect = iota + 1
	MySQL
	SQLite
)

func (d Dialect) String() string {
	return [...]string{"unknown", "postgres", "mysql", "sqlite"}[d]
}

// Now is an expression for the database's clock, in microseconds since 1970 (UTC).
func (d Dialect) Now() string {
	switch d {
	case Postgres:
		return "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
	case MySQL:
		return "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
	default:
		return "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
	}
}

// ForUpdate is what a SELECT ends with to lock its rows; SQLite locks the database.
func (d Dialect) ForUpdate() string {
	if d == SQLite {
		return ""
	}
	return " FOR UPDATE"
}

// SkipLocked is ForUpdate without the rows that others have locked.
func (d Dialect) SkipLocked() string {
	if d == SQLite {
		return ""
	}
	return " FOR UPDATE SKIP LOCKED"
}

// InsertOnce is an INSERT of one row into columns, that does nothing where a
// unique key is taken, and affects no row then. The first column must be part of
// that key.
func (d Dialect) InsertOnce(table string, columns ...string) string {
	end := " ON CONFLICT DO NOTHING"
	if d == MySQL {
		// Not INSERT IGNORE, which lets other errors pass too.
		end = " ON DUPLICATE KEY UPDATE " + columns[0] + " = " + columns[0]
	}
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + Marks(len(columns)) + ")" + end
}

// Marks are n placeholders with commas between them.
func Marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// known are queries with PostgreSQL's placeholders, by those with question marks: most are
// asked over and over. There are no more than knownMax.
var (
	known    sync.Map
	knownLen atomic.Int32
)

const knownMax = 1000

// numbered turns question marks into PostgreSQL's $1, $2. Texts within quotes must
// not contain any.
func numbered(query string) string {
	if strings.IndexByte(query, '?') < 0 {
		return query
	}
	if q, ok := known.Load(query); ok {
		return q.(string)
	}
	q := number(query)
	if len(query) < 4096 && knownLen.Load() < knownMax {
		if _, ok := known.LoadOrStore(strings.Clone(query), q); !ok {
			knownLen.Add(1)
		}
	}
	return q
}

func number(query string) string {
	var b strings.Builder
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b.WriteByte(query[i])
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// ErrNoRows is what One returns if there is none.
var ErrNoRows = errors.New("sqltx: no rows")

// One reads the only row of a query.
func One(ctx context.Context, c Conn, query string, args []any, dest ...any) error {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err // not ErrNoRows: whether there is one is not known
		}
		return ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		return err
	}
	if rows.Next() {
		return fmt.Errorf("sqltx: more than one row: %s", query)
	}
	return rows.Err()
}

// Each reads all rows of a query; scan gets the function that reads one.
func Each(ctx context.Context, c Conn, query string, args []any, scan func(read func(dest ...any) error) error) error {
	rows, err := c.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
