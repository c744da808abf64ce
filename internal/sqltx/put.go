package sqltx

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Put carries out a statement of which only the number of affected rows is of interest,
// which affected is told and may find wrong. Through a Pipe that happens at the latest
// with the next statement; whoever has made the Pipe sees to it that there is one.
func Put(ctx context.Context, c Conn, affected func(n int64) error, query string, args ...any) error {
	if p, ok := c.(*pipe); ok {
		p.pending = append(p.pending, put{query, args, affected})
		return nil
	}
	n, err := c.Exec(ctx, query, args...)
	if err != nil {
		return err
	}
	return affected(n)
}

// Pipe is a connection on which statements that are Put wait for the next one, and then
// share its round trip, if the database is reached through pgx: others take each at
// once. One goroutine uses it, within one transaction, which has to be rolled back if
// any statement fails.
func Pipe(c Conn) Conn {
	if direct, ok := c.(pgxConn); ok {
		return &pipe{c: direct}
	}
	return c
}

type pipe struct {
	c       pgxConn
	pending []put
}

// A put is a statement that waits.
type put struct {
	query    string
	args     []any
	affected func(n int64) error
}

func (p *pipe) Exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	if len(p.pending) == 0 {
		return p.c.Exec(ctx, query, args...)
	}
	last := put{query, args, func(rows int64) error { n = rows; return nil }}
	return n, p.send(ctx, last)
}

func (p *pipe) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	if err := p.send(ctx); err != nil {
		return nil, err
	}
	return p.c.Query(ctx, query, args...)
}

// send carries out what waits, and others after that.
func (p *pipe) send(ctx context.Context, more ...put) (err error) {
	all := append(p.pending, more...)
	p.pending = nil
	if len(all) == 0 {
		return nil
	}
	var b pgx.Batch
	for _, one := range all {
		b.Queue(numbered(one.query), one.args...)
	}
	results := p.c.c.SendBatch(ctx, &b)
	defer func() {
		if cerr := results.Close(); err == nil {
			err = cerr
		}
	}()
	for _, one := range all {
		tag, err := results.Exec()
		if err == nil {
			err = one.affected(tag.RowsAffected())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
