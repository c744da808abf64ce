package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// owners waits until the leases are as ok wants them: the number by owner.
func owners(t *testing.T, s *store, what string, ok func(map[string]int) bool) {
	t.Helper()
	var by map[string]int
	for range 400 {
		rows, err := s.leases(t.Context())
		if err != nil && !sqltx.Transient(err) {
			t.Fatal(err)
		}
		by = map[string]int{}
		for _, r := range rows {
			if r.left > 0 {
				by[r.owner]++
			}
		}
		if ok(by) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("%s: leases by owner are %v", what, by)
}

// TestShare: relays share the buckets, those that end hand theirs over at once, and
// under all of that nothing is lost or reordered.
func TestShare(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		const length = 10 * time.Second
		stopFirst := start(t, NewRelay(o, to, Lease(length), quiet))
		owners(t, o.store(), "one relay", func(by map[string]int) bool { return len(by) == 1 && sum(by) == Buckets })
		var wg sync.WaitGroup
		const n, each = 4, 50
		wg.Go(func() { writers(t, o, db, pool, n, each, 20) })
		start(t, NewRelay(o, to, Lease(length), quiet))
		start(t, NewRelay(o, to, Lease(length), quiet))
		owners(t, o.store(), "three relays", func(by map[string]int) bool {
			for _, n := range by {
				if n > 6 {
					return false
				}
			}
			return len(by) == 3 && sum(by) == Buckets
		})
		began := time.Now()
		stopFirst()
		owners(t, o.store(), "two relays", func(by map[string]int) bool { return len(by) == 2 && sum(by) == Buckets })
		if took := time.Since(began); took > length {
			t.Errorf("the others took over after %v", took)
		}
		wg.Wait()
		msgs := to.wait(t, n*each)
		empty(t, pool)
		got := checkOrder(t, msgs)
		if got != n*each {
			t.Errorf("%d different messages, want %d", got, n*each)
		}
		// A relay that SQLite's other writers keep from its renewal may send again.
		if len(msgs) != got && d.Dialect != "sqlite" {
			t.Errorf("%d were sent, of %d", len(msgs), got)
		}
	})
}

func sum(by map[string]int) (n int) {
	for _, c := range by {
		n += c
	}
	return n
}

// A gate is a connection that answers only while it is open: a process that is
// paused, as its database sees it.
type gate struct {
	sqltx.Conn
	closed *atomic.Bool
}

func (g gate) hold(ctx context.Context) error {
	for g.closed.Load() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

func (g gate) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	if err := g.hold(ctx); err != nil {
		return 0, err
	}
	return g.Conn.Exec(ctx, q, args...)
}

func (g gate) Query(ctx context.Context, q string, args ...any) (sqltx.Rows, error) {
	if err := g.hold(ctx); err != nil {
		return nil, err
	}
	return g.Conn.Query(ctx, q, args...)
}

// gated puts a relay's connections behind a gate.
func gated(r *Relay) *atomic.Bool {
	closed, inTx, inTxFirst := &atomic.Bool{}, r.store.inTx, r.store.inTxFirst
	r.store = &store{conn: gate{r.store.conn, closed}, dialect: r.store.dialect}
	r.store.inTx = func(ctx context.Context, f func(context.Context, sqltx.Conn) error) error {
		if err := (gate{nil, closed}).hold(ctx); err != nil {
			return err
		}
		return inTx(ctx, f)
	}
	r.store.inTxFirst = func(ctx context.Context, query string, f func(context.Context, sqltx.Conn) error) error {
		if err := (gate{nil, closed}).hold(ctx); err != nil {
			return err
		}
		return inTxFirst(ctx, query, f)
	}
	return closed
}

// A zombie is a relay that hangs while it publishes, and cannot renew its leases.
type zombie struct {
	relay *Relay
	to    *recorder
	wake  func()
}

// newZombie runs a relay until it hangs with a batch, which it sends before or after
// it hangs.
func newZombie(t *testing.T, o *Outbox[*sql.Tx], to *recorder, length time.Duration, sendFirst bool) *zombie {
	t.Helper()
	stuck, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	own := &recorder{}
	own.hook = func(ctx context.Context, msgs []bus.Message) error {
		if sendFirst {
			_ = to.Publish(ctx, msgs)
		}
		once.Do(func() { close(stuck) })
		<-release
		if !sendFirst {
			_ = to.Publish(ctx, msgs)
		}
		return nil
	}
	z := &zombie{relay: NewRelay(o, own, Lease(length), Workers(1), quiet), to: own}
	closed := gated(z.relay)
	stop := start(t, z.relay)
	<-stuck
	closed.Store(true)
	var woken sync.Once
	z.wake = func() { woken.Do(func() { closed.Store(false); close(release) }) }
	t.Cleanup(func() { z.wake(); stop() })
	return z
}

// TestZombie: a relay that is paused between its read and its delete is replaced
// when its leases expire. When it wakes, what it sends are duplicates only, and it
// deletes nothing.
func TestZombie(t *testing.T) {
	for _, sendFirst := range []bool{true, false} {
		t.Run(fmt.Sprint("sent=", sendFirst), func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) { testZombie(t, d, sendFirst) })
		})
	}
}

