package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/sample"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/sqldb"
)

var errCrash = errors.New("crash")

// A crasher fails once: at a step, before or after it was carried out.
type crasher struct {
	left  int
	after bool
	hit   bool
}

func (c *crasher) at(after bool) error {
	if c.hit || after != c.after {
		return nil
	}
	if c.left > 0 {
		c.left--
		return nil
	}
	c.hit = true
	return errCrash
}

func (c *crasher) Before(string) error { return c.at(false) }
func (c *crasher) After(string) error  { return c.at(true) }

// A service of the crash test: its database fails once.
type crashing struct {
	w    *world
	db   *sqldb.DB[*sql.Tx]
	name string
	opts []Option
	ep   *endpoint
}

// restart is a new process: what was in memory is gone.
func (s *crashing) restart() { s.ep = s.w.with(s.db, s.w.identity(s.name, 1), s.opts...) }

// send puts a message into the outbox, in a transaction, however often that takes.
func (s *crashing) send(restart bool, to, id string) {
	for {
		m := &bus.Message{Topic: "things", Key: "k", ID: id, Type: "thing.done", ContentType: "text/plain", Body: []byte(id)}
		err := s.db.InTx(s.w.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			c := s.db.Bind(tx)
			if err := s.ep.Seal(ctx, tx, to, m); err != nil {
				return err
			}
			return insertOut(ctx, c, m)
		})
		if err == nil {
			return
		}
		s.w.want(err, errCrash)
		if restart {
			s.restart()
		}
		if s.w.rows("crash_out", id) == 1 { // the answer to the commit was lost: it is not sealed again
			return
		}
	}
}

// sendToGroup is send, with the keys that go to members in front.
func (s *crashing) sendToGroup(restart bool, group, id string) {
	for {
		m := &bus.Message{Topic: "news", Key: "k", ID: id, Type: "thing.done", ContentType: "text/plain", Body: []byte(id)}
		err := s.db.InTx(s.w.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			keys, err := s.ep.Group(group).Seal(ctx, tx, m)
			if err != nil {
				return err
			}
			for i := range keys {
				if err := insertOut(ctx, s.db.Bind(tx), &keys[i]); err != nil {
					return err
				}
			}
			return insertOut(ctx, s.db.Bind(tx), m)
		})
		if err == nil {
			return
		}
		s.w.want(err, errCrash)
		if restart {
			s.restart()
		}
		if s.w.rows("crash_out", id) == 1 {
			return
		}
	}
}

// insertOut writes a message into the outbox.
func insertOut(ctx context.Context, c sqltx.Conn, m *bus.Message) error {
	_, err := c.Exec(ctx, "INSERT INTO crash_out (id, topic, msg_key, kind, body, headers) VALUES (?, ?, ?, ?, ?, ?)", m.ID, m.Topic, m.Key, m.Type, m.Body, busrow.EncodeHeaders(m.Headers))
	return err
}

// receive handles a message of the outbox, which comes until that is acknowledged.
func (s *crashing) receive(restart bool, id string) {
	for {
		d := &bus.Delivery{Message: s.w.stored(id)}
		err := s.db.InTx(s.w.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			c := s.db.Bind(tx)
			n, err := c.Exec(ctx, s.db.Dialect().InsertOnce("crash_in", "id"), id)
			if err != nil || n == 0 {
				return err // handled already
			}
			if err := s.ep.Open(ctx, tx, d); err != nil {
				return err
			}
			if string(d.Body) != id && d.Type != TypeDistribution {
				s.w.t.Errorf("%s came as %s", id, d.Body)
			}
			return nil
		})
		if err == nil {
			return
		}
		s.w.want(err, errCrash)
		if restart {
			s.restart()
		}
	}
}

// keyFor is the id of the only group's key that was sent to a member.
func (w *world) keyFor(name string) (id string) {
	w.must(sqltx.One(w.t.Context(), w.db.Conn(), "SELECT id FROM crash_out WHERE topic = ?", []any{ControlTopic(name)}, &id))
	return id
}

