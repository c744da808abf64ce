package outbox

import (
	"context"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A store is the database as the relay uses it: without the type of the caller's
// transactions, in which it has no part.
type store struct {
	conn    sqltx.Conn // each statement is a transaction
	dialect sqltx.Dialect
	inTx    func(ctx context.Context, f func(ctx context.Context, c sqltx.Conn) error) error
	// inTxFirst is inTx after a query whose rows do not matter.
	inTxFirst func(ctx context.Context, query string, f func(ctx context.Context, c sqltx.Conn) error) error
}

func (o *Outbox[TX]) store() *store {
	bound := func(f func(context.Context, sqltx.Conn) error) func(context.Context, TX) error {
		return func(ctx context.Context, tx TX) error { return f(ctx, o.db.Bind(tx)) }
	}
	return &store{
		conn: o.db.Conn(), dialect: o.db.Dialect(),
		inTx: func(ctx context.Context, f func(context.Context, sqltx.Conn) error) error {
			return o.db.InTx(ctx, bound(f))
		},
		inTxFirst: func(ctx context.Context, query string, f func(context.Context, sqltx.Conn) error) error {
			return o.db.InTxFirst(ctx, query, nil, drain, bound(f))
		},
	}
}

// drain reads rows that do not matter.
func drain(rows sqltx.Rows) error {
	for rows.Next() {
	}
	return rows.Err()
}

// byIndex runs f, whose statements look rows of waxwing_outbox up by its index. To
// PostgreSQL that must be said: a plan that it made, and kept, while the table was
// empty reads the whole table, and one made without statistics a whole bucket.
func (s *store) byIndex(ctx context.Context, f func(ctx context.Context, c sqltx.Conn) error) error {
	if s.dialect != sqltx.Postgres {
		return f(ctx, s.conn)
	}
	return s.inTxFirst(ctx, useIndex, f)
}

// useIndex is for the rest of the transaction. What is off counts as so expensive
// that PostgreSQL would compile the statement, which takes a second.
const useIndex = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), set_config('jit', 'off', true)"

// forced is what MySQL needs to be told after the name of the table.
func (s *store) forced() string {
	if s.dialect == sqltx.MySQL {
		return " FORCE INDEX (PRIMARY)"
	}
	return ""
}

// repeat is text n times, with a separator.
func repeat(text, separator string, n int) string {
	return strings.TrimSuffix(strings.Repeat(text+separator, n), separator)
}
