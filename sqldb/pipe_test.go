package sqldb_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestPipe: statements that are put are carried out before the next one, each is told how
// many rows it has affected, and what it says of that is the next one's error.
func TestPipe(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), sqltest.New(t, "postgres").DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "CREATE TABLE pipe (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	db := sqldb.PGX(pool)
	errWrong := errors.New("another number of rows")
	rows := func(want int64) func(int64) error {
		return func(n int64) error {
			if n != want {
				return errWrong
			}
			return nil
		}
	}
	in := func(f func(ctx context.Context, c sqltx.Conn) error) error {
		return db.InTx(t.Context(), func(ctx context.Context, tx pgx.Tx) error { return f(ctx, sqltx.Pipe(db.Bind(tx))) })
	}
	err = in(func(ctx context.Context, c sqltx.Conn) error {
		if err := sqltx.Put(ctx, c, rows(2), "INSERT INTO pipe (id, n) VALUES (?, ?), (?, ?)", 1, 10, 2, 20); err != nil {
			return err
		}
		if err := sqltx.Put(ctx, c, rows(1), "UPDATE pipe SET n = n + 1 WHERE id = ?", 1); err != nil {
			return err
		}
		if n, err := c.Exec(ctx, "UPDATE pipe SET n = n * 2 WHERE n > ?", 0); err != nil || n != 2 {
			t.Error(n, err)
		}
		if err := sqltx.Put(ctx, c, rows(1), "UPDATE pipe SET n = n + 1 WHERE id = ?", 2); err != nil {
			return err
		}
		var sum int64
		err := sqltx.One(ctx, c, "SELECT SUM(n)::bigint FROM pipe", nil, &sum)
		if sum != 2*11+2*20+1 {
			t.Error(sum)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, next := range map[string]func(ctx context.Context, c sqltx.Conn) error{
		"exec": func(ctx context.Context, c sqltx.Conn) error {
			_, err := c.Exec(ctx, "DELETE FROM pipe")
			return err
		},
		"query": func(ctx context.Context, c sqltx.Conn) error {
			var n int
			return sqltx.One(ctx, c, "SELECT COUNT(*) FROM pipe", nil, &n)
		},
	} {
		err = in(func(ctx context.Context, c sqltx.Conn) error {
			if err := sqltx.Put(ctx, c, rows(1), "UPDATE pipe SET n = 0 WHERE id = ?", 9); err != nil {
				t.Error("it did not wait:", err)
			}
			return next(ctx, c)
		})
		if !errors.Is(err, errWrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var n int
	if err := sqltx.One(t.Context(), db.Conn(), "SELECT COUNT(*) FROM pipe WHERE n > 0", nil, &n); err != nil || n != 2 {
		t.Error(n, err)
	}
}