func (w *world) rows(table, id string) (n int) {
	w.must(sqltx.One(w.t.Context(), w.db.Conn(), "SELECT COUNT(*) FROM "+table+" WHERE id = ?", []any{id}, &n))
	return n
}

func (w *world) stored(id string) bus.Message {
	m := bus.Message{ID: id, ContentType: ContentType}
	var headers []byte
	w.must(sqltx.One(w.t.Context(), w.db.Conn(), "SELECT topic, msg_key, kind, body, headers FROM crash_out WHERE id = ?", []any{id}, &m.Topic, &m.Key, &m.Type, &m.Body, &headers))
	var err error
	m.Headers, err = busrow.DecodeHeaders(headers)
	w.must(err)
	return m
}

// TestCrash fails at each step that both sides take in the database, before and after it,
// with and without the process's memory: each row of the outbox opens exactly once, and
// nothing is lost.
func TestCrash(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		blob := map[string]string{"postgres": "BYTEA", "mysql": "LONGBLOB", "sqlite": "BLOB"}[w.d.Dialect]
		for _, q := range []string{"CREATE TABLE crash_out (id VARCHAR(100) PRIMARY KEY, topic VARCHAR(100), msg_key VARCHAR(100), kind VARCHAR(100), body " + blob + " NOT NULL, headers " + blob + " NOT NULL)",
			"CREATE TABLE crash_in (id VARCHAR(100) PRIMARY KEY)"} {
			_, err := w.pool.Exec(q)
			w.must(err)
		}
		// A sample of the steps: each database takes others.
		every, step := 1, 0
		if !sample.Full() {
			every, step = 15, map[string]int{"postgres": 0, "mysql": 5, "sqlite": 10}[w.d.Dialect]
		}
		points := 0
		for ; ; step += every {
			hits := 0
			for _, after := range []bool{false, true} {
				for _, restart := range []bool{false, true} {
					if w.crashAt(fmt.Sprintf("%d.%v.%v", step, after, restart), step, after, restart) {
						hits++
					}
				}
			}
			if hits == 0 {
				break
			}
			points += hits
		}
		t.Log(points, "points")
		if points < 100/every {
			t.Errorf("only %d points", points)
		}
	})
}

// crashAt runs a conversation that fails at one step, and says whether there was one.
func (w *world) crashAt(run string, step int, after, restart bool) bool {
	w.t.Helper()
	names := []string{"a" + run, "b" + run}
	for _, n := range names {
		w.service(n, OneTimeKeys(1)) // publishes, on a database that does not fail
	}
	w.change(func(ctx context.Context, tx *sql.Tx) error {
		return w.bare(names[0]).Group("readers").Add(ctx, tx, names[1])
	})
	c := &crasher{left: step, after: after}
	db := w.db.Hooked(c)
	a, b := &crashing{w: w, db: db, name: names[0]}, &crashing{w: w, db: db, name: names[1]}
	a.restart()
	b.restart()
	id := func(n int) string { return fmt.Sprintf("%s.%d", run, n) }
	a.send(restart, b.name, id(1)) // the handshake
	a.send(restart, b.name, id(2))
	b.receive(restart, id(2)) // skips one
	b.receive(restart, id(1))
	b.send(restart, a.name, id(3))
	a.receive(restart, id(3)) // the answer
	a.send(restart, b.name, id(4))
	a.send(restart, b.name, id(5))
	b.receive(restart, id(5))
	b.receive(restart, id(4))
	a.sendToGroup(restart, "readers", id(6)) // and the group's key
	a.sendToGroup(restart, "readers", id(7))
	b.receive(restart, w.keyFor(b.name))
	b.receive(restart, id(7))
	b.receive(restart, id(6))
	hit := c.hit
	for i := 1; i <= 7; i++ {
		if w.rows("crash_in", id(i)) != 1 {
			w.t.Errorf("%s was not handled", id(i))
		}
		at := map[bool]*crashing{true: a, false: b}[i == 3]
		m := w.stored(id(i))
		if _, err := w.open(at.ep, &m); err == nil {
			w.t.Errorf("%s opens twice", id(i))
		}
	}
	// The key of a number that was burnt, and never used, is kept for a while.
	if n := w.count("skipped", "local IN (?, ?)", a.name, b.name); n != 0 && (restart || n > 3) {
		w.t.Errorf("%s: %d skipped keys are left", run, n)
	}
	return hit
}

