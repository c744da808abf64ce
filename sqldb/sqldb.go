// Package sqldb says to the SDK (outbox, inbox, saga) which SQL database it works
// in, and makes its tables there.
//
// A DB belongs to one way to reach a database, and its type parameter is that
// way's transaction: pgx.Tx or *sql.Tx. What the SDK does in a transaction it does
// in the one that the caller gives.
//
//	db := sqldb.PGX(pool)                   // DB[pgx.Tx]
//	db := sqldb.Postgres(sqlDB)             // DB[*sql.Tx], also MySQL, SQLite
//	err := sqldb.Migrate(ctx, db)
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// DB is a database whose transactions are of type TX. Its InTx runs a function in
// a transaction. It can be used by several goroutines.
type DB[TX any] = sqltx.DB[TX]

// PGX is a PostgreSQL database (12 or later) that the caller reaches through pgx.
// The caller closes pool.
func PGX(pool *pgxpool.Pool) *DB[pgx.Tx] { return sqltx.PGX(pool) }

// Postgres is a PostgreSQL database that the caller reaches through database/sql,
// with pgx's driver. The caller closes db.
func Postgres(db *sql.DB) *DB[*sql.Tx] { return sqltx.Std(db, sqltx.Postgres) }

// MySQL is a database of MySQL 8.0 or MariaDB 10.6, or later, that the caller
// reaches through github.com/go-sql-driver/mysql. Connections must be those of Open or
// MySQLConnector, and the driver's option clientFoundRows must not be set; Validate
// checks both. The caller closes db.
func MySQL(db *sql.DB) *DB[*sql.Tx] { return sqltx.Std(db, sqltx.MySQL) }

// ErrRolledBack is what a transaction of MySQL returns, for every further statement and
// for its commit, after an error at which the server has rolled it back: a deadlock, or
// a wait for a lock where innodb_rollback_on_timeout is set. That error is in its chain.
var ErrRolledBack = sqltx.ErrRolledBack

// MySQLConnector is mysql.NewConnector, for those who open MySQL or MariaDB themselves:
//
//	pool := sql.OpenDB(connector)
//
// The server rolls a whole transaction back at a deadlock, commits each statement that
// comes after that by itself, and says that the COMMIT succeeded: of a function that
// passes over a deadlock, half would take effect, and a message's without its inbox's
// row. In transactions on this connector's connections, also those that the caller
// begins, everything after that fails with ErrRolledBack. It costs no round trips. No
// check at the commit could do the same: the half is committed by then.
//
// A connection on which a COMMIT or ROLLBACK failed is closed, which ends whatever
// transaction is open on it.
func MySQLConnector(cfg *mysql.Config) (driver.Connector, error) {
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sqltx.GuardMySQL(c), nil
}

// SQLite is a database of SQLite 3.42 or later that the caller reaches through
// modernc.org/sqlite. Its transactions must begin with BEGIN IMMEDIATE, and it
// should wait for locks: OpenSQLite sees to both. InTx begins one transaction at a time
// and has the others stand in line, for ten seconds at most; an InTx within another
// one's transaction fails after that. The caller closes db.
func SQLite(db *sql.DB) *DB[*sql.Tx] { return sqltx.Std(db, sqltx.SQLite) }

// OpenSQLite opens a file, which is created if need be, as SQLite wants it to be:
// write-ahead log, every commit synced, transactions that begin with BEGIN
// IMMEDIATE, ten seconds of patience for locks, zeros over what is deleted (of which
// the log keeps copies until it is truncated, as seal's Maintain does). The pool has 16 connections at most,
// which are kept for a minute; the caller may set other bounds, but not 1, with which
// what reads beside a transaction waits for its end.
func OpenSQLite(path string) (*sql.DB, error) { return openSQLite(path, nil) }

// openSQLite adds settings for the driver, which win over ours.
func openSQLite(path string, more url.Values) (*sql.DB, error) {
	q := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(on)", "secure_delete(on)"},
		"_txlock": {"immediate"},
	}
	for name, values := range more {
		if name != "_pragma" {
			q[name] = values
			continue
		}
		for _, pragma := range values { // the driver would choose among two of a name
			q["_pragma"] = slices.DeleteFunc(q["_pragma"], func(our string) bool {
				return strings.EqualFold(pragmaName(our), pragmaName(pragma))
			})
		}
		q["_pragma"] = append(q["_pragma"], values...)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(sqliteConns)
	db.SetMaxIdleConns(sqliteConns) // fewer would be opened again and again
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

// sqliteConns is how many statements may be under way at once. In the write-ahead log
// all of them may read, and one may write, so that more would only wait; each has up
// to 2 MB of cache and three open files.
const sqliteConns = 16

// pragmaName is the name in name(value) or name=value.
func pragmaName(pragma string) string {
	if end := strings.IndexAny(pragma, "(= "); end >= 0 {
		return pragma[:end]
	}
	return pragma
}

// Open opens the database that a URL names, through database/sql; close what it
// returns second. The forms are
//
//	postgres://user:password@host:port/database
//	mysql://user:password@host:port/database       also mariadb://
//	sqlite:path/to/file
//
// What follows a question mark goes to the driver.
func Open(dsn string) (*DB[*sql.Tx], *sql.DB, error) {
	scheme, rest, ok := strings.Cut(dsn, ":")
	if !ok {
		return nil, nil, errors.New(`sqldb: the DSN begins with "postgres:", "mysql:" or "sqlite:"`)
	}
	switch scheme {
	case "postgres", "postgresql":
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			return nil, nil, err
		}
		return Postgres(db), db, nil
	case "mysql", "mariadb":
		cfg, err := mysqlConfig(dsn)
		if err != nil {
			return nil, nil, err
		}
		c, err := MySQLConnector(cfg)
		if err != nil {
			return nil, nil, err
		}
		db := sql.OpenDB(c)
		return MySQL(db), db, nil
	case "sqlite":
		path, query, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
		more, err := url.ParseQuery(query)
		if err != nil {
			return nil, nil, fmt.Errorf("sqldb: the DSN: %w", err)
		}
		db, err := openSQLite(path, more)
		if err != nil {
			return nil, nil, err
		}
		return SQLite(db), db, nil
	}
	return nil, nil, fmt.Errorf("sqldb: %q is no kind of database: postgres, mysql or sqlite", scheme)
}

// mysqlConfig reads mysql://user:password@host:port/database?options.
func mysqlConfig(dsn string) (*mysql.Config, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("sqldb: the DSN is no URL") // the error itself holds the password
	}
	address := u.Host
	if u.Port() == "" {
		address = u.Hostname() + ":3306"
	}
	form := fmt.Sprintf("tcp(%s)/%s?%s", address, strings.TrimPrefix(u.Path, "/"), u.RawQuery)
	if socket := u.Query().Get("socket"); socket != "" {
		q := u.Query()
		q.Del("socket")
		form = fmt.Sprintf("unix(%s)/%s?%s", socket, strings.TrimPrefix(u.Path, "/"), q.Encode())
	}
	cfg, err := mysql.ParseDSN(form)
	if err != nil {
		return nil, err
	}
	if u.User != nil {
		cfg.User = u.User.Username()
		cfg.Passwd, _ = u.User.Password()
	}
	return cfg, nil
}

// inTx runs f on a connection of one transaction.
func inTx[TX any](ctx context.Context, db *DB[TX], f func(context.Context, sqltx.Conn) error) error {
	return db.InTx(ctx, func(ctx context.Context, tx TX) error { return f(ctx, db.Bind(tx)) })
}
