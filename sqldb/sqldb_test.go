package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// TestMigrate: several processes may migrate at once, and again; Validate says what
// is missing.
func TestMigrate(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		ctx := t.Context()
		db, pool, err := sqldb.Open(d.DSN)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := sqldb.Validate(ctx, db); !errors.Is(err, sqldb.ErrMigrate) {
			t.Fatalf("an empty database: %v", err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := sqldb.Migrate(ctx, db); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := sqldb.Validate(ctx, db); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec("DROP TABLE waxwing_outbox"); err != nil {
			t.Fatal(err)
		}
		if err := sqldb.Validate(ctx, db); !errors.Is(err, sqldb.ErrMigrate) || !strings.Contains(err.Error(), "waxwing_outbox") {
			t.Fatalf("without the outbox: %v", err)
		}
	})
}

// TestOpenSQLiteSettings: what follows a question mark is not the file's name.
func TestOpenSQLiteSettings(t *testing.T) {
	file := t.TempDir() + "/a b#c.db"
	_, pool, err := sqldb.Open("sqlite:" + file + "?_pragma=foreign_keys(off)")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var keys, sync int
	if err := pool.QueryRow("PRAGMA foreign_keys").Scan(&keys); err != nil || keys != 0 {
		t.Errorf("foreign_keys is %d: %v", keys, err)
	}
	if err := pool.QueryRow("PRAGMA synchronous").Scan(&sync); err != nil || sync != 2 {
		t.Errorf("synchronous is %d: %v", sync, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if _, _, err := sqldb.Open("sqlite:" + file + "?%zz"); err == nil {
		t.Error("no query, and no error")
	}
}

// TestMigrateWithoutALock: a process that starts while another holds the database's
// lock does not wait for it if there is nothing to migrate.
func TestMigrateWithoutALock(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		db, _ := sqltest.Open(t, d)
		if err := db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := db.Bind(tx).Exec(ctx, "UPDATE waxwing_migration SET name = name"); err != nil {
				return err
			}
			return sqldb.Migrate(ctx, db)
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMigrationsAreTheSame: each dialect has the same steps.
func TestMigrationsAreTheSame(t *testing.T) {
	want, err := sqldb.Migrations("postgres")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range sqltest.Dialects {
		got, err := sqldb.Migrations(d)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d steps, %v; want %d", d, len(got), err, len(want))
		}
		for i := range got {
			if got[i].Version != want[i].Version || got[i].Name != want[i].Name {
				t.Errorf("%s: step %d is %s", d, got[i].Version, got[i].Name)
			}
		}
	}
	if _, err := sqldb.Migrations("oracle"); err == nil {
		t.Error("a dialect that is none has migrations")
	}
}

// TestClientFoundRows: an option with which duplicates would look new is found.
func TestClientFoundRows(t *testing.T) {
	d := sqltest.New(t, "mysql")
	sqltest.Open(t, d)
	db, pool, err := sqldb.Open(d.DSN + "?clientFoundRows=true")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := sqldb.Validate(t.Context(), db); err == nil || !strings.Contains(err.Error(), "clientFoundRows") {
		t.Fatal(err)
	}
}

// TestSeveralPrimaries: a database that hands out every second id is refused.
func TestSeveralPrimaries(t *testing.T) {
	d := sqltest.New(t, "mysql")
	sqltest.Open(t, d)
	db, pool, err := sqldb.Open(d.DSN + "?auto_increment_increment=2")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := sqldb.Validate(t.Context(), db); err == nil || !strings.Contains(err.Error(), "primaries") {
		t.Fatal(err)
	}
}

// TestInTx: commits, or leaves nothing.
func TestInTx(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		ctx := t.Context()
		db, _ := sqltest.Open(t, d)
		put := func(value string, err error) error {
			return db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
				c := db.Bind(tx)
				n, e := c.Exec(ctx, db.Dialect().InsertOnce("waxwing_meta", "name", "value"), "test", value)
				if e != nil || n != 1 {
					t.Fatalf("%d, %v", n, e)
				}
				n, e = c.Exec(ctx, db.Dialect().InsertOnce("waxwing_meta", "name", "value"), "test", "again")
				if e != nil || n != 0 {
					t.Fatalf("a taken key: %d, %v", n, e)
				}
				return err
			})
		}
		boom := errors.New("boom")
		if err := put("lost", boom); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if err := put("kept", nil); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := sqltx.One(ctx, db.Conn(), "SELECT value FROM waxwing_meta WHERE name = ?", []any{"test"}, &got); err != nil || got != "kept" {
			t.Fatal(got, err)
		}
		if err := sqltx.One(ctx, db.Conn(), "SELECT value FROM waxwing_meta WHERE name = ?", []any{"no"}, &got); !errors.Is(err, sqltx.ErrNoRows) {
			t.Fatal(err)
		}
	})
}

// TestOpen: what is no DSN, or has a secret in it, is told without it.
func TestOpen(t *testing.T) {
	for _, dsn := range []string{"", "x", "oracle://a:secret@b/c", "mysql://root:secret@h:port/x", "mysql://root:sec%ret@h/x"} {
		if _, _, err := sqldb.Open(dsn); err == nil {
			t.Errorf("%q opens", dsn)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}
