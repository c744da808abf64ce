package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestSwallowedDeadlock: a function that passes over a deadlock has no effect, and
// InTx says so, whichever way the deadlock was met.
func TestSwallowedDeadlock(t *testing.T) {
	exec := func(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
	rows := func(ctx context.Context, tx *sql.Tx, query string, args ...any) error {
		var n int
		return tx.QueryRowContext(ctx, query, args...).Scan(&n)
	}
	for _, dialect := range []string{"postgres", "mysql"} { // SQLite has one writer at a time
		t.Run(dialect, func(t *testing.T) {
			db, pool := sqltest.Open(t, sqltest.New(t, dialect))
			must(t, pool, "CREATE TABLE pair (id INTEGER PRIMARY KEY)", "INSERT INTO pair VALUES (1), (2)", "CREATE TABLE effect (id INTEGER)")
			mark := map[string]string{"postgres": "$1", "mysql": "?"}[dialect]
			lock := func(id string) string { return "SELECT id FROM pair WHERE id = " + id + " FOR UPDATE" }
			for name, meet := range map[string]func(ctx context.Context, tx *sql.Tx, id int) error{
				"exec":          func(ctx context.Context, tx *sql.Tx, id int) error { return exec(ctx, tx, lock(strconv.Itoa(id))) },
				"exec prepared": func(ctx context.Context, tx *sql.Tx, id int) error { return exec(ctx, tx, lock(mark), id) },
				"rows":          func(ctx context.Context, tx *sql.Tx, id int) error { return rows(ctx, tx, lock(strconv.Itoa(id))) },
				"rows prepared": func(ctx context.Context, tx *sql.Tx, id int) error { return rows(ctx, tx, lock(mark), id) },
			} {
				t.Run(name, func(t *testing.T) { testSwallowedDeadlock(t, db, pool, meet) })
			}
		})
	}
}

// testSwallowedDeadlock has two transactions lock two rows by meet, in opposite
// orders, and both go on as if nothing were.
func testSwallowedDeadlock(t *testing.T, db *sqldb.DB[*sql.Tx], pool *sql.DB, meet func(ctx context.Context, tx *sql.Tx, id int) error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, pool, "DELETE FROM effect")
	var both, done sync.WaitGroup
	both.Add(2)
	var swallowed, returned [2]error
	for i := range 2 {
		done.Go(func() {
			returned[i] = db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
				err := meet(ctx, tx, 1+i)
				both.Done()
				if err != nil {
					return err
				}
				both.Wait()
				swallowed[i] = meet(ctx, tx, 2-i)
				_, _ = tx.ExecContext(ctx, "INSERT INTO effect VALUES (1)")
				return nil
			})
		})
	}
	done.Wait()
	for i := range 2 {
		if (swallowed[i] == nil) != (returned[i] == nil) {
			t.Errorf("a transaction in which there was %v returned %v", swallowed[i], returned[i])
		}
		if returned[i] != nil && db.Dialect() == sqltx.MySQL {
			refused(t, "commit", returned[i])
		}
	}
	if (swallowed[0] == nil) == (swallowed[1] == nil) {
		t.Fatal("there was no deadlock: ", swallowed)
	}
	if n := count(t, pool, "effect"); n != 1 {
		t.Errorf("there are %d effects, want that of the transaction without an error", n)
	}
}

