package idempotency_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/waxwing-mq/waxwing/idempotency"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// exampleDB is a database with the SDK's tables and one of ours.
func exampleDB() (*sqldb.DB[*sql.Tx], *sql.DB, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(dir, "orders.db"))
	if err != nil {
		panic(err)
	}
	if err := sqldb.Migrate(context.Background(), db); err != nil {
		panic(err)
	}
	if _, err := pool.Exec("CREATE TABLE orders (item TEXT NOT NULL)"); err != nil {
		panic(err)
	}
	return db, pool, func() { pool.Close(); os.RemoveAll(dir) }
}

// send sends an order, as a client does, and tells the answer.
func send(h http.Handler, key, item string) {
	r := httptest.NewRequest("POST", "/orders", strings.NewReader(item))
	r.Header.Set("Account", "7")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Printf("%d %s", w.Code, strings.TrimSpace(w.Body.String()))
	if w.Header().Get("Idempotent-Replayed") != "" {
		fmt.Print(" (replayed)")
	}
	fmt.Println()
}

// placeOrder inserts an order in its transaction.
func placeOrder(ctx context.Context, tx *sql.Tx, w http.ResponseWriter, r *http.Request) error {
	item, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (item) VALUES (?)", string(item)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	_, err = fmt.Fprintf(w, "ordered: %s", item)
	return err
}

func ExampleKeys_Handler() {
	db, pool, done := exampleDB()
	defer done()

	account := func(r *http.Request) string { return r.Header.Get("Account") }
	keys := idempotency.New(db, idempotency.Tenant(account))
	mux := http.NewServeMux()
	mux.Handle("POST /orders", keys.Handler(placeOrder))

	send(mux, `"8e03978e-40d5"`, "a book")
	send(mux, `"8e03978e-40d5"`, "a book") // the answer was lost, so once more
	var orders int
	if err := pool.QueryRow("SELECT COUNT(*) FROM orders").Scan(&orders); err != nil {
		panic(err)
	}
	fmt.Println(orders, "order")
	// Output:
	// 201 ordered: a book
	// 201 ordered: a book (replayed)
	// 1 order
}

func ExampleNew() {
	db, _, done := exampleDB()
	defer done()

	keys := idempotency.New(db,
		idempotency.Optional(), // clients that do not know of keys yet
		idempotency.Expiry(7*24*time.Hour),
		idempotency.RetryAfter(3*time.Second),
		idempotency.MaxBody(64<<10),
		idempotency.MaxResponse(256<<10),
		idempotency.Help("https://example.com/docs/keys"))
	h := keys.Handler(placeOrder)

	send(h, "", "a book")
	// Output: 201 ordered: a book
}

func ExampleEventID() {
	db, _, done := exampleDB()
	defer done()

	keys := idempotency.New(db)
	h := keys.Handler(func(ctx context.Context, _ *sql.Tx, w http.ResponseWriter, _ *http.Request) error {
		id := idempotency.EventID(ctx, "order.placed") // for outbox.Event.ID, or another service's key
		_, err := fmt.Fprint(w, len(id), " characters")
		return err
	})

	send(h, `"8e03978e-40d5"`, "a book")
	// Output: 200 36 characters
}

func ExampleErrRollback() {
	db, pool, done := exampleDB()
	defer done()

	keys := idempotency.New(db)
	h := keys.Handler(func(ctx context.Context, tx *sql.Tx, w http.ResponseWriter, _ *http.Request) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (item) VALUES ('a book')"); err != nil {
			return err
		}
		http.Error(w, "closed until nine", http.StatusServiceUnavailable)
		return idempotency.ErrRollback // the same key may try again
	})

	send(h, `"8e03978e-40d5"`, "a book")
	var orders int
	if err := pool.QueryRow("SELECT COUNT(*) FROM orders").Scan(&orders); err != nil {
		panic(err)
	}
	fmt.Println(orders, "orders")
	// Output:
	// 503 closed until nine
	// 0 orders
}

func ExampleKeys_Cleanup() {
	db, _, done := exampleDB()
	defer done()

	now := time.Now()
	keys := idempotency.New(db, idempotency.Clock(func() time.Time { return now }))
	send(keys.Handler(placeOrder), `"8e03978e-40d5"`, "a book")

	now = now.Add(25 * time.Hour)
	n, err := keys.Cleanup(context.Background())
	fmt.Println(n, err)
	// Output:
	// 201 ordered: a book
	// 1 <nil>
}
