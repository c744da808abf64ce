package idempotency_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/waxwing-mq/waxwing/idempotency"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

var quiet = idempotency.Logger(slog.New(slog.DiscardHandler))

// wantProblem checks that an answer is a problem.
func wantProblem(t *testing.T, a answer, status int, kind string) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	if a.status != status || p.Status != status || p.Title == "" || p.Detail == "" || !strings.HasSuffix(p.Type, "#"+kind) || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %v %q; want %d, %s", a.status, a.header, a.body, status, kind)
	}
	if after := a.header.Get("Retry-After"); (after != "") != (status == 409 || status == 503) {
		t.Errorf("%d with Retry-After %q", status, after)
	}
}

// TestReplay: the same request gets the same response, and has one effect.
func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		one, other := e.serve(t, order), e.serve(t, order)
		first := post(t, one+"/orders", `"k"`, "a")
		if first.status != 201 || first.body != "ordered a" || first.replayed() {
			t.Fatalf("%+v", first)
		}
		for _, url := range []string{one, other} {
			again := post(t, url+"/orders", `"k"`, "a")
			if !again.replayed() {
				t.Fatalf("%+v is no replay", again)
			}
			again.header.Del("Idempotent-Replayed")
			again.header.Set("Date", first.header.Get("Date"))
			if !reflect.DeepEqual(again, first) {
				t.Errorf("%+v, at first %+v", again, first)
			}
		}
		if post(t, one+"/orders", "k", "a").replayed() != true {
			t.Error("the key without quotes is another one")
		}
		if n := e.effects(t); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// TestRejected: what reaches no handler.
func TestRejected(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		url := e.serve(t, order, idempotency.MaxBody(100), idempotency.Help("https://example.com/keys")) + "/orders"
		missing := post(t, url, "", "a")
		wantProblem(t, missing, 400, "key-missing")
		if !strings.Contains(missing.body, "https://example.com/keys#") {
			t.Error(missing.body)
		}
		wantProblem(t, post(t, url, `"open`, "a"), 400, "key-invalid")
		wantProblem(t, post(t, url, `"a"`, "a", func(r *http.Request) { r.Header.Add("Idempotency-Key", `"b"`) }), 400, "key-invalid")
		wantProblem(t, post(t, url, `"k"`, strings.Repeat("x", 101)), 413, "body-too-large")
		if a := post(t, url, `"k"`, strings.Repeat("x", 100)); a.status != 201 {
			t.Errorf("a body of the largest size: %+v", a)
		}
		wantProblem(t, post(t, url, `"k"`, "b"), 422, "key-reused")
		wantProblem(t, post(t, url+"?x=1", `"k"`, strings.Repeat("x", 100)), 422, "key-reused")
		wantProblem(t, post(t, url, `"k"`, strings.Repeat("x", 100), func(r *http.Request) { r.Header.Set("Content-Type", "text/csv") }), 422, "key-reused")
		if n := e.effects(t); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// TestScope: a key counts for one tenant, method and route; with another path of the
// route it is another payload.
func TestScope(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		url := e.serve(t, order, idempotency.Tenant(func(r *http.Request) string { return r.Header.Get("Account") }))
		account := func(name string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set("Account", name) }
		}
		put := func(r *http.Request) { r.Method = "PUT" }
		for i, a := range []answer{
			post(t, url+"/orders", `"k"`, "a", account("1")),
			post(t, url+"/orders", `"k"`, "a", account("2")),
			post(t, url+"/orders", `"k"`, "a", account("1"), put),
			post(t, url+"/orders/7", `"k"`, "a", account("1")),
			post(t, url+"/orders", `"l"`, "a", account("1")),
		} {
			if a.status != 201 || a.replayed() {
				t.Errorf("%d: %+v", i, a)
			}
		}
		wantProblem(t, post(t, url+"/orders/8", `"k"`, "a", account("1")), 422, "key-reused")
		if n := e.effects(t); n != 5 {
			t.Errorf("%d effects", n)
		}
	})
}

// TestFingerprint: the caller can say what has to be the same.
func TestFingerprint(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		url := e.serve(t, order, idempotency.Fingerprint(func(_ *http.Request, body []byte) []byte { return body[:1] })) + "/orders"
		post(t, url, `"k"`, "a, now")
		if a := post(t, url, `"k"`, "a, later"); !a.replayed() || a.body != "ordered a, now" {
			t.Errorf("%+v", a)
		}
		wantProblem(t, post(t, url, `"k"`, "b, later"), 422, "key-reused")
	})
}

