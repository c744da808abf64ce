package outbox

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// must runs statements in a transaction or a database.
func must(t testing.TB, c interface {
	Exec(string, ...any) (sql.Result, error)
}, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.Exec(s); err != nil {
			t.Fatal(s, ": ", err)
		}
	}
}

// late begins a transaction that takes the next id and does not commit yet.
func late(t testing.TB, o *Outbox[*sql.Tx], pool *sql.DB, key string) *sql.Tx {
	t.Helper()
	tx, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if err := o.Publish(t.Context(), tx, Event{Topic: "t", Key: key, ID: key}); err != nil {
		t.Fatal(err)
	}
	return tx
}

// TestLateCommit: an event whose transaction took its id first and commits last is
// published, where a cursor that had moved on would have lost it. An open
// transaction does not stop others' events.
func TestLateCommit(t *testing.T) {
	for _, dialect := range []string{"postgres", "mysql"} { // SQLite has one writer at a time
		t.Run(dialect, func(t *testing.T) {
			db, pool := sqltest.Open(t, sqltest.New(t, dialect))
			o, to := New(db), &recorder{}
			start(t, NewRelay(o, to))
			tx := late(t, o, pool, "late")
			began := time.Now()
			fill(t, o, 1000)
			to.wait(t, 1000)
			for n := -1; n != 0; time.Sleep(5 * time.Millisecond) { // also deleted, though rows of others are locked
				if err := pool.QueryRow("SELECT COUNT(*) FROM waxwing_outbox").Scan(&n); err != nil {
					t.Fatal(err)
				}
				if time.Since(began) > 20*time.Second {
					t.Fatal("an open transaction blocks the relay")
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			o.Wake()
			if all := to.wait(t, 1001); all[1000].ID != "late" {
				t.Errorf("the last message is %s", all[1000].ID)
			}
			empty(t, pool)
		})
	}
}

// step makes one step of a proof.
func step(t *testing.T, f *floor) int64 {
	t.Helper()
	if err := f.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f.proved.Load()
}

// TestFloor: ids are proved to be decided only once the transactions that may have
// taken one have ended, in whatever way.
func TestFloor(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "postgres"))
	o := New(db)
	f := &floor{store: o.store()}
	if got := step(t, f); got != 0 {
		t.Fatal("nothing was handed out, but proved is ", got)
	}
	fill(t, o, 10)
	if got := step(t, f); got != 10 {
		t.Fatal(got)
	}
	tx := late(t, o, pool, "late") // id 11
	fill(t, o, 10)
	for range 3 {
		if got := step(t, f); got != 10 {
			t.Fatal("an open transaction has an id, but proved is ", got)
		}
	}
	younger := late(t, o, pool, "younger") // id 22: not of this proof
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := step(t, f); got != 21 {
		t.Fatal(got)
	}
	for range 2 {
		if got := step(t, f); got != 21 {
			t.Fatal(got)
		}
	}
	if err := younger.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := step(t, f); got != 22 {
		t.Fatal(got)
	}
}

