package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestMessage: what Publish writes is what the relay sends, whatever bytes it has.
func TestMessage(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		at := time.UnixMicro(1_700_000_000_123_456)
		o, to := New(db, Source("orders"), Clock(func() time.Time { return at })), &recorder{}
		binary := make([]byte, 256)
		for i := range binary {
			binary[i] = byte(i)
		}
		publish(t, o,
			Event{Topic: "a", Key: string(binary), ID: "1", Data: binary, Headers: []bus.Header{{Name: "x", Value: binary}, {Name: "x"}}},
			Event{Topic: "b", Key: "k", ID: "2", Type: "order.placed", Data: map[string]int{"n": 1}},
			Event{Topic: "c", ID: "3", Data: json.RawMessage(`[1]`), ContentType: "text/x"},
			Event{Topic: "d", ID: "4"})
		start(t, NewRelay(o, to))
		byID := map[string]bus.Message{}
		for _, m := range to.wait(t, 4) {
			byID[m.ID] = m
			if m.Source != "orders" || !m.Time.Equal(at) {
				t.Errorf("%+v", m)
			}
		}
		if m := byID["1"]; m.Topic != "a" || m.Key != string(binary) || !bytes.Equal(m.Body, binary) || m.ContentType != "application/octet-stream" ||
			len(m.Headers) != 3 || !bytes.Equal(m.Headers[0].Value, binary) || len(m.Header("x")) != 0 {
			t.Errorf("%+v", m)
		}
		if m := byID["2"]; m.Key != "k" || string(m.Body) != `{"n":1}` || m.ContentType != "application/json" || m.Type != "order.placed" {
			t.Errorf("%+v", m)
		}
		if m := byID["3"]; m.Key != "" || string(m.Body) != "[1]" || m.ContentType != "text/x" {
			t.Errorf("%+v", m)
		}
		if m := byID["4"]; len(m.Body) != 0 || m.ContentType != "" {
			t.Errorf("%+v", m)
		}
		empty(t, pool)
	})
}

// TestRollback: events of a transaction that is rolled back are never published.
func TestRollback(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		start(t, NewRelay(o, to))
		err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(o.Publish(ctx, tx, Event{Topic: "t", ID: "undone"}), errUndo)
		})
		if !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
		publish(t, o, Event{Topic: "t", ID: "done"})
		if all := to.wait(t, 1); len(all) != 1 || all[0].ID != "done" {
			t.Error(all)
		}
		empty(t, pool)
	})
}

// TestMany: more events than go into one statement, in order.
func TestMany(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		start(t, NewRelay(o, to, BatchSize(64)))
		events := make([]Event, 1234)
		for i := range events {
			events[i] = Event{Topic: "t", Key: "k", Data: i + 1}
		}
		err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return o.Publish(ctx, tx, events...) })
		if err != nil {
			t.Fatal(err)
		}
		if n := checkOrder(t, to.wait(t, len(events))); n != len(events) {
			t.Error(n)
		}
		empty(t, pool)
	})
}

// TestTooLarge: what no relay could ever send is refused in the transaction.
func TestTooLarge(t *testing.T) {
	db, _ := sqltest.Open(t, sqltest.New(t, "sqlite"))
	o := New(db, MaxBytes(1000))
	for what, e := range map[string]Event{
		"body":    {Topic: "t", Data: make([]byte, 1001)},
		"headers": {Topic: "t", Headers: []bus.Header{{Name: "x", Value: make([]byte, 1000)}}},
		"topic":   {Topic: strings.Repeat("t", 256)},
		"ID":      {Topic: "t", ID: strings.Repeat("t", 256)},
	} {
		err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return o.Publish(ctx, tx, e) })
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestLargeMessages: a round ends at its bytes, not only at its rows.
func TestLargeMessages(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		most := 0
		to.hook = func(_ context.Context, msgs []bus.Message) error {
			n := 0
			for i := range msgs {
				n += len(msgs[i].Body)
			}
			most = max(most, n)
			return nil
		}
		const n = 60
		for i := range n {
			publish(t, o, Event{Topic: "t", Key: fmt.Sprint(i % 20), Data: make([]byte, 900_000)})
		}
		start(t, NewRelay(o, to, Workers(1)))
		to.wait(t, n)
		empty(t, pool)
		if most > maxRound+1_000_000 {
			t.Errorf("a batch had %d bytes", most)
		}
	})
}