// TestOptional: without a key there is a transaction and nothing is stored.
func TestOptional(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		url := e.serve(t, func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			if id := idempotency.EventID(ctx, "x"); id != "" {
				t.Errorf("an id %s without a key", id)
			}
			if err := order(ctx, c, w, r); err != nil || r.ContentLength != 4 {
				return err
			}
			return errors.New("four")
		}, idempotency.Optional(), quiet) + "/orders"
		for range 2 {
			if a := post(t, url, "", "a"); a.status != 201 || a.replayed() {
				t.Fatalf("%+v", a)
			}
		}
		wantProblem(t, post(t, url, "", "four"), 500, "failed")
		wantProblem(t, post(t, url, `""`, "a"), 400, "key-invalid")
		if e.effects(t) != 2 || e.stored(t) != 0 {
			t.Errorf("%d effects, %d stored", e.effects(t), e.stored(t))
		}
	})
}

// TestStatuses: which responses are stored, and that what is not has no effect.
func TestStatuses(t *testing.T) {
	stored := map[int]bool{200: true, 204: true, 302: true, 304: true, 400: true, 401: false, 402: true, 403: true, 409: true, 422: true, 429: false, 500: true, 503: true}
	each(t, func(t *testing.T, e env) {
		status := 0
		url := e.serve(t, func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(103)
			w.WriteHeader(status)
			w.WriteHeader(599)
			w.Header().Set("Late", "1")
			if _, err := w.Write([]byte("x")); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
				return err
			}
			return effect(ctx, c, "x")
		}) + "/orders"
		direct := http.DefaultClient.CheckRedirect
		http.DefaultClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		defer func() { http.DefaultClient.CheckRedirect = direct }()
		n := 0
		for code, is := range stored {
			status = code
			key := `"` + http.StatusText(code) + `"`
			first, again := post(t, url, key, "a"), post(t, url, key, "a")
			if first.status != code || again.status != code || first.body != again.body || first.header.Get("Late") != "" {
				t.Errorf("%d: %+v, then %+v", code, first, again)
			}
			if again.replayed() != is {
				t.Errorf("%d: replayed %v", code, again.replayed())
			}
			if is {
				n++
			}
		}
		if e.effects(t) != n || e.stored(t) != n {
			t.Errorf("%d effects and %d stored, of %d", e.effects(t), e.stored(t), n)
		}
	})
}

// TestFailed: an error of the handler leaves nothing, and the key is free.
func TestFailed(t *testing.T) {
	boom := errors.New("boom")
	each(t, func(t *testing.T, e env) {
		result := boom
		h := func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			if err := order(ctx, c, w, r); err != nil {
				return err
			}
			return result
		}
		url := e.serve(t, h, quiet) + "/orders"
		wantProblem(t, post(t, url, `"k"`, "a"), 500, "failed")
		own := e.serve(t, h, idempotency.OnError(func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, boom) {
				t.Error(err)
			}
			w.WriteHeader(502)
		})) + "/orders"
		if a := post(t, own, `"k"`, "a"); a.status != 502 || a.header.Get("Location") != "" {
			t.Errorf("%+v", a)
		}
		result = idempotency.ErrRollback
		for range 2 {
			if a := post(t, url, `"k"`, "a"); a.status != 201 || a.body != "ordered a" || a.replayed() {
				t.Errorf("rolled back: %+v", a)
			}
		}
		if e.effects(t) != 0 || e.stored(t) != 0 {
			t.Fatalf("%d effects, %d stored", e.effects(t), e.stored(t))
		}
		result = nil
		if a := post(t, url, `"k"`, "other"); a.status != 201 || a.replayed() {
			t.Errorf("%+v", a)
		}
		if n := e.effects(t); n != 1 {
			t.Errorf("%d effects", n)
		}
	})
}

// TestBadStatement: a handler that overlooks the error of a statement commits
// nothing where the database says that its transaction is void.
func TestBadStatement(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		url := e.serve(t, func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			err := order(ctx, c, w, r)
			_, _ = c.Exec(ctx, "INSERT INTO nowhere (x) VALUES (1)")
			return err
		}, quiet) + "/orders"
		if a := post(t, url, `"k"`, "a"); (a.status == 201) != (e.effects(t) == 1) || (a.status == 201) != (e.stored(t) == 1) {
			t.Errorf("%d with %d effects, %d stored", a.status, e.effects(t), e.stored(t))
		}
	})
}

