package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/sqldb"
)

// file is a name for a new database.
func file() (path string, done func()) {
	dir, err := os.MkdirTemp("", "waxwing-example-")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "shop.db"), func() { os.RemoveAll(dir) }
}

// A program opens its database, makes the tables, and hands db to the other packages.
func Example() {
	ctx := context.Background()
	path, done := file()
	defer done()
	db, pool, err := sqldb.Open("sqlite:" + path) // or postgres://… or mysql://…
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	if err := sqldb.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	err = db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var n int
		err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM waxwing_outbox").Scan(&n)
		fmt.Println(n, "events wait")
		return err
	})
	fmt.Println(err)
	// Output:
	// 0 events wait
	// <nil>
}

func ExampleOpen() {
	for _, dsn := range []string{"sqlite:/tmp/shop.db", "postgres://app@localhost/shop", "mysql://app@localhost/shop", "oracle:shop"} {
		db, pool, err := sqldb.Open(dsn)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(db.Dialect())
		pool.Close()
	}
	// Output:
	// sqlite
	// postgres
	// mysql
	// sqldb: "oracle" is no kind of database: postgres, mysql or sqlite
}

// Through pgx, transactions are pgx.Tx.
func ExamplePGX() {
	pool, err := pgxpool.New(context.Background(), "postgres://app@localhost/shop") // connects when it is used
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	var db *sqldb.DB[pgx.Tx] = sqldb.PGX(pool)
	fmt.Println(db.Dialect())
	// Output: postgres
}

func ExamplePostgres() {
	pool, err := sql.Open("pgx", "postgres://app@localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	fmt.Println(sqldb.Postgres(pool).Dialect())
	// Output: postgres
}

func ExampleMySQL() {
	cfg, err := mysql.ParseDSN("app@tcp(localhost:3306)/shop") // MariaDB too
	if err != nil {
		log.Fatal(err)
	}
	connector, err := sqldb.MySQLConnector(cfg)
	if err != nil {
		log.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer pool.Close()
	fmt.Println(sqldb.MySQL(pool).Dialect())
	// Output: mysql
}

func ExampleSQLite() {
	path, done := file()
	defer done()
	pool, err := sqldb.OpenSQLite(path)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	fmt.Println(sqldb.SQLite(pool).Dialect())
	// Output: sqlite
}

func ExampleOpenSQLite() {
	path, done := file()
	defer done()
	pool, err := sqldb.OpenSQLite(path)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	var mode string
	err = pool.QueryRow("PRAGMA journal_mode").Scan(&mode)
	fmt.Println(mode, err)
	// Output: wal <nil>
}

// Those who have a tool for migrations feed it with these, and check the result.
func ExampleMigrations() {
	all, err := sqldb.Migrations("postgres")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(all[0].Version, all[0].Name, len(all[0].SQL) > 0)
	// Output: 1 outbox true
}

func ExampleMigrate() {
	ctx := context.Background()
	path, done := file()
	defer done()
	db, pool, err := sqldb.Open("sqlite:" + path)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	fmt.Println(sqldb.Migrate(ctx, db))
	fmt.Println(sqldb.Migrate(ctx, db)) // at each start of each process, if you like
	// Output:
	// <nil>
	// <nil>
}

func ExampleValidate() {
	ctx := context.Background()
	path, done := file()
	defer done()
	db, pool, err := sqldb.Open("sqlite:" + path)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	fmt.Println(errors.Is(sqldb.Validate(ctx, db), sqldb.ErrMigrate))
	if err := sqldb.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sqldb.Validate(ctx, db))
	// Output:
	// true
	// <nil>
}
