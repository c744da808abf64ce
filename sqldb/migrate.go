package sqldb

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

//go:embed migrations
var files embed.FS

// A Migration is one step in the making of the tables, whose names all begin with
// "waxwing_".
type Migration struct {
	Version int    // from 1 on, without gaps
	Name    string // such as "outbox"
	SQL     string // statements, each ended by a semicolon at the end of a line
}

// Migrations are the steps for a dialect ("postgres", "mysql", "sqlite"), in order,
// for those who apply them with a tool of their own; Validate then checks the
// result. It returns an error for another word.
func Migrations(dialect string) ([]Migration, error) {
	dir := path.Join("migrations", dialect)
	entries, err := files.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("sqldb: no migrations for %q", dialect)
	}
	var all []Migration
	for _, e := range entries { // in the order of their names
		text, err := files.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		number, name, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(all)+1 {
			return nil, fmt.Errorf("sqldb: migration %s is not number %d", e.Name(), len(all)+1)
		}
		all = append(all, Migration{version, name, string(text)})
	}
	return all, nil
}

// statements are those of a migration.
func (m Migration) statements() (out []string) {
	var code strings.Builder
	for line := range strings.Lines(m.SQL) {
		if !strings.HasPrefix(line, "--") {
			code.WriteString(line)
		}
	}
	for s := range strings.SplitSeq(code.String(), ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

const table = "waxwing_migration"

// Migrate makes the SDK's tables, or brings them up to date. Several processes may
// call it at once. PostgreSQL and SQLite carry out each step whole or not at all;
// MySQL commits each statement by itself, but each can be repeated.
func Migrate[TX any](ctx context.Context, db *DB[TX]) error {
	all, err := Migrations(db.Dialect().String())
	if err != nil {
		return err
	}
	if done, err := version(ctx, db.Conn()); err == nil && done >= len(all) {
		return nil // without a lock that somebody else may hold
	}
	if err := createTable(ctx, db); err != nil {
		return fmt.Errorf("sqldb: %s: %w", table, err)
	}
	for _, m := range all {
		if err := apply(ctx, db, m); err != nil {
			return fmt.Errorf("sqldb: migration %d (%s): %w", m.Version, m.Name, err)
		}
	}
	return nil
}

// createTable makes the table of what was applied. PostgreSQL can refuse the
// second of two who do so at once.
func createTable[TX any](ctx context.Context, db *DB[TX]) error {
	create := func() error {
		_, err := db.Conn().Exec(ctx, "CREATE TABLE IF NOT EXISTS "+table+" (version INTEGER PRIMARY KEY, name VARCHAR(100) NOT NULL, applied_us BIGINT NOT NULL)")
		return err
	}
	if err := create(); err == nil {
		return nil
	}
	return create()
}

// apply carries out a migration unless that was done, holding a lock meanwhile.
func apply[TX any](ctx context.Context, db *DB[TX], m Migration) error {
	return inTx(ctx, db, func(ctx context.Context, c sqltx.Conn) error {
		unlock, err := lock(ctx, c, db.Dialect())
		if err != nil {
			return err
		}
		defer unlock()
		version, err := version(ctx, c)
		if err != nil || version >= m.Version {
			return err
		}
		for _, s := range m.statements() {
			if _, err := c.Exec(ctx, s); err != nil {
				return fmt.Errorf("%w\n%s", err, s)
			}
		}
		_, err = c.Exec(ctx, "INSERT INTO "+table+" (version, name, applied_us) VALUES (?, ?, "+db.Dialect().Now()+")", m.Version, m.Name)
		return err
	})
}

// lock keeps others from migrating until the transaction, or unlock, ends.
func lock(ctx context.Context, c sqltx.Conn, d sqltx.Dialect) (unlock func(), err error) {
	switch d {
	case sqltx.Postgres:
		_, err = c.Exec(ctx, "LOCK TABLE "+table+" IN EXCLUSIVE MODE")
	case sqltx.MySQL: // whose statements commit; this lock is the connection's
		var got int
		err = sqltx.One(ctx, c, "SELECT GET_LOCK('waxwing_migration', 60)", nil, &got)
		if err == nil && got != 1 {
			err = errors.New("another process has been migrating for a minute")
		}
		return func() { _, _ = c.Exec(context.WithoutCancel(ctx), "DO RELEASE_LOCK('waxwing_migration')") }, err
	}
	return func() {}, err
}

// version is the number of the last migration that was applied.
func version(ctx context.Context, c sqltx.Conn) (n int, err error) {
	err = sqltx.One(ctx, c, "SELECT COALESCE(MAX(version), 0) FROM "+table, nil, &n)
	return n, err
}

// ErrMigrate means that the tables are not as this release of the SDK needs them.
var ErrMigrate = errors.New("sqldb: the database is not migrated")

// Validate checks that all migrations were applied and that the tables are there,
// and changes nothing. It returns an error that is ErrMigrate if not. A newer
// schema than this release knows is no error: migrations only add.
func Validate[TX any](ctx context.Context, db *DB[TX]) error {
	all, err := Migrations(db.Dialect().String())
	if err != nil {
		return err
	}
	got, err := version(ctx, db.Conn())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMigrate, err)
	}
	if got < len(all) {
		return fmt.Errorf("%w: it is at version %d of %d", ErrMigrate, got, len(all))
	}
	for _, m := range all {
		for _, s := range m.statements() {
			name, ok := tableOf(s)
			if !ok {
				continue
			}
			if _, err := db.Conn().Exec(ctx, "SELECT 1 FROM "+name+" WHERE 1 = 0"); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrMigrate, name, err)
			}
		}
	}
	return soundMySQL(ctx, db)
}