// TestPanic: a panic rolls back, goes on, and leaves the key free.
func TestPanic(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		var calm atomic.Bool
		url := e.serve(t, func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			err := order(ctx, c, w, r)
			if !calm.Load() {
				panic(http.ErrAbortHandler)
			}
			return err
		}) + "/orders"
		if a, err := try(url, `"k"`, "a"); err == nil {
			t.Errorf("%+v", a)
		}
		calm.Store(true)
		if a := post(t, url, `"k"`, "a"); a.status != 201 || a.replayed() || e.effects(t) != 1 {
			t.Errorf("%+v, %d effects", a, e.effects(t))
		}
	})
}

// TestBinary: bytes and headers come again as they were.
func TestBinary(t *testing.T) {
	body := make([]byte, 100_000)
	for i := range body {
		body[i] = byte(i * i >> 3)
	}
	each(t, func(t *testing.T, e env) {
		url := e.serve(t, func(_ context.Context, _ sqltx.Conn, w http.ResponseWriter, _ *http.Request) error {
			h := w.Header()
			h.Set("Content-Type", "application/x-bytes")
			h.Add("Set-Cookie", "a=1")
			h.Add("Set-Cookie", "b=2")
			h.Set("X-Latin", "\xe9t\xe9: a")
			h.Set("X-Lines", "a\r\nX-Evil: 1")
			h.Set("X-Empty", "")
			h.Set("Content-Length", "3")
			for _, part := range [][]byte{body[:10], nil, body[10:]} {
				if _, err := w.Write(part); err != nil {
					return err
				}
			}
			return nil
		}) + "/orders"
		first, again := post(t, url, `"k"`, "a"), post(t, url, `"k"`, "a")
		for _, a := range []answer{first, again} {
			h := a.header
			if a.body != string(body) || len(h["Set-Cookie"]) != 2 || h.Get("X-Latin") != "\xe9t\xe9: a" || h.Get("X-Evil") != "" || h["X-Empty"] == nil || h.Get("Content-Type") != "application/x-bytes" {
				t.Errorf("%d, %v, %d bytes", a.status, h, len(a.body))
			}
		}
		if !again.replayed() {
			t.Error("no replay")
		}
	})
}

// TestLargeResponse: what cannot be stored is not committed.
func TestLargeResponse(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		size, overlook := 0, false
		h := func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, _ *http.Request) error {
			if err := effect(ctx, c, "x"); err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, size)); err != nil && !overlook {
				return err
			}
			return nil
		}
		large := e.serve(t, h, idempotency.MaxResponse(1000), idempotency.OnError(func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, idempotency.ErrTooLarge) {
				t.Error(err)
			}
			w.WriteHeader(500)
		})) + "/orders"
		size = 1001
		for _, overlook = range []bool{false, true} {
			if a := post(t, large, `"k"`, "a"); a.status != 500 {
				t.Errorf("%+v", a)
			}
		}
		if n := e.effects(t); n != 0 {
			t.Errorf("%d effects", n)
		}
		size = 1000
		if a := post(t, large, `"k"`, "a"); a.status != 200 || len(a.body) != 1000 {
			t.Errorf("%d, %d bytes", a.status, len(a.body))
		}
	})
}

// TestWriter: what a handler's writer is, and is not.
func TestWriter(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		routes, _ := e.keys(func(_ context.Context, _ sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("Flush: %v", err)
			}
			if w.Header().Get("Outer") != "" {
				t.Error("the handler sees others' headers")
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("status 42 is taken")
					}
				}()
				w.WriteHeader(42)
			}()
			w.Header().Set("Both", "inner")
			n, err := io.Copy(w, r.Body)
			if n != 1 || r.ContentLength != 1 {
				t.Errorf("a body of %d, %d bytes", n, r.ContentLength)
			}
			return err
		})
		url := serveHandler(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Outer", "1")
			w.Header().Set("Both", "outer")
			routes.ServeHTTP(w, r)
		})) + "/orders"
		for range 2 {
			if a := post(t, url, `"k"`, "a"); a.header.Get("Outer") != "1" || a.header.Get("Both") != "inner" || a.body != "a" {
				t.Errorf("%+v", a)
			}
		}
		head := func(r *http.Request) { r.Method = "HEAD" }
		for range 2 {
			if a := post(t, url, `"k"`, "a", head); a.status != 200 || a.body != "" {
				t.Errorf("HEAD: %+v", a)
			}
		}
	})
}
