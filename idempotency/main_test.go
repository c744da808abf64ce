package idempotency_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/idempotency"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// beforeTests may take the process for something else than tests.
var beforeTests = func() {}

func TestMain(m *testing.M) {
	beforeTests()
	os.Exit(sqltest.Run(m))
}

// handler is a HandlerFunc of any driver.
type handler func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error

// env is a database under test, whichever driver it is reached by.
type env struct {
	sqltest.Database
	conn sqltx.Conn
	// keys are as those of another process each time: routes to h, and Cleanup.
	keys func(h handler, opts ...idempotency.Option) (http.Handler, func(context.Context) (int, error))
}

// each runs a test with every database and driver.
func each(t *testing.T, run func(t *testing.T, e env)) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, _ := sqltest.Open(t, d)
		run(t, envOf(t, d, db))
	})
	t.Run("pgx", func(t *testing.T) {
		d := sqltest.New(t, "postgres")
		pool, err := pgxpool.New(t.Context(), d.DSN)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		db := sqldb.PGX(pool)
		if err := sqldb.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		run(t, envOf(t, d, db))
	})
}

// envOf makes the ledger, which has no unique key that could hide a second effect.
func envOf[TX any](t *testing.T, d sqltest.Database, db *sqldb.DB[TX]) env {
	t.Helper()
	if _, err := db.Conn().Exec(t.Context(), "CREATE TABLE ledger (what VARCHAR(1000) NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	return env{d, db.Conn(), func(h handler, opts ...idempotency.Option) (http.Handler, func(context.Context) (int, error)) {
		k := idempotency.New(db, opts...)
		return routes(db, k, h), k.Cleanup
	}}
}

// routes answers all methods of /orders and of /orders/{id} by h.
func routes[TX any](db *sqldb.DB[TX], k *idempotency.Keys[TX], h handler) http.Handler {
	one := k.Handler(func(ctx context.Context, tx TX, w http.ResponseWriter, r *http.Request) error {
		return h(ctx, db.Bind(tx), w, r)
	})
	mux := http.NewServeMux()
	mux.Handle("/orders", one)
	mux.Handle("/orders/{id}", one)
	return mux
}

// serve is a server of its own, as another process would be.
func (e env) serve(t *testing.T, h handler, opts ...idempotency.Option) string {
	t.Helper()
	answers, _ := e.keys(h, opts...)
	s := httptest.NewServer(answers)
	t.Cleanup(s.Close)
	return s.URL
}

// effects is how many rows the ledger has.
func (e env) effects(t *testing.T) (n int) {
	t.Helper()
	if err := sqltx.One(context.Background(), e.conn, "SELECT COUNT(*) FROM ledger", nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// stored is how many responses are stored.
func (e env) stored(t *testing.T) (n int) {
	t.Helper()
	if err := sqltx.One(context.Background(), e.conn, "SELECT COUNT(*) FROM waxwing_idempotency", nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// effect is what a handler does in its transaction.
func effect(ctx context.Context, c sqltx.Conn, what string) error {
	_, err := c.Exec(ctx, "INSERT INTO ledger (what) VALUES (?)", what)
	return err
}

// order is a handler with one effect, the body.
func order(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/orders/1")
	w.WriteHeader(http.StatusCreated)
	if _, err := w.Write(append([]byte("ordered "), body...)); err != nil {
		return err
	}
	return effect(ctx, c, string(body))
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) replayed() bool { return a.header.Get("Idempotent-Replayed") == "true" }

// post sends a request with a key, as it is written in the header, unless that is "".
func post(t testing.TB, url, key, body string, change ...func(*http.Request)) answer {
	t.Helper()
	a, err := try(url, key, body, change...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(url, key, body string, change ...func(*http.Request)) (answer, error) {
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if key != "" {
		r.Header["idempotency-key"] = []string{key} // HTTP does not mind
	}
	for _, f := range change {
		f(r)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(got)}, err
}