// TestLanes: transactions in several lanes run at once, in several processes, and each
// message opens once.
func TestLanes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const workers, each = 6, 8
		w.identity("orders", 4)
		w.identity("billing", 4)
		senders := []*endpoint{w.service("orders"), w.bare("orders")}
		receivers := []*endpoint{w.service("billing"), w.bare("billing")}
		out := make(chan *bus.Message, workers*each)
		var wg sync.WaitGroup
		again := func(f func() error) error {
			for n := 0; ; n++ {
				err := f()
				if err == nil || n == 50 || !sqltx.Transient(err) && !errors.Is(err, ErrConflict) {
					return err
				}
			}
		}
		for i := range workers {
			wg.Go(func() {
				for n := range each {
					m := w.message("things", fmt.Sprintf("key%d", i), fmt.Sprintf("%d/%d", i, n))
					plain := *m
					if err := again(func() error { *m = plain; return w.trySeal(senders[i%2], "billing", m) }); err != nil {
						t.Error(err)
					}
					out <- m
				}
			})
		}
		wg.Wait()
		close(out)
		var mu sync.Mutex
		seen := map[string]bool{}
		for i := range workers {
			wg.Go(func() {
				for m := range out {
					var d *bus.Delivery
					err := again(func() (err error) { d, err = w.open(receivers[i%2], m); return err })
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					if seen[string(d.Body)] {
						t.Errorf("%s twice", d.Body)
					}
					seen[string(d.Body)] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != workers*each {
			t.Errorf("%d messages", len(seen))
		}
		if n := w.count("session", "local = 'orders' AND slot = 0"); n > 4 || n < 2 {
			t.Errorf("%d lanes", n)
		}
	})
}

// TestStatements: sealing and opening within a session are two statements each, and
// sealing is one where this process was the last to do so.
func TestStatements(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "one"), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		counted := &counter{}
		db := w.db.Hooked(counted)
		a, b = w.with(db, w.identity("orders", 1)), w.with(db, w.identity("billing", 1))
		msgs := []bus.Message{*w.message("things", "k", "x"), *w.message("things", "k", "y")}
		for _, step := range []struct {
			what string
			f    func(ctx context.Context, tx *sql.Tx) error
		}{
			{"seal", func(ctx context.Context, tx *sql.Tx) error { return a.Seal(ctx, tx, "billing", &msgs[0]) }},
			{"open", func(ctx context.Context, tx *sql.Tx) error { return b.Open(ctx, tx, &bus.Delivery{Message: msgs[0]}) }},
			{"seal again", func(ctx context.Context, tx *sql.Tx) error { return a.Seal(ctx, tx, "billing", &msgs[1]) }},
		} {
			counted.n = 0
			w.must(db.InTx(t.Context(), step.f))
			want := 2
			if step.what == "seal again" {
				want = 1
			}
			if counted.n != want {
				t.Errorf("%s: %d statements", step.what, counted.n)
			}
		}
	})
}

type counter struct{ n int }

func (c *counter) Before(step string) error {
	if step == "exec" || step == "query" {
		c.n++
	}
	return nil
}
func (*counter) After(string) error { return nil }