func testZombie(t *testing.T, d sqltest.Database, sendFirst bool) {
	db, pool := sqltest.Open(t, d)
	o, to := New(db), &recorder{}
	const length, n = time.Second, 40
	for v := range n {
		publish(t, o, Event{Topic: "t", Key: "k", Data: v + 1})
	}
	z := newZombie(t, o, to, length, sendFirst)
	before := len(to.all())
	start(t, NewRelay(o, to, Lease(length), quiet))
	publish(t, o, Event{Topic: "t", Key: "k", Data: n + 1})
	to.wait(t, n+1)
	empty(t, pool)
	sequences := map[string]string{}
	for _, m := range to.all() {
		sequences[m.ID] = string(m.Header(bus.HeaderSequence))
	}
	published := len(to.all())
	z.wake()
	for end := time.Now().Add(10 * time.Second); testutil.ToFloat64(z.relay.metrics.fenced) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the zombie was not fenced")
		}
	}
	msgs := to.all()
	if sent := before + len(msgs) - published; sent != n {
		t.Errorf("the zombie sent %d messages, want %d", sent, n)
	}
	for _, m := range msgs {
		if got := string(m.Header(bus.HeaderSequence)); got != sequences[m.ID] {
			t.Errorf("%s has sequence %s, first %s", m.ID, got, sequences[m.ID])
		}
	}
	if got := checkOrder(t, msgs); got != n+1 {
		t.Errorf("%d different messages, want %d", got, n+1)
	}
}

// TestFence: a delete under a token that is not the lease's deletes nothing, unless
// the safeguard is removed.
func TestFence(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o := New(db)
		s := o.store()
		fill(t, o, 100)
		if err := s.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		acquire := func(owner string, token int64) {
			t.Helper()
			for b := range Buckets {
				if ok, err := s.acquire(t.Context(), leaseRow{bucket: b, token: token}, owner, 0); err != nil || !ok {
					t.Fatal(b, ok, err)
				}
			}
		}
		acquire("a", 0)
		time.Sleep(time.Millisecond)
		if ok, err := s.acquire(t.Context(), leaseRow{token: 0}, "b", time.Hour); ok || err != nil {
			t.Fatal("a lease is acquired that has changed since it was read: ", err)
		}
		acquire("b", 1)
		parts := map[int]*part{}
		rows, err := pool.Query("SELECT bucket, id FROM waxwing_outbox")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var b int
			var id int64
			if err := rows.Scan(&b, &id); err != nil {
				t.Fatal(err)
			}
			if parts[b] == nil {
				parts[b] = &part{lease: &lease{bucket: b, token: 1}}
			}
			parts[b].ids = append(parts[b].ids, id)
		}
		rows.Close()
		var all []*part
		for _, p := range parts {
			all = append(all, p)
		}
		parts[0].lease.token = 2 // this one is right
		left := 100 - len(parts[0].ids)
		check := func(want, buckets int) {
			t.Helper()
			ours, err := s.remove(t.Context(), all)
			if err != nil || len(ours) != buckets {
				t.Fatal(ours, err)
			}
			var n int
			if err := pool.QueryRow("SELECT COUNT(*) FROM waxwing_outbox").Scan(&n); err != nil || n != want {
				t.Fatalf("%d rows are left, want %d; %v", n, want, err)
			}
		}
		check(left, 1)
		safeguard.Remove(safeguard.Fence)
		defer safeguard.Restore()
		check(0, len(all))
	})
}

// TestRenewEpochUnderway: a relay that runs when the epoch is renewed deletes nothing
// any more of what it has sent before, also if its tokens are those of the restored
// rows, sends it again as it was, and what comes then in the new epoch.
func TestRenewEpochUnderway(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		begun, renewed := make(chan struct{}), make(chan struct{})
		var once sync.Once
		to.hook = func(context.Context, []bus.Message) error {
			once.Do(func() { close(begun); <-renewed })
			return nil
		}
		start(t, NewRelay(o, to, Lease(time.Minute), Poll(time.Millisecond, 10*time.Millisecond), quiet))
		publish(t, o, Event{Topic: "t", Key: "k", ID: "sent before"})
		<-begun
		// As a restore does to a lease that was acquired since the backup.
		if _, err := pool.Exec("UPDATE waxwing_outbox_lease SET token = token - 1"); err != nil {
			t.Fatal(err)
		}
		if err := o.RenewEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		epochs, err := o.store().epochs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		close(renewed)
		publish(t, o, Event{Topic: "t", Key: "k", ID: "new"})
		to.wait(t, 2)
		empty(t, pool)
		got := map[string]bool{}
		for _, m := range to.all() {
			got[m.ID+" "+string(m.Header(bus.HeaderSequence))] = true
		}
		if len(epochs) != 2 || !got["sent before "+epochs[0].name+":1"] || !got["new "+epochs.current()+":2"] {
			t.Errorf("in epochs %v there are %v", epochs, got)
		}
	})
}
