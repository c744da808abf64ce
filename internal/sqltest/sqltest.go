// Package sqltest gives tests real databases: PostgreSQL and MariaDB servers of
// their own, on free ports, started when the first test of a package asks for one,
// and files of SQLite. A server that is not installed fails the test.
//
//	func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }
//
//	sqltest.Each(t, func(t *testing.T, db sqltest.Database) { ... })
package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// A Database is an empty database of one test.
type Database struct {
	// Dialect is "postgres", "mysql" or "sqlite".
	Dialect string
	// DSN is what sqldb.Open takes, also in another process.
	DSN string
}

// Dialects are all of them.
var Dialects = []string{"postgres", "mysql", "sqlite"}

// Run runs the tests of a package and stops what they started. It returns the exit
// code.
func Run(m *testing.M) int {
	defer stopAll()
	return m.Run()
}

// Each runs a test on an empty database of each dialect.
func Each(t *testing.T, run func(t *testing.T, db Database)) {
	for _, d := range Dialects {
		t.Run(d, func(t *testing.T) { run(t, New(t, d)) })
	}
}

// New is an empty database, that goes when the test ends.
func New(t testing.TB, dialect string) Database {
	t.Helper()
	switch dialect {
	case "postgres":
		return postgres.database(t)
	case "mysql":
		return mariadb.database(t)
	case "sqlite":
		return Database{dialect, "sqlite:" + filepath.Join(t.TempDir(), "test.db")}
	}
	t.Fatalf("sqltest: no dialect %q", dialect)
	return Database{}
}

// Durable is a database of a server that syncs every commit, for measurements.
func Durable(t testing.TB, dialect string) Database {
	t.Helper()
	switch dialect {
	case "postgres":
		return durablePostgres.database(t)
	case "mysql":
		return durableMariaDB.database(t)
	}
	return New(t, dialect) // SQLite syncs in any case
}

// MariaDB is a database of a server of its own, that runs with options and ends when
// the test does.
func MariaDB(t testing.TB, options ...string) Database {
	t.Helper()
	s := &server{start: startMariaDB, options: options}
	t.Cleanup(s.end)
	return s.database(t)
}

// Open opens a database, with the SDK's tables in it, until the test ends.
func Open(t testing.TB, d Database) (*sqldb.DB[*sql.Tx], *sql.DB) {
	t.Helper()
	if path, ok := strings.CutPrefix(d.DSN, "sqlite:"); ok {
		if err := copyTables(path); err != nil {
			t.Fatal(err)
		}
	}
	db, pool, err := sqldb.Open(d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	if err := sqldb.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db, pool
}

// tables are the bytes of an SQLite database with the SDK's tables, which are made once:
// with the race detector that takes a tenth of a second.
var tables = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "waxwing-sqltest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tables.db")
	db, pool, err := sqldb.Open("sqlite:" + path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(sqldb.Migrate(context.Background(), db), pool.Close()); err != nil { // which empties the log
		return nil, err
	}
	return os.ReadFile(path)
})

// copyTables makes an SQLite database that is not there yet.
func copyTables(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b, err := tables()
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// The servers of this process.
var (
	postgres        = &server{start: startPostgres}
	mariadb         = &server{start: startMariaDB}
	durablePostgres = &server{start: startPostgres, durable: true}
	durableMariaDB  = &server{start: startMariaDB, durable: true}
	servers         = []*server{postgres, mariadb, durablePostgres, durableMariaDB}
)

// A server is a database server of this process's, that starts when it is needed.
type server struct {
	start   func(s *server) error
	durable bool
	options []string // further ones

	once    sync.Once
	err     error
	dir     string // of data and log
	process *process
	admin   string // DSN that may create databases
	names   int    // of databases, so far
	mu      sync.Mutex
}

// database creates a database, and drops it when the test ends.
func (s *server) database(t testing.TB) Database {
	t.Helper()
	s.once.Do(func() { s.err = s.start(s) })
	if s.err != nil {
		t.Fatal("sqltest: ", s.err)
	}
	s.mu.Lock()
	s.names++
	name := fmt.Sprintf("test%d", s.names)
	s.mu.Unlock()
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.exec(t, s.drop(name)) })
	dialect, _, _ := strings.Cut(s.admin, ":")
	return Database{dialect, strings.Replace(s.admin, "/admin", "/"+name, 1)}
}

func (s *server) drop(name string) string {
	if strings.HasPrefix(s.admin, "postgres:") {
		return "DROP DATABASE " + name + " WITH (FORCE)"
	}
	return "DROP DATABASE " + name
}

func (s *server) exec(t testing.TB, statement string) {
	t.Helper()
	_, db, err := sqldb.Open(s.admin)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(statement, ": ", err)
	}
}

// ready waits until the server answers.
func (s *server) ready() error {
	_, db, err := sqldb.Open(s.admin)
	if err != nil {
		return err
	}
	defer db.Close()
	end := time.Now().Add(60 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if s.process.ended() || time.Now().After(end) {
			said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("it does not answer: %w\n%s", err, said)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stopAll ends the servers that run, and removes what they kept.
func stopAll() {
	for _, s := range servers {
		s.end()
	}
}

func (s *server) end() {
	if s.process != nil {
		s.process.stop()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
