package sqltx

import "context"

// A Hook is called around every step that the SDK takes in a database: "begin",
// "exec", "query", "commit". If before returns an error the step does not happen;
// if after does, it has happened, and whoever took it gets that error.
type Hook interface {
	Before(step string) error
	After(step string) error
}

// Hooked is the same database with a hook around the SDK's steps. Statements of
// the caller's own on its transaction pass it by.
func (db *DB[TX]) Hooked(h Hook) *DB[TX] {
	return &DB[TX]{hookedDriver[TX]{db.driver, h}, db.dialect}
}

type hookedDriver[TX any] struct {
	driver[TX]
	hook Hook
}

func (d hookedDriver[TX]) bind(tx TX) Conn { return hookedConn{d.driver.bind(tx), d.hook} }
func (d hookedDriver[TX]) conn() Conn      { return hookedConn{d.driver.conn(), d.hook} }

func (d hookedDriver[TX]) begin(ctx context.Context) (tx TX, err error) {
	if err := d.hook.Before("begin"); err != nil {
		return tx, err
	}
	if tx, err = d.driver.begin(ctx); err != nil {
		return tx, err
	}
	if err := d.hook.After("begin"); err != nil {
		_ = d.driver.rollback(ctx, tx) // as the database does when a connection is gone
		return tx, err
	}
	return tx, nil
}

func (d hookedDriver[TX]) commit(ctx context.Context, tx TX) error {
	if err := d.hook.Before("commit"); err != nil {
		_ = d.driver.rollback(ctx, tx)
		return err
	}
	if err := d.driver.commit(ctx, tx); err != nil {
		return err
	}
	return d.hook.After("commit")
}

type hookedConn struct {
	Conn
	hook Hook
}

func (c hookedConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	if err := c.hook.Before("exec"); err != nil {
		return 0, err
	}
	n, err := c.Conn.Exec(ctx, query, args...)
	if err != nil {
		return n, err
	}
	return n, c.hook.After("exec")
}

func (c hookedConn) Query(ctx context.Context, query string, args ...any) (Rows, error) {
	if err := c.hook.Before("query"); err != nil {
		return nil, err
	}
	rows, err := c.Conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	if err := c.hook.After("query"); err != nil {
		rows.Close()
		return nil, err
	}
	return rows, nil
}
