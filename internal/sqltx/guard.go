package sqltx

import (
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// ErrRolledBack means that MySQL has rolled the whole transaction back before its
// end. The error that MySQL said so by is in the chain too.
var ErrRolledBack = errors.New("sqldb: the server has rolled the transaction back")

// GuardMySQL is go-sql-driver's connector, of whose connections a transaction that the
// server has rolled back refuses all but its rollback. Without that the server is in
// no transaction then: it commits each later statement by itself, and says that a
// COMMIT succeeded.
//
// Also, a connection whose COMMIT or ROLLBACK failed is not used again: whether a
// transaction is open there is not known, and the next START TRANSACTION would
// commit it.
func GuardMySQL(c sqldriver.Connector) sqldriver.Connector { return guard{c} }

type guard struct{ sqldriver.Connector }

func (g guard) Connect(ctx context.Context) (sqldriver.Conn, error) {
	c, err := g.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := c.(mysqlConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("sqldb: %T is no connection of go-sql-driver's", c)
	}
	return &guardConn{mysqlConn: inner}, nil
}

// mysqlConn is what go-sql-driver's connections are.
type mysqlConn interface {
	sqldriver.Conn
	sqldriver.ConnBeginTx
	sqldriver.ConnPrepareContext
	sqldriver.ExecerContext
	sqldriver.QueryerContext
	sqldriver.NamedValueChecker
	sqldriver.Pinger
	sqldriver.SessionResetter
	sqldriver.Validator
}

// A guardConn watches the errors that come within a transaction. database/sql has one
// goroutine at a time use it, its statements and rows included.
type guardConn struct {
	mysqlConn
	inTx  bool
	lost  error // an ErrRolledBack
	doubt error // after which the transaction is lost, or not: that is a setting
	bad   bool  // it is not known whether a transaction is open
}

func (c *guardConn) BeginTx(ctx context.Context, opts sqldriver.TxOptions) (sqldriver.Tx, error) {
	if err := c.refused(ctx); err != nil {
		return nil, err
	}
	tx, err := c.mysqlConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	c.inTx = true
	return guardTx{tx, c}, nil
}

func (c *guardConn) ExecContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if err := c.refused(ctx); err != nil {
		return nil, err
	}
	r, err := c.mysqlConn.ExecContext(ctx, query, args)
	return r, c.saw(err)
}

func (c *guardConn) QueryContext(ctx context.Context, query string, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	if err := c.refused(ctx); err != nil {
		return nil, err
	}
	return c.watch(c.mysqlConn.QueryContext(ctx, query, args))
}

func (c *guardConn) PrepareContext(ctx context.Context, query string) (sqldriver.Stmt, error) {
	if err := c.refused(ctx); err != nil {
		return nil, err
	}
	s, err := c.mysqlConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.saw(err)
	}
	inner, ok := s.(mysqlStmt)
	if !ok {
		s.Close()
		return nil, fmt.Errorf("sqldb: %T is no statement of go-sql-driver's", s)
	}
	return guardStmt{inner, c}, nil
}

func (c *guardConn) IsValid() bool { return !c.bad && c.mysqlConn.IsValid() }

func (c *guardConn) ResetSession(ctx context.Context) error {
	if c.bad {
		return sqldriver.ErrBadConn
	}
	return c.mysqlConn.ResetSession(ctx)
}

// The errors, beside those of SQLSTATE class 40, with which InnoDB rolls back the
// whole transaction. With lockWait it does if the server runs with
// innodb_rollback_on_timeout.
const mysqlLockTable = 1206 // the lock table is full

// saw notes what an error says of the transaction, and returns it.
func (c *guardConn) saw(err error) error {
	var my *mysql.MySQLError
	if !c.inTx || c.lost != nil || !errors.As(err, &my) {
		return err
	}
	switch {
	case strings.HasPrefix(string(my.SQLState[:]), "40"), my.Number == mysqlDeadlock, my.Number == mysqlLockTable, my.Number == mysqlChanged:
		c.lost = fmt.Errorf("%w: %w", ErrRolledBack, err)
	case my.Number == mysqlLockWait:
		c.doubt = err
	}
	return err
}

