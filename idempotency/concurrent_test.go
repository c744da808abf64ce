package idempotency_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/idempotency"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// TestConcurrent: of 50 requests with one key at once, to four processes, one has
// its effect; the others hear that it runs, or what it answered. Ten rounds.
func TestConcurrent(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		slow := func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			time.Sleep(5 * time.Millisecond)
			return order(ctx, c, w, r)
		}
		var urls []string
		for range 4 {
			urls = append(urls, e.serve(t, slow, quiet)+"/orders")
		}
		var ran, busy, replayed atomic.Int64
		for round := range 10 {
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					a, err := try(urls[i%len(urls)], fmt.Sprintf(`"k%d"`, round), "a")
					switch {
					case err != nil:
						t.Error(err)
					case a.status == 409:
						busy.Add(1)
					case a.status == 201 && a.replayed():
						replayed.Add(1)
					case a.status == 201:
						ran.Add(1)
					default:
						t.Errorf("%+v", a)
					}
				})
			}
			wg.Wait()
			if n := e.effects(t); n != round+1 {
				t.Fatalf("%d effects of %d keys", n, round+1)
			}
		}
		t.Logf("%d ran, %d were replayed, %d met the one that ran", ran.Load(), replayed.Load(), busy.Load())
		if ran.Load() != 10 {
			t.Errorf("%d ran", ran.Load())
		}
	})
}

// blocked serves a handler that waits, once, until it may go on.
func blocked(t *testing.T, e env, urls int) (servers []string, entered <-chan struct{}, release func()) {
	in, goOn := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(goOn) })
	var first atomic.Bool
	h := func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
		if first.CompareAndSwap(false, true) {
			close(in)
			<-goOn
		}
		return order(ctx, c, w, r)
	}
	for range urls {
		servers = append(servers, e.serve(t, h, idempotency.RetryAfter(1500*time.Millisecond))+"/orders")
	}
	t.Cleanup(release) // before the servers close
	return servers, in, release
}

// TestInProgress: a second request hears at once that the first runs, in the same
// process and, except for SQLite, which lets it wait for the answer, in another one.
func TestInProgress(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		urls, entered, release := blocked(t, e, 2)
		var wg sync.WaitGroup
		wg.Go(func() {
			if a, err := try(urls[0], `"k"`, "a"); err != nil || a.status != 201 || a.replayed() {
				t.Errorf("the first: %+v, %v", a, err)
			}
		})
		<-entered
		begin := time.Now()
		a := post(t, urls[0], `"k"`, "a")
		wantProblem(t, a, 409, "in-progress")
		if after := a.header.Get("Retry-After"); after != "2" {
			t.Errorf("Retry-After: %s", after)
		}
		if e.Dialect != "sqlite" {
			wantProblem(t, post(t, urls[1], `"k"`, "a"), 409, "in-progress")
			if a := post(t, urls[1], `"other"`, "a"); a.status != 201 {
				t.Errorf("another key: %+v", a)
			}
		} else {
			wg.Go(func() {
				if a, err := try(urls[1], `"k"`, "a"); err != nil || a.status != 201 || !a.replayed() {
					t.Errorf("the one that waits: %+v, %v", a, err)
				}
			})
		}
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		release()
		wg.Wait()
		if a := post(t, urls[1], `"k"`, "a"); !a.replayed() {
			t.Errorf("%+v", a)
		}
	})
}

// TestClientGone: a client that does not wait ends its transaction, and can come
// again.
func TestClientGone(t *testing.T) {
	each(t, func(t *testing.T, e env) {
		var calls atomic.Int64
		over := make(chan struct{})
		url := e.serve(t, func(ctx context.Context, c sqltx.Conn, w http.ResponseWriter, r *http.Request) error {
			err := order(ctx, c, w, r)
			if calls.Add(1) == 1 {
				<-ctx.Done()
				close(over)
			}
			return err
		}) + "/orders"
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if a, err := try(url, `"k"`, "a", func(r *http.Request) { *r = *r.WithContext(ctx) }); err == nil {
			t.Fatalf("%+v", a)
		}
		<-over
		for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			a := post(t, url, `"k"`, "a")
			if a.status == 409 && time.Since(begin) < 10*time.Second {
				continue // its transaction has not ended yet
			}
			if a.status != 201 || a.replayed() || e.effects(t) != 1 {
				t.Errorf("%+v, %d effects", a, e.effects(t))
			}
			return
		}
	})
}
