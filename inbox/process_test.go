package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A lab is a database with a ledger, in which nothing is unique, and a clock.
type lab struct {
	t    *testing.T
	db   *sqldb.DB[*sql.Tx]
	pool *sql.DB
	mu   sync.Mutex
	now  time.Time
}

func newLab(t *testing.T, d sqltest.Database) *lab {
	t.Helper()
	db, pool := sqltest.Open(t, d)
	blob := "msg_key BLOB, id BLOB"
	if d.Dialect == "postgres" {
		blob = "msg_key BYTEA, id BYTEA"
	}
	if _, err := pool.Exec("CREATE TABLE ledger (n INTEGER PRIMARY KEY " + map[string]string{
		"postgres": "GENERATED ALWAYS AS IDENTITY", "mysql": "AUTO_INCREMENT", "sqlite": "AUTOINCREMENT"}[d.Dialect] + ", " + blob + ")"); err != nil {
		t.Fatal(err)
	}
	return &lab{t: t, db: db, pool: pool, now: time.Unix(1_800_000_000, 0)}
}

func (l *lab) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *lab) pass(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// inbox is one with a handler for "orders" that writes the ledger, unless fail says
// that the message fails.
func (l *lab) inbox(fail func(m *bus.Delivery) error, opts ...inbox.Option) *inbox.Inbox[*sql.Tx] {
	l.t.Helper()
	in, err := inbox.New(l.db, "billing", append([]inbox.Option{
		inbox.BatchTime(time.Hour), inbox.Clock(l.clock), inbox.Rand(func() float64 { return 0 }), inbox.InPlace(1), inbox.Backoff(time.Second, time.Minute), inbox.Logger(slog.New(slog.DiscardHandler)),
	}, opts...)...)
	if err != nil {
		l.t.Fatal(err)
	}
	in.Handle("orders", "", func(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
		if err := l.write(ctx, tx, m); err != nil {
			return err
		}
		if fail != nil {
			return fail(m)
		}
		return nil
	})
	return in
}

// write writes the ledger.
func (l *lab) write(ctx context.Context, tx *sql.Tx, m *bus.Delivery) error {
	_, err := l.db.Bind(tx).Exec(ctx, "INSERT INTO ledger (msg_key, id) VALUES (?, ?)", []byte(m.Key), []byte(m.ID))
	return err
}

// ledger is what was done, in order.
func (l *lab) ledger() (out []string) {
	l.t.Helper()
	rows, err := l.pool.Query("SELECT id FROM ledger ORDER BY n")
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			l.t.Fatal(err)
		}
		out = append(out, id)
	}
	if rows.Err() != nil {
		l.t.Fatal(rows.Err())
	}
	return out
}

func (l *lab) want(ids ...string) {
	l.t.Helper()
	if got := fmt.Sprint(l.ledger()); got != fmt.Sprint(ids) {
		l.t.Fatalf("the ledger is %v, want %v", got, ids)
	}
}

// process hands a message over, which must be acknowledged.
func (l *lab) process(in *inbox.Inbox[*sql.Tx], ds ...*bus.Delivery) {
	l.t.Helper()
	for _, d := range ds {
		if err := in.Process(l.t.Context(), d); err != nil {
			l.t.Fatal(err)
		}
	}
}

// retry tries what is due.
func (l *lab) retry(in *inbox.Inbox[*sql.Tx]) {
	l.t.Helper()
	if _, err := in.RetryDue(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// state are the states of what is put aside, in order.
func (l *lab) states() (out []string) {
	l.t.Helper()
	all, err := inbox.ListDeadLetters(l.t.Context(), l.db, inbox.Filter{All: true})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range all {
		out = append(out, d.Message.ID+":"+d.State)
	}
	return out
}

func (l *lab) wantStates(states ...string) {
	l.t.Helper()
	if got := fmt.Sprint(l.states()); got != fmt.Sprint(states) {
		l.t.Fatalf("put aside are %v, want %v", got, states)
	}
}

// msg is a message with an id and a key.
func msg(id, key string) *bus.Delivery {
	return &bus.Delivery{Message: bus.Message{Topic: "orders", Key: key, ID: id, Source: "shop", Type: "order.placed", Body: []byte(`{"n":1}`)}}
}

// seq is a message with a sequence.
func seq(id, key string, n int) *bus.Delivery {
	d := msg(id, key)
	d.SetHeader(bus.HeaderSequence, fmt.Appendf(nil, "e1:%d", n))
	return d
}

// at is a message at a place of a log.
func at(id string, part int32, offset int64) *bus.Delivery {
	d := msg(id, "")
	d.Position = &bus.Position{Topic: "orders", Partition: part, Offset: offset}
	return d
}

var errBoom = errors.New("boom")

// TestOnce: a message that comes again is skipped, whatever it is known by.
func TestOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		in := l.inbox(nil)
		l.process(in, msg("a", "k"), msg("b", "k"), msg("a", "k"))
		l.process(in, seq("s1", "k", 1), seq("s3", "k", 3), seq("s1", "k", 1), seq("s3", "k", 3), seq("s4", "k", 4), seq("s2", "other", 2))
		l.want("a", "b", "s1", "s3", "s4", "s2")
		p := l.inbox(nil, inbox.PerPartition())
		l.process(p, at("p0", 0, 0), at("p1", 0, 1), at("p0", 0, 0), at("q0", 1, 0), at("p1", 0, 1))
		l.want("a", "b", "s1", "s3", "s4", "s2", "p0", "p1", "q0")
	})
}

// TestPark: a message that fails is put aside, its key behind it, and others go on.
func TestPark(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		l := newLab(t, d)
		ill := true
		in := l.inbox(func(m *bus.Delivery) error {
			if m.ID == "a1" && ill {
				return errBoom
			}
			return nil
		})
		l.process(in, msg("a1", "a"), msg("b1", "b"), msg("a2", "a"), msg("a3", "a"), msg("b2", "b"), msg("a2", "a"))
		l.want("b1", "b2")
		l.wantStates("a1:retry", "a2:waiting", "a3:waiting")
		l.retry(in) // not due
		l.pass(time.Second)
		l.retry(in)
		l.wantStates("a1:retry", "a2:waiting", "a3:waiting")
		ill = false
		l.pass(time.Minute)
		l.retry(in)
		l.process(in, msg("a4", "a"), msg("a1", "a"))
		l.want("b1", "b2", "a1", "a2", "a3", "a4")
		l.wantStates()
	})
}

// TestPatterns: a topic of a handler may be a pattern of an exchange; the messages that
// come have the topics that it stands for.
func TestPatterns(t *testing.T) {
	l := newLab(t, sqltest.New(t, "sqlite"))
	in, err := inbox.New(l.db, "billing")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, topic := range []string{"order.*", "order.eu.#", "order.special", "#.done"} {
		in.Handle(topic, "", func(_ context.Context, _ *sql.Tx, m *bus.Delivery) error {
			got = append(got, topic+"<"+m.Topic)
			return nil
		})
	}
	for n, topic := range []string{"order.placed", "order.eu", "order.eu.a.b", "order.special", "done", "a.b.done", "order", "order.a.b"} {
		m := msg(fmt.Sprint(n), "k")
		m.Topic = topic
		l.process(in, m)
	}
	want := []string{"order.*<order.placed", "order.*<order.eu", "order.eu.#<order.eu.a.b", "order.special<order.special", "#.done<done", "#.done<a.b.done"}
	if !slices.Equal(got, want) {
		t.Errorf("handled: %q, want %q", got, want)
	}
}
