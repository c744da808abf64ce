package sqldb_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// openSQLite opens a file with a table "effect".
func openSQLite(t *testing.T) (*sqldb.DB[*sql.Tx], *sql.DB) {
	pool, err := sqldb.OpenSQLite(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	must(t, pool, "CREATE TABLE effect (id INTEGER)")
	return sqldb.SQLite(pool), pool
}

// TestSQLiteConnections: many who read at once have a bounded number of connections,
// which are kept.
func TestSQLiteConnections(t *testing.T) {
	_, pool := openSQLite(t)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			rows, err := pool.Query("SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				t.Error(err)
				return
			}
			defer rows.Close()
			time.Sleep(20 * time.Millisecond)
			for rows.Next() {
			}
		})
	}
	wg.Wait()
	if s := pool.Stats(); s.MaxOpenConnections != 16 || s.OpenConnections > 16 || s.MaxIdleClosed > 0 {
		t.Errorf("%+v", s)
	}
}

// TestSQLiteLine: transactions of one process have their turns, so that none waits for
// the end of all others.
func TestSQLiteLine(t *testing.T) {
	const writers = 8
	db, _ := openSQLite(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var done [writers]int
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := db.InTx(t.Context(), insert); err != nil {
					t.Error(err)
				}
				done[i]++
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range done {
		sum += n
	}
	for _, n := range done {
		if n < sum/writers/2 {
			t.Fatalf("of %d transactions the writers have had %v", sum, done)
		}
	}
}

// TestSQLiteBesides: what is read in a function beside its transaction does not wait
// for connections that others hold, who wait for the transaction.
func TestSQLiteBesides(t *testing.T) {
	db, pool := openSQLite(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			err := db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
				var n int
				if err := pool.QueryRowContext(ctx, "SELECT COUNT(*) FROM effect").Scan(&n); err != nil {
					return err
				}
				return insert(ctx, tx)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(t, pool, "effect"); n != 64 {
		t.Errorf("%d effects", n)
	}
}

// TestSQLiteTurnPasses: a transaction that does not begin, fails or panics lets the
// next one begin; who does not want to wait any more leaves the line.
func TestSQLiteTurnPasses(t *testing.T) {
	db, pool := openSQLite(t)
	ended, end := context.WithCancel(t.Context())
	end()
	_ = db.InTx(ended, insert)
	_ = db.InTx(t.Context(), func(context.Context, *sql.Tx) error { return context.Canceled })
	func() {
		defer func() { _ = recover() }()
		_ = db.InTx(t.Context(), func(context.Context, *sql.Tx) error { panic("it fails") })
	}()
	_ = db.InTxFirst(t.Context(), "no statement", nil, nil, insert)
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := db.InTx(short, insert); err == nil {
			t.Error("two transactions at once")
		}
		return insert(ctx, tx)
	}); err != nil {
		t.Error(err)
	}
	if n := count(t, pool, "effect"); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func insert(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO effect VALUES (1)")
	return err
}
