package idempotency_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/idempotency"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// serveHandler serves until the test ends.
func serveHandler(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// clock is a clock that tests set.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time           { return time.UnixMicro(c.us.Load()) }
func (c *clock) forward(by time.Duration) { c.us.Add(by.Microseconds()) }

// TestExpiry: a key that has expired is new, in any payload, also before its row is
// deleted.
func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		var c clock
		c.us.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
		routes, cleanup := e.keys(order, idempotency.Clock(c.now), idempotency.Expiry(time.Hour))
		url := serveHandler(t, routes) + "/orders"
		post(t, url, `"k"`, "a")
		c.forward(time.Hour - time.Microsecond)
		if a := post(t, url, `"k"`, "a"); !a.replayed() {
			t.Errorf("before it expires: %+v", a)
		}
		if n, err := cleanup(t.Context()); n != 0 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		c.forward(time.Microsecond)
		if a := post(t, url, `"k"`, "b"); a.replayed() || a.body != "ordered b" {
			t.Errorf("when it has expired: %+v", a)
		}
		if a := post(t, url, `"k"`, "b"); !a.replayed() || a.body != "ordered b" {
			t.Errorf("the new one: %+v", a)
		}
		c.forward(time.Hour)
		if n, err := cleanup(t.Context()); n != 1 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		if n := e.effects(t); n != 2 {
			t.Errorf("%d effects", n)
		}
	})
}

// TestCleanup: in batches, by Cleanup and by requests.
func TestCleanup(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		var c clock
		routes, cleanup := e.keys(order, idempotency.Clock(c.now))
		url := serveHandler(t, routes) + "/orders"
		fill := func(n int) {
			for i := range n {
				id := fmt.Appendf(nil, "%032d", i)
				if _, err := e.conn.Exec(t.Context(), "INSERT INTO waxwing_idempotency (id, fingerprint, status, header, body, created_us, expires_us) VALUES (?, ?, 200, ?, ?, 0, ?)", id, id, []byte{}, []byte{}, i); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill(201)
		c.us.Store(1000)
		if n, err := cleanup(t.Context()); n != 201 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		fill(10)
		for i := range 64 {
			post(t, url, fmt.Sprintf("k%d", i), "a")
		}
		post(t, url, `"k0"`, "a") // another one on this connection, after the cleanup
		if n := e.stored(t); n != 64 {
			t.Errorf("%d stored", n)
		}
	})
}

// TestEventID: the same for each try, also when the first was rolled back or has
// expired; another one for another key, payload or name.
func TestEventID(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		var c clock
		c.us.Store(1)
		var ids []string
		h := func(ctx context.Context, _ sqltx.Conn, _ http.ResponseWriter, r *http.Request) error {
			ids = append(ids, idempotency.EventID(ctx, "order.placed"))
			if idempotency.EventID(r.Context(), "order.placed") != ids[len(ids)-1] {
				t.Error("the request's context has no key")
			}
			if idempotency.EventID(ctx, "order.paid") == ids[len(ids)-1] {
				t.Error("two names with the same id")
			}
			if len(ids) == 1 {
				return idempotency.ErrRollback
			}
			return nil
		}
		url := e.serve(t, h, idempotency.Clock(c.now)) + "/orders"
		post(t, url, `"k"`, "a")
		post(t, url, `"k"`, "a")
		c.forward(25 * time.Hour)
		post(t, url, `"k"`, "a")
		post(t, url, `"l"`, "a")
		c.forward(25 * time.Hour)
		post(t, url, `"k"`, "b")
		if len(ids) != 5 || ids[0] != ids[1] || ids[1] != ids[2] || ids[2] == ids[3] || ids[2] == ids[4] || ids[3] == ids[4] {
			t.Error(ids)
		}
		if id := ids[0]; len(id) != 36 || id[14] != '8' {
			t.Errorf("%s is no UUID of version 8", id)
		}
	})
}