// TestFloorSavepoint: an id that was taken within a savepoint.
func TestFloorSavepoint(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "postgres"))
	o := New(db)
	f := &floor{store: o.store()}
	tx, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	put := func() {
		t.Helper()
		if err := o.Publish(t.Context(), tx, Event{Topic: "t", Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	must(t, tx, "SAVEPOINT a")
	put()
	if got := step(t, f); got != 0 {
		t.Fatal(got)
	}
	must(t, tx, "ROLLBACK TO a") // the row is gone, so that the id is decided
	if got := step(t, f); got != 1 {
		t.Fatal(got)
	}
	put()
	must(t, tx, "RELEASE a", "SAVEPOINT b")
	put()
	must(t, tx, "ROLLBACK TO b") // 2 is not decided
	for range 2 {
		if got := step(t, f); got != 1 {
			t.Fatal(got)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := step(t, f); got != 3 {
		t.Fatal(got)
	}
}

// TestFloorPrepared: a transaction that is prepared while a proof waits for it gets
// another name, and is still waited for. It needs a server that allows them.
func TestFloorPrepared(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "postgres"))
	var allowed int
	if err := pool.QueryRow("SHOW max_prepared_transactions").Scan(&allowed); err != nil {
		t.Fatal(err)
	}
	if allowed == 0 {
		t.Fatal("the server allows no prepared transactions")
	}
	o := New(db)
	f := &floor{store: o.store()}
	c, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw := func(s string) {
		t.Helper()
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	raw("BEGIN")
	raw("INSERT INTO waxwing_outbox (bucket, topic, msg_key, event_id, event_type, content_type, headers, body, created_us) VALUES (0, 't', '', 'p', '', '', '', '', 0)")
	if got := step(t, f); got != 0 {
		t.Fatal(got)
	}
	raw("PREPARE TRANSACTION 'late'")
	for range 2 {
		if got := step(t, f); got != 0 {
			t.Fatal(got)
		}
	}
	raw("COMMIT PREPARED 'late'")
	if got := step(t, f); got != 1 {
		t.Fatal(got)
	}
}

// TestMark: what a read says about a bucket's floor.
func TestMark(t *testing.T) {
	m := mark{full: time.Now()}
	read := func(proved int64, p *part) int64 {
		m.from()
		m.read(p, proved)
		return m.id
	}
	for i, c := range []struct {
		proved int64
		part   part
		want   int64
	}{
		{5, part{}, 5},                    // nothing is there
		{9, part{ids: []int64{8, 12}}, 7}, // the first row is below
		{9, part{ids: []int64{12}}, 9},    // and above
		{20, part{unread: true}, 9},       // the read did not get there
		{20, part{unread: true, ids: []int64{15}}, 14},
		{12, part{}, 14}, // never back
		{0, part{}, 0},   // but after a reset
	} {
		if got := read(c.proved, &c.part); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
	m = mark{id: 7, full: time.Now().Add(-fromStart)}
	if m.from() != 0 {
		t.Error("a bucket is not read from its beginning")
	}
	if m.read(&part{}, 3); m.id != 3 || m.from() != 3 {
		t.Error(m)
	}
}

// TestBloat: behind an old snapshot, under which no dead row can go, reads stay
// quick after 100,000 events have passed.
func TestBloat(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 20 s")
	}
	db, pool := sqltest.Open(t, sqltest.New(t, "postgres"))
	with, without := readTimes(t, db, pool)
	t.Logf("the median read takes %v, and %v from the beginning", with, without)
	if with*3 > without {
		t.Errorf("the floor does not help: %v and %v", with, without)
	}
}

// readTimes passes events through a relay behind an old snapshot, and measures a
// worker's reads then, with the floor and without.
func readTimes(t *testing.T, db *sqldb.DB[*sql.Tx], pool *sql.DB) (with, without time.Duration) {
	old, err := pool.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Rollback() }()
	must(t, old, "SELECT 1 FROM waxwing_outbox")
	o, to := New(db), &recorder{}
	r := NewRelay(o, to, Workers(1))
	stop := start(t, r)
	began := time.Now()
	fill(t, o, 100_000)
	t.Log("written after ", time.Since(began), ", floor at ", r.floor.proved.Load())
	empty(t, pool)
	t.Log("empty after ", time.Since(began), ", floor at ", r.floor.proved.Load())
	for end := time.Now().Add(20 * time.Second); r.floor.proved.Load() < 100_000; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the floor is at ", r.floor.proved.Load())
		}
	}
	stop()
	w := newWorker(r, 0)
	median := func(from int64) time.Duration {
		var took []time.Duration
		for range 11 {
			var parts []*part
			for b := range Buckets {
				w.states[b].mark = mark{id: from, full: time.Now()}
				parts = append(parts, &part{lease: &lease{bucket: b}, state: &w.states[b]})
			}
			began := time.Now()
			if err := w.read(context.Background(), parts); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[5]
	}
	return median(r.floor.proved.Load()), median(0)
}