// tableOf is the table that a statement creates.
func tableOf(statement string) (string, bool) {
	f := strings.Fields(statement)
	if len(f) < 6 || !strings.EqualFold(f[0]+" "+f[1], "CREATE TABLE") {
		return "", false
	}
	return f[5], true // CREATE TABLE IF NOT EXISTS name
}

// soundMySQL checks what MySQL's settings can break: with the driver's option
// clientFoundRows a row that stays as it is counts as changed, and each duplicate
// would look new; with an increment above 1 several primaries hand out ids, which
// are in no order; without the guard of MySQLConnector a transaction goes on that is
// none any more.
func soundMySQL[TX any](ctx context.Context, db *DB[TX]) error {
	if db.Dialect() != sqltx.MySQL {
		return nil
	}
	n, err := db.Conn().Exec(ctx, "UPDATE "+table+" SET version = version WHERE version = 1")
	if err == nil && n != 0 {
		err = errors.New("sqldb: clientFoundRows must not be set for this database")
	}
	if err != nil {
		return err
	}
	var increment int
	if err := sqltx.One(ctx, db.Conn(), "SELECT @@auto_increment_increment", nil, &increment); err != nil {
		return err
	}
	if increment != 1 {
		return fmt.Errorf("sqldb: auto_increment_increment is %d: several primaries (Galera, group replication) write, and their ids are in no order; let one write", increment)
	}
	return guarded(ctx, db)
}

// guarded checks that a transaction does not commit in which there was a deadlock.
// The server only says that there was one, so that it shows whether that is noticed,
// whatever is around the driver.
func guarded[TX any](ctx context.Context, db *DB[TX]) error {
	var said error
	err := inTx(ctx, db, func(ctx context.Context, c sqltx.Conn) error {
		_, said = c.Exec(ctx, "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'waxwing asks whether a deadlock is noticed'")
		return nil
	})
	switch {
	case errors.Is(err, ErrRolledBack):
		return nil
	case err == nil && sqltx.Transient(said):
		return errors.New("sqldb: a transaction goes on after a deadlock, in which the server commits each statement by itself: open this database with sqldb.Open or sqldb.MySQLConnector")
	}
	return errors.Join(err, said)
}