// TestStatementsAfterRollback: whatever is done in a transaction that the server has
// rolled back fails, and after its end the connection is as good as before.
func TestStatementsAfterRollback(t *testing.T) {
	ctx := t.Context()
	_, pool := sqltest.Open(t, sqltest.New(t, "mysql"))
	pool.SetMaxOpenConns(1)
	must(t, pool, "CREATE TABLE effect (id INTEGER)")
	before := connection(t, pool)
	stmt, err := pool.PrepareContext(ctx, "INSERT INTO effect VALUES (?)")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.StmtContext(ctx, stmt).ExecContext(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"); err == nil {
		t.Fatal("no error")
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO effect VALUES (2)")
	refused(t, "exec", err)
	_, err = tx.ExecContext(ctx, "INSERT INTO effect VALUES (?)", 2)
	refused(t, "exec with arguments", err)
	_, err = tx.QueryContext(ctx, "SELECT 1")
	refused(t, "query", err)
	_, err = tx.PrepareContext(ctx, "SELECT 1")
	refused(t, "prepare", err)
	_, err = tx.StmtContext(ctx, stmt).ExecContext(ctx, 2)
	refused(t, "statement", err)
	refused(t, "commit", tx.Commit())
	if n := count(t, pool, "effect"); n != 0 {
		t.Errorf("%d effects", n)
	}
	if _, err := stmt.ExecContext(ctx, 3); err != nil {
		t.Error("after the transaction: ", err)
	}
	if n := count(t, pool, "effect"); n != 1 {
		t.Errorf("%d effects", n)
	}
	if connection(t, pool) != before {
		t.Error("the connection was not kept")
	}
}

func refused(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, sqldb.ErrRolledBack) || !sqltx.Transient(err) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestLockWaitTimeout: whether a wait for a lock that ended takes the transaction
// with it is a setting of the server's. Where it does not, the transaction goes on.
func TestLockWaitTimeout(t *testing.T) {
	for _, on := range []bool{false, true} {
		d := sqltest.New(t, "mysql")
		if on {
			d = sqltest.MariaDB(t, "--innodb-rollback-on-timeout=ON")
		}
		db, pool := sqltest.Open(t, d)
		must(t, pool, "CREATE TABLE pair (id INTEGER PRIMARY KEY)", "INSERT INTO pair VALUES (1)", "CREATE TABLE effect (id INTEGER)")
		holder, err := pool.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Rollback()
		if _, err := holder.Exec("SELECT * FROM pair FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		var swallowed, later error
		err = db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO effect VALUES (1)"); err != nil {
				return err
			}
			_, swallowed = tx.ExecContext(ctx, "SELECT * FROM pair FOR UPDATE NOWAIT")
			_, later = tx.ExecContext(ctx, "INSERT INTO effect VALUES (2)")
			return nil
		})
		if swallowed == nil {
			t.Fatal("the lock was free")
		}
		n := count(t, pool, "effect")
		if on {
			refused(t, "later", later)
			refused(t, "commit", err)
		} else if err != nil || later != nil {
			t.Errorf("the server rolled the statement back only: %v, %v", later, err)
		}
		if want := map[bool]int{false: 2}[on]; n != want {
			t.Errorf("rollback on timeout %v: %d effects, want %d", on, n, want)
		}
	}
}

// TestFailedCommit: the connection of a commit that failed is not used again.
func TestFailedCommit(t *testing.T) {
	ctx := t.Context()
	d := sqltest.New(t, "mysql")
	_, other := sqltest.Open(t, d)
	locker, err := other.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Close()
	db, pool, err := sqldb.Open(d.DSN + "?lock_wait_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	must(t, pool, "CREATE TABLE effect (id INTEGER)")
	before := connection(t, pool)
	err = db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO effect VALUES (1)"); err != nil {
			return err
		}
		_, err := locker.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK") // the commit waits for it
		return err
	})
	if err == nil {
		t.Fatal("the commit succeeded")
	}
	if after := connection(t, pool); after == before {
		t.Error("the connection is used again")
	}
	if _, err := locker.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, pool, "effect"); n != 0 {
		t.Errorf("%d effects of a commit that failed", n)
	}
}

// TestUnguarded: a database is refused that was opened past the guard.
func TestUnguarded(t *testing.T) {
	d := sqltest.New(t, "mysql")
	sqltest.Open(t, d)
	u, err := url.Parse(d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("mysql", u.User.Username()+"@tcp("+u.Host+")"+u.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := sqldb.Validate(t.Context(), sqldb.MySQL(pool)); err == nil || !strings.Contains(err.Error(), "MySQLConnector") {
		t.Error(err)
	}
}

// must runs statements.
func must(t *testing.T, pool *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := pool.Exec(s); err != nil {
			t.Fatal(s, ": ", err)
		}
	}
}

// count is how many rows a table has.
func count(t *testing.T, pool *sql.DB, table string) (n int) {
	t.Helper()
	if err := pool.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// connection is the number that the server gives a pool's connection.
func connection(t *testing.T, pool *sql.DB) (id int) {
	t.Helper()
	if err := pool.QueryRow("SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}
