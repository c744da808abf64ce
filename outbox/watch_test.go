package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// A clockConn is a connection to a database whose clock was set back.
type clockConn struct {
	sqltx.Conn
	now  string        // the dialect's
	back *atomic.Int64 // by microseconds
}

func (c clockConn) set(q string) string {
	return strings.ReplaceAll(q, c.now, fmt.Sprintf("(%s - %d)", c.now, c.back.Load()))
}

func (c clockConn) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	return c.Conn.Exec(ctx, c.set(q), args...)
}

func (c clockConn) Query(ctx context.Context, q string, args ...any) (sqltx.Rows, error) {
	return c.Conn.Query(ctx, c.set(q), args...)
}

// byClock has a relay read another clock.
func byClock(r *Relay, back *atomic.Int64) *Relay {
	s := *r.store
	s.conn = clockConn{s.conn, s.dialect.Now(), back}
	r.store = &s
	return r
}

// taken are the tokens of an owner's buckets.
func taken(t *testing.T, pool *sql.DB, length string) map[int]int64 {
	t.Helper()
	rows, err := pool.Query("SELECT bucket, token FROM waxwing_outbox_lease WHERE owner LIKE '%/" + length + "'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tokens := map[int]int64{}
	for rows.Next() {
		var b int
		var token int64
		if err := rows.Scan(&b, &token); err != nil {
			t.Fatal(err)
		}
		tokens[b] = token
	}
	return tokens
}

// TestClockSetBack: a relay that is gone is replaced when its leases are over, although
// the database's clock is set back by an hour, before its successor comes or later; and
// one that lives keeps its leases, which are longer than the successor's.
func TestClockSetBack(t *testing.T) {
	const hour = int64(time.Hour / time.Microsecond)
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint("before=", before), func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
				db, pool := sqltest.Open(t, d)
				o, to, back := New(db), &recorder{}, &atomic.Int64{}
				gone := NewRelay(o, to, Lease(2*time.Second), quiet)
				closed := gated(byClock(gone, back))
				start(t, gone)
				eventually(t, "the first relay has no lease", func() bool { return len(taken(t, pool, "2s")) == Buckets })
				next := byClock(NewRelay(o, to, Lease(time.Second), quiet), back)
				if !before {
					start(t, next)
					eventually(t, "the second relay has no lease", func() bool { return len(taken(t, pool, "1s")) == Buckets/2 })
				}
				closed.Store(true)
				t.Cleanup(func() { closed.Store(false) })
				back.Store(hour)
				if before {
					start(t, next)
				}
				fill(t, o, 100)
				to.wait(t, 100)
				empty(t, pool)
				if n := len(taken(t, pool, "1s")); n != Buckets {
					t.Errorf("the successor has %d leases", n)
				}
			})
		})
	}
	t.Run("alive", func(t *testing.T) {
		sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
			db, pool := sqltest.Open(t, d)
			o, to, back := New(db), &recorder{}, &atomic.Int64{}
			start(t, byClock(NewRelay(o, to, Lease(time.Minute), quiet), back))
			eventually(t, "the first relay has no lease", func() bool { return len(taken(t, pool, "1m0s")) == Buckets })
			back.Store(hour)
			start(t, byClock(NewRelay(o, to, Lease(time.Second), quiet), back))
			eventually(t, "the second relay has no lease", func() bool { return len(taken(t, pool, "1s")) == Buckets/2 })
			first := taken(t, pool, "1m0s")
			time.Sleep(3 * time.Second)
			if now := taken(t, pool, "1m0s"); len(first) != Buckets/2 || fmt.Sprint(now) != fmt.Sprint(first) {
				t.Errorf("of the leases %v there are %v", first, now)
			}
		})
	})
}

// eventually waits until something holds.
func eventually(t *testing.T, otherwise string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}

// TestWatch: when leases and relays are over, by looks at one clock and rows that
// another one wrote.
func TestWatch(t *testing.T) {
	const length = 10 * time.Second
	start, owner := time.Now(), newOwner(length)
	type look struct {
		at      time.Duration // since the start
		expires int64
		left    time.Duration
		over    bool
	}
	for name, looks := range map[string][]look{
		"runs out":             {{0, 1, 9 * time.Second, false}, {8 * time.Second, 1, time.Second, false}, {9 * time.Second, 1, 0, true}},
		"set back before":      {{0, 1, time.Hour, false}, {9 * time.Second, 1, time.Hour, false}, {10 * time.Second, 1, time.Hour, true}},
		"set back between":     {{0, 1, 4 * time.Second, false}, {3 * time.Second, 1, time.Hour, false}, {4 * time.Second, 1, time.Hour, true}},
		"renewed, then not":    {{0, 1, time.Hour, false}, {9 * time.Second, 2, length, false}, {18 * time.Second, 2, time.Second, false}, {19 * time.Second, 2, 0, true}},
		"renewed, set back":    {{0, 1, length, false}, {3 * time.Second, 2, time.Hour, false}, {12 * time.Second, 2, time.Hour, false}, {13 * time.Second, 2, time.Hour, true}},
		"set forward and back": {{0, 1, length, false}, {time.Second, 1, -time.Hour, true}},
	} {
		w := watch{length: length}
		for _, l := range looks {
			rows := []leaseRow{{bucket: 3, owner: owner, token: 7, expires: l.expires, left: l.left}}
			live := w.look(rows, []relayRow{{owner, l.expires, length - l.left}}, start.Add(l.at))
			if rows[0].over != l.over || (live == 0) != l.over {
				t.Errorf("%s: after %v: over %v, %d live", name, l.at, rows[0].over, live)
			}
		}
	}
	w := watch{length: length}
	other := []leaseRow{{owner: "of another release", left: time.Hour}}
	for _, at := range []time.Duration{0, 30 * time.Minute} {
		if w.look(other, nil, start.Add(at)); other[0].over {
			t.Error("a lease of a length that is not known is over after ", at)
		}
	}
}