// TestEpoch: relays that start at once agree on an epoch, which RenewEpoch changes.
func TestEpoch(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, _ := sqltest.Open(t, d)
		o := New(db)
		got := make(chan string)
		for range 4 {
			go func() {
				e, err := o.store().epochs(context.Background())
				if err != nil {
					t.Error(err)
				}
				got <- e.String()
			}()
		}
		first := <-got
		for range 3 {
			if e := <-got; e != first || e == "" {
				t.Errorf("%q and %q", first, e)
			}
		}
		if err := o.RenewEpoch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if e, err := o.store().epochs(t.Context()); err != nil || e.String() == first {
			t.Error(e, err)
		}
		to := &recorder{}
		start(t, NewRelay(o, to))
		publish(t, o, Event{Topic: "t"})
		e, err := o.store().epochs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m := to.wait(t, 1)[0]; string(m.Header(bus.HeaderSequence)) != e.current()+":1" {
			t.Errorf("%s", m.Header(bus.HeaderSequence))
		}
	})
}

// TestEventsKeepTheirEpoch: what waits when the epoch is renewed is what the backup
// held. If it was published since, its copy must look like the original.
func TestEventsKeepTheirEpoch(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, _ := sqltest.Open(t, d)
		o, want := New(db), map[string]string{}
		add := func(id string, n int) {
			publish(t, o, Event{Topic: "t", Key: "k", ID: id})
			es, err := o.store().epochs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want[id] = fmt.Sprintf("%s:%d", es.current(), n)
		}
		add("first", 1)
		for n, id := range []string{"second", "third"} {
			if err := o.RenewEpoch(t.Context()); err != nil {
				t.Fatal(err)
			}
			add(id, n+2)
		}
		to := &recorder{}
		start(t, NewRelay(o, to))
		for _, m := range to.wait(t, 3) {
			if got := string(m.Header(bus.HeaderSequence)); got != want[m.ID] {
				t.Errorf("%s is %s, want %s", m.ID, got, want[m.ID])
			}
		}
		if es, err := o.store().epochs(t.Context()); err != nil || len(es) != 3 {
			t.Error(es, err)
		}
	})
}

// TestEpochsAreForgotten: an epoch goes when nothing waits that it has named.
func TestEpochsAreForgotten(t *testing.T) {
	es, err := parseEpochs("a:10 b:20 c")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		first, last int64
		want        string
	}{{1, 30, "a:10 b:20 c:30"}, {10, 30, "a:10 b:20 c:30"}, {11, 30, "b:20 c:30"}, {25, 30, "c:30"}, {0, 0, ""}} {
		got := es.next(c.first, c.last)
		if past := strings.TrimSpace(strings.TrimSuffix(got.String(), got.current())); past != c.want {
			t.Errorf("with %d to %d waiting: %q, want %q", c.first, c.last, past, c.want)
		}
	}
	for id, want := range map[int64]string{1: "a", 10: "a", 11: "b", 20: "b", 21: "c"} {
		if got := es.of(id); got != want {
			t.Errorf("id %d is of %s, want %s", id, got, want)
		}
	}
	for _, text := range []string{"", "a:1", "a:x b"} {
		if es, err := parseEpochs(text); err == nil {
			t.Errorf("%q is %v", text, es)
		}
	}
}

// TestPGX: the same with pgx's own transactions.
func TestPGX(t *testing.T) {
	d := sqltest.New(t, "postgres")
	_, std := sqltest.Open(t, d)
	pool, err := pgxpool.New(t.Context(), d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	o, to := New(sqldb.PGX(pool)), &recorder{}
	stop := start(t, NewRelay(o, to, BatchSize(50)))
	for i := range 20 {
		err := o.InTx(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			for j := range 10 {
				if err := o.Publish(ctx, tx, Event{Topic: "t", Key: "k", Data: i*10 + j + 1}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := checkOrder(t, to.wait(t, 200)); n != 200 {
		t.Error(n)
	}
	empty(t, std)
	stop()
}

// TestWake: an event is published at once after Wake, whatever the poll.
func TestWake(t *testing.T) {
	db, _ := sqltest.Open(t, sqltest.New(t, "postgres"))
	o, to := New(db), &recorder{}
	start(t, NewRelay(o, to, Poll(time.Hour, time.Hour)))
	owners(t, o.store(), "a relay", func(by map[string]int) bool { return sum(by) == Buckets })
	for i := range 20 {
		publish(t, o, Event{Topic: "t"})
		to.wait(t, i+1)
	}
}

// TestRunTwice: a relay runs once at a time, and not without tables.
func TestRunTwice(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "sqlite"))
	r := NewRelay(New(db), &recorder{})
	stop := start(t, r)
	for !r.running.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := r.Run(t.Context()); !errors.Is(err, errRunning) {
		t.Error(err)
	}
	stop()
	must(t, pool, "DROP TABLE waxwing_outbox_lease")
	if err := r.Run(t.Context()); err == nil {
		t.Error("it runs without tables")
	}
}