// TestRotateStorageKey: after a rotation nothing needs the old key, whatever is sealed and
// opened meanwhile.
func TestRotateStorageKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.must(StoreIdentity(t.Context(), w.db, w.keys, w.identity("billing", 1)))
		w.change(func(ctx context.Context, tx *sql.Tx) error { return b.Group("readers").Add(ctx, tx, "orders") })
		toGroup, keys := w.sealGroup(b, "readers", "k", "group")
		w.hand(keys, a)
		var all []*bus.Message
		for i := range 70 {
			all = append(all, w.seal(a, "billing", fmt.Sprint(i)))
		}
		w.opens(b, all[69], "69")
		w.change(func(ctx context.Context, tx *sql.Tx) error { return b.Pin(ctx, tx, &bus.Delivery{Message: *all[68]}) })
		old := w.keys
		second, err := NewStorageKey(2)
		w.must(err)
		alone, err := NewKeyRing(second)
		w.must(err)
		both := &KeyRing{active: 2, keys: map[uint32]*wrapper{1: old.keys[1], 2: alone.keys[2]}}
		w.keys = both
		a, b = w.bare("orders"), w.bare("billing")
		// It is interrupted.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = b.Rotate(ctx)
		if err == nil {
			t.Error("no error")
		}
		n, err := b.Rotate(t.Context())
		w.must(err)
		if n < 70 {
			t.Errorf("%d rows", n)
		}
		if n, err := b.Rotate(t.Context()); n != 0 || err != nil {
			t.Error(n, err)
		}
		_, err = a.Rotate(t.Context())
		w.must(err)
		w.keys = alone
		a, b = w.bare("orders"), w.bare("billing")
		for i, m := range all[:69] {
			w.opens(b, m, fmt.Sprint(i))
		}
		w.opens(a, toGroup, "group")
		more, _ := w.sealGroup(b, "readers", "k", "more")
		w.opens(a, more, "more")
		w.opens(b, w.seal(a, "billing", "end"), "end")
		w.opens(b, w.seal(w.service("shipping"), "billing", "new"), "new")
		_, err = LoadIdentity(t.Context(), w.db, alone, "billing")
		w.must(err)
		w.keys = old
		if err := w.trySeal(w.bare("orders"), "billing", w.message("things", "k", "x")); err == nil {
			t.Error("the old key still opens rows")
		}
	})
}

// TestManyRolledBack: a service whose transactions fail for long can go on after that.
func TestManyRolledBack(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.opens(b, w.seal(a, "billing", "one"), "one")
	w.opens(a, w.seal(b, "orders", "back"), "back")
	w.opens(b, w.seal(a, "billing", "two"), "two")
	s, err := a.core.currentSession(t.Context(), w.db.Conn(), "billing", 0)
	w.must(err)
	chain, n := s.state.SendIndex()
	a.core.marks.used(chain, n+30_000)
	w.opens(b, w.seal(a, "billing", "three"), "three")
}

// TestStreamsAreOurs: who is only sent messages uses no streams up.
func TestStreamsAreOurs(t *testing.T) {
	w := quick(t)
	b := w.service("billing")
	w.identity("orders", 16)
	a := w.service("orders")
	for i := range 40 {
		m := w.message("things", fmt.Sprint(i), "text")
		w.must(w.trySeal(a, "billing", m))
		w.opens(b, m, "text")
	}
	if n := w.count("stream", "local = 'billing'"); n != 0 {
		t.Errorf("%d streams", n)
	}
	m := w.seal(b, "orders", "back")
	if _, stream, seq, ok := parseSealed(m.Header(HeaderSealed)); !ok || stream != 0 || seq != 1 {
		t.Error(stream, seq, ok)
	}
	w.opens(a, m, "back")
	if n := w.count("stream", "local = 'billing'"); n != 1 {
		t.Errorf("%d streams", n)
	}
}

// TestSealWaits: who waits for a session that is replaced goes on with the new one, and
// needs no directory for that.
func TestSealWaits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "one"), "one")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return b.Renew(ctx, tx, "orders") }))
		anew := w.seal(b, "orders", "anew")
		takes := w.dir.takes
		w.dir.down = errors.New("down")
		done := make(chan error, 1)
		m := w.message("things", "k", "two")
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			if err := a.Open(ctx, tx, &bus.Delivery{Message: *anew}); err != nil {
				return err
			}
			go func() { done <- w.trySeal(a, "billing", m) }()
			return sleep(ctx, 300*time.Millisecond)
		}))
		w.must(<-done)
		if w.dir.takes != takes {
			t.Error("the directory was asked")
		}
		w.opens(b, m, "two")
	})
}