// refused is why nothing more may be done on the connection, or nil.
func (c *guardConn) refused(ctx context.Context) error {
	if c.bad {
		return sqldriver.ErrBadConn
	}
	if c.doubt == nil || c.lost != nil {
		return c.lost
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.rollsBackOnTimeout(ctx) {
		c.lost = fmt.Errorf("%w: %w", ErrRolledBack, c.doubt)
	}
	c.doubt = nil
	return c.lost
}

// rollsBackOnTimeout asks the server. It is true as well if that does not say.
func (c *guardConn) rollsBackOnTimeout(ctx context.Context) bool {
	rows, err := c.mysqlConn.QueryContext(ctx, "SELECT 1 FROM DUAL WHERE @@innodb_rollback_on_timeout = 0", nil)
	if err != nil {
		return true
	}
	defer rows.Close()
	return rows.Next(make([]sqldriver.Value, 1)) != nil
}

// watch has the errors of rows seen too.
func (c *guardConn) watch(rows sqldriver.Rows, err error) (sqldriver.Rows, error) {
	if err != nil {
		return nil, c.saw(err)
	}
	inner, ok := rows.(mysqlRows)
	if !ok {
		rows.Close()
		return nil, fmt.Errorf("sqldb: %T are no rows of go-sql-driver's", rows)
	}
	return guardRows{inner, c}, nil
}

// A guardTx is a transaction of a guardConn.
type guardTx struct {
	sqldriver.Tx
	c *guardConn
}

// Commit rolls back, and returns why, if the server has done so before.
func (t guardTx) Commit() error {
	if err := t.c.refused(context.Background()); err != nil {
		_ = t.Rollback()
		return err
	}
	return t.end(t.Tx.Commit())
}

func (t guardTx) Rollback() error { return t.end(t.Tx.Rollback()) }

func (t guardTx) end(err error) error {
	t.c.inTx, t.c.lost, t.c.doubt = false, nil, nil
	if err != nil {
		t.c.bad = true
	}
	return err
}

// mysqlStmt is what go-sql-driver's prepared statements are.
type mysqlStmt interface {
	sqldriver.Stmt
	sqldriver.StmtExecContext
	sqldriver.StmtQueryContext
	sqldriver.NamedValueChecker
}

type guardStmt struct {
	mysqlStmt
	c *guardConn
}

func (s guardStmt) ExecContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Result, error) {
	if err := s.c.refused(ctx); err != nil {
		return nil, err
	}
	r, err := s.mysqlStmt.ExecContext(ctx, args)
	return r, s.c.saw(err)
}

func (s guardStmt) QueryContext(ctx context.Context, args []sqldriver.NamedValue) (sqldriver.Rows, error) {
	if err := s.c.refused(ctx); err != nil {
		return nil, err
	}
	return s.c.watch(s.mysqlStmt.QueryContext(ctx, args))
}

// mysqlRows is what go-sql-driver's rows are.
type mysqlRows interface {
	sqldriver.RowsNextResultSet
	sqldriver.RowsColumnTypeDatabaseTypeName
	sqldriver.RowsColumnTypeNullable
	sqldriver.RowsColumnTypePrecisionScale
	ColumnTypeScanType(index int) reflect.Type
}

type guardRows struct {
	mysqlRows
	c *guardConn
}

func (r guardRows) Next(dest []sqldriver.Value) error {
	err := r.mysqlRows.Next(dest)
	if err == io.EOF {
		return err
	}
	return r.c.saw(err)
}

func (r guardRows) NextResultSet() error { return r.c.saw(r.mysqlRows.NextResultSet()) }
func (r guardRows) Close() error         { return r.c.saw(r.mysqlRows.Close()) }
