package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

func TestMain(m *testing.M) { os.Exit(sqltest.Run(m)) }

// A recorder is a bus that keeps what it is given. Its hook, if any, decides what
// happens with a batch before it is kept.
type recorder struct {
	mu   sync.Mutex
	msgs []bus.Message
	hook func(ctx context.Context, msgs []bus.Message) error
}

func (r *recorder) System() string { return "kafka" }

func (r *recorder) Publish(ctx context.Context, msgs []bus.Message) error {
	var err error
	if r.hook != nil {
		err = r.hook(ctx, msgs)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range msgs {
		if bus.Failed(err, i) == nil {
			r.msgs = append(r.msgs, msgs[i])
		}
	}
	return err
}

func (r *recorder) all() []bus.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]bus.Message(nil), r.msgs...)
}

// wait waits until n different messages are there.
func (r *recorder) wait(t testing.TB, n int) []bus.Message {
	t.Helper()
	end := time.Now().Add(60 * time.Second)
	for {
		all, ids := r.all(), map[string]bool{}
		for i := range all {
			ids[all[i].ID] = true
		}
		if len(ids) >= n {
			return all
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d messages came within a minute", len(ids), n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var quiet = Logger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// start runs a relay until the test ends, or stop is called.
func start(t testing.TB, r *Relay) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// empty waits until the table is.
func empty(t testing.TB, db *sql.DB) {
	t.Helper()
	n := -1
	for range 600 {
		if err := db.QueryRow("SELECT COUNT(*) FROM waxwing_outbox").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d rows are left", n)
}

// publish writes events, each in a transaction of its own.
func publish(t testing.TB, o *Outbox[*sql.Tx], events ...Event) {
	t.Helper()
	for _, e := range events {
		if err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return o.Publish(ctx, tx, e) }); err != nil {
			t.Fatal(err)
		}
	}
}

// writers have n goroutines write events of keys, with jitter. Each transaction
// increments its key's row before it publishes, so that the version in the body is
// the order of commits.
func writers(t *testing.T, o *Outbox[*sql.Tx], db *sqldb.DB[*sql.Tx], pool *sql.DB, n, each, keys int) {
	t.Helper()
	if _, err := pool.Exec("CREATE TABLE IF NOT EXISTS aggregate (id INTEGER PRIMARY KEY, version INTEGER NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	for k := range keys {
		if _, err := pool.Exec(fmt.Sprintf("INSERT INTO aggregate VALUES (%d, 0)", k)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for range each {
				if err := write(o, db, rand.IntN(keys)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// write is one transaction; every tenth is rolled back at its end.
func write(o *Outbox[*sql.Tx], db *sqldb.DB[*sql.Tx], key int) error {
	for {
		undo := rand.IntN(10) == 0
		err := o.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
			jitter := func() { time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) }
			c := db.Bind(tx)
			jitter()
			if _, err := c.Exec(ctx, "UPDATE aggregate SET version = version + 1 WHERE id = ?", key); err != nil {
				return err
			}
			var version int
			rows, err := c.Query(ctx, "SELECT version FROM aggregate WHERE id = ?", key)
			if err != nil {
				return err
			}
			for rows.Next() {
				if err := rows.Scan(&version); err != nil {
					return err
				}
			}
			rows.Close()
			if err := o.Publish(ctx, tx, Event{Topic: "t", Key: fmt.Sprint("key", key), Data: version}); err != nil {
				return err
			}
			jitter()
			if undo {
				return errUndo
			}
			return nil
		})
		if err == nil || !errors.Is(err, errUndo) {
			return err
		}
	}
}

var errUndo = errors.New("undo")

// checkOrder checks that the first occurrences of each key's messages are its
// versions in order, none left out, and returns how many there are.
func checkOrder(t *testing.T, msgs []bus.Message) (first int) {
	t.Helper()
	last, seen := map[string]int{}, map[string]bool{}
	for i := range msgs {
		if seen[msgs[i].ID] {
			continue
		}
		seen[msgs[i].ID] = true
		first++
		var v int
		if _, err := fmt.Sscan(string(msgs[i].Body), &v); err != nil {
			t.Fatal(err)
		}
		if last[msgs[i].Key]+1 != v {
			t.Errorf("%s: version %d after %d", msgs[i].Key, v, last[msgs[i].Key])
		}
		last[msgs[i].Key] = v
	}
	return first
}

// TestConcurrentWriters: nothing is lost, skipped or reordered under concurrent
// transactions of 50 keys, some of which roll back.
func TestConcurrentWriters(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		n, each := 24, 50
		if d.Dialect == "sqlite" {
			n, each = 4, 50 // it has one writer at a time
		}
		o, to := New(db), &recorder{}
		start(t, NewRelay(o, to, BatchSize(20)))
		writers(t, o, db, pool, n, each, 50)
		msgs := to.wait(t, n*each)
		empty(t, pool)
		if got := checkOrder(t, msgs); got != n*each {
			t.Errorf("%d messages, want %d", got, n*each)
		}
		if len(msgs) != n*each {
			t.Errorf("%d were sent, of %d", len(msgs), n*each)
		}
	})
}
