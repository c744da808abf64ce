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
}

func (o *Outbox[TX]) store() *store {
	return &store{o.db.Conn(), o.db.Dialect(), func(ctx context.Context, f func(context.Context, sqltx.Conn) error) error {
		return o.db.InTx(ctx, func(ctx context.Context, tx TX) error { return f(ctx, o.db.Bind(tx)) })
	}}
}

// repeat is text n times, with a separator.
func repeat(text, separator string, n int) string {
	return strings.TrimSuffix(strings.Repeat(text+separator, n), separator)
}
