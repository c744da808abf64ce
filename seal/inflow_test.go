package seal_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// card is what nobody but the two services may see.
const card = "4111-1111"

// payment is what orders publishes.
type payment struct {
	Number int
	Card   string
}

// A flow is what the tests of this file watch: what went over the wire.
type flow struct {
	t    *testing.T
	co   *sealtest.Company
	wire bus.Bus

	mu   sync.Mutex
	sent []bus.Message
}

func newFlow(t *testing.T) *flow {
	t.Helper()
	b := waxtest.Broker(t, waxwing.Setting("group.initial.rebalance.delay.ms", "0"))
	wire, err := kafka.New([]string{b.KafkaAddr()}, kafka.CommitEvery(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.Close() })
	return &flow{t: t, co: sealtest.New(t, time.Now), wire: wire}
}

// spy is a publisher that notes what is published.
type spy struct {
	bus.Publisher
	f *flow
}

func (s spy) Publish(ctx context.Context, msgs []bus.Message) error {
	s.f.mu.Lock()
	s.f.sent = append(s.f.sent, msgs...)
	s.f.mu.Unlock()
	return s.Publisher.Publish(ctx, msgs)
}

// until waits.
func (f *flow) until(what string, holds func() bool) {
	f.t.Helper()
	for end := time.Now().Add(60 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatal("it does not come about: ", what)
		}
	}
}

// A party is a service with its database, outbox, inbox and relay.
type party struct {
	db   *sqldb.DB[*sql.Tx]
	pool *sql.DB
	ep   *seal.Endpoint[*sql.Tx]
	ob   *outbox.Outbox[*sql.Tx]
	in   *inbox.Inbox[*sql.Tx]
	stop func()
}

// open opens a database, with the SDK's tables in it, and one of what was handled.
func open(t *testing.T, dsn string) (*sqldb.DB[*sql.Tx], *sql.DB) {
	t.Helper()
	db, pool, err := sqldb.Open(dsn)
	if err == nil {
		err = sqldb.Migrate(t.Context(), db)
	}
	if err == nil {
		counts := map[sqltx.Dialect]string{sqltx.Postgres: "GENERATED ALWAYS AS IDENTITY", sqltx.MySQL: "AUTO_INCREMENT", sqltx.SQLite: "AUTOINCREMENT"}
		_, err = pool.Exec("CREATE TABLE IF NOT EXISTS handled (n INTEGER PRIMARY KEY " + counts[db.Dialect()] + ", what VARCHAR(100))")
	}
	if err != nil {
		t.Fatal(err)
	}
	return db, pool
}

// note is a handler that notes what it sees, in its transaction.
func (p *party) note(ctx context.Context, tx *sql.Tx, e payment, m *bus.Delivery) error {
	if e.Card != card || m.Header(seal.HeaderFrom) == nil {
		return inbox.DeadLetter(fmt.Errorf("it is not what was published, or from %q", m.Header(seal.HeaderFrom)))
	}
	_, err := p.db.Bind(tx).Exec(ctx, "INSERT INTO handled (what) VALUES (?)", fmt.Sprint(m.Topic, " ", m.Key, " ", e.Number))
	return err
}

// handled is what was handled, in order: "topic key number".
func (p *party) handled(t *testing.T) (out []string) {
	t.Helper()
	err := sqltx.Each(context.Background(), p.db.Conn(), "SELECT what FROM handled ORDER BY n", nil, func(read func(...any) error) error {
		var what string
		err := read(&what)
		out = append(out, what)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// count is how many of a topic were handled.
func (p *party) count(t *testing.T, topic string) (n int) {
	t.Helper()
	for _, h := range p.handled(t) {
		if strings.HasPrefix(h, topic+" ") {
			n++
		}
	}
	return n
}

// party makes a service that is not started yet.
func (f *flow) party(dsn, name string, opts ...seal.Option) *party {
	f.t.Helper()
	p := &party{}
	p.db, p.pool = open(f.t, dsn)
	p.ep = sealtest.Bare(f.co, p.db, name, append([]seal.Option{seal.CountedBy(f.co.Dir)}, opts...)...)
	p.ob = outbox.New(p.db, outbox.Source(name), outbox.Seal(p.ep))
	var err error
	p.in, err = inbox.New(p.db, name, inbox.Seal(p.ep), inbox.Lanes(3), inbox.InPlace(1), inbox.Backoff(10*time.Millisecond, 50*time.Millisecond),
		inbox.Poll(10*time.Millisecond), inbox.Logger(slog.New(slog.DiscardHandler)))
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// start has a service compare its counter, publish its keys, relay and receive.
func (f *flow) start(p *party) (restored bool) {
	f.t.Helper()
	restored, err := p.ep.Check(f.t.Context())
	if err == nil {
		err = p.ep.Publish(f.t.Context())
	}
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	relay := outbox.NewRelay(p.ob, seal.Counted(spy{f.wire, f}, f.co.Dir), outbox.Lease(2*time.Second), outbox.Poll(5*time.Millisecond, 50*time.Millisecond))
	for _, run := range []func() error{func() error { return relay.Run(ctx) }, func() error { return p.in.Run(ctx, f.wire) }} {
		wg.Go(func() {
			if err := run(); err != nil && ctx.Err() == nil {
				f.t.Error(err)
			}
		})
	}
	p.stop = sync.OnceFunc(func() { cancel(); wg.Wait(); p.pool.Close() })
	f.t.Cleanup(p.stop)
	return restored
}

// publish publishes payments, each with a key, in a transaction of its own.
func (f *flow) publish(p *party, topic string, keys, from, to int) {
	f.t.Helper()
	for n := from; n < to; n++ {
		err := p.ob.InTx(f.t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return p.ob.Publish(ctx, tx, outbox.Event{Topic: topic, Key: fmt.Sprint("k", n%keys), Type: "payment", ID: fmt.Sprint(topic, n), Data: payment{n, card}})
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// wireIsSealed checks that nothing went over the wire that tells something.
func (f *flow) wireIsSealed() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.sent {
		all := slices.Concat(m.Body, []byte(m.Key), []byte(m.ID))
		for _, h := range m.Headers {
			all = append(all, h.Value...)
		}
		if bytes.Contains(all, []byte(card)) || m.ContentType != seal.ContentType {
			f.t.Errorf("%s of %s is plaintext", m.ID, m.Topic)
		}
	}
}

// TestInFlow: payments go from an outbox through the broker into an inbox, and to a
// group, sealed; each is handled once, in the order of its key, whether handlers fail,
// messages are parked, die and are replayed; receipts go back.
func TestInFlow(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		const payments, keys, news, receipts = 60, 6, 12, 12
		f := newFlow(t)
		orders := f.party(d.DSN, "orders", seal.To("payments", "billing"), seal.ToGroup("news", "readers"), seal.Expect("receipts", "billing"))
		billing := f.party(sqltest.New(t, d.Dialect).DSN, "billing", seal.To("receipts", "orders"), seal.Expect("#", "orders"))
		var mu sync.Mutex
		tries, mended := map[string]int{}, false
		inbox.Handle(billing.in, "payments", "payment", func(ctx context.Context, tx *sql.Tx, p payment, m *bus.Delivery) error {
			mu.Lock()
			tries[m.ID]++
			n, ok := tries[m.ID], mended
			mu.Unlock()
			if p.Number%10 == 3 && n <= 2 {
				return errors.New("not now")
			}
			if p.Number == 25 && !ok {
				return inbox.DeadLetter(errors.New("nobody knows the customer"))
			}
			if p.Number%5 == 0 { // a receipt, which commits with the payment
				err := billing.ob.Publish(ctx, tx, outbox.Event{Topic: "receipts", Key: m.Key, Type: "payment", ID: "r" + m.ID, Data: p})
				if err != nil {
					return err
				}
			}
			return billing.note(ctx, tx, p, m)
		})
		inbox.Handle(billing.in, "news", "payment", billing.note)
		inbox.Handle(orders.in, "receipts", "payment", orders.note)
		f.start(billing)
		f.start(orders)
		err := orders.db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return orders.ep.Group("readers").Add(ctx, tx, "billing") })
		if err != nil {
			t.Fatal(err)
		}
		f.publish(orders, "payments", keys, 0, payments)
		f.publish(orders, "news", keys, 0, news)
		f.until("a dead letter", func() bool {
			all, err := inbox.ListDeadLetters(t.Context(), billing.db, inbox.Filter{})
			return err == nil && len(all) == 1
		})
		for _, table := range []string{"waxwing_parked", "waxwing_seal_session", "waxwing_seal_pinned"} {
			if has(t, billing.pool, table, card) {
				t.Errorf("%s holds plaintext", table)
			}
		}
		mu.Lock()
		mended = true
		mu.Unlock()
		if _, err := inbox.ReplayDeadLetters(t.Context(), billing.db, inbox.Filter{}, inbox.ReplayOptions{}); err != nil {
			t.Fatal(err)
		}
		f.until("all is handled", func() bool {
			return billing.count(t, "payments") >= payments && billing.count(t, "news") >= news && orders.count(t, "receipts") >= receipts
		})
		time.Sleep(100 * time.Millisecond) // what comes twice comes now
		all := append(orders.handled(t), billing.handled(t)...)
		orders.stop()
		billing.stop()
		f.wireIsSealed()
		if len(all) != payments+news+receipts {
			t.Errorf("%d were handled, want %d", len(all), payments+news+receipts)
		}
		last := map[string]int{}
		for _, h := range all {
			var topic, key string
			var n int
			if _, err := fmt.Sscan(h, &topic, &key, &n); err != nil {
				t.Fatal(err)
			}
			if before, seen := last[topic+key]; seen && n <= before {
				t.Errorf("%s %s: %d after %d", topic, key, n, before)
			}
			last[topic+key] = n
		}
	})
}

// has says whether a table holds a text.
func has(t *testing.T, pool *sql.DB, table, text string) bool {
	t.Helper()
	rows, err := pool.Query("SELECT * FROM " + table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.RawBytes)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if bytes.Contains(*v.(*sql.RawBytes), []byte(text)) {
				return true
			}
		}
	}
	return false
}

// copyDatabase copies the files of a SQLite database that nobody has open.
func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		b, err := os.ReadFile(from + suffix)
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(to + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRestoreInFlow: the database of a producer is put back to a backup, between whose
// making and return messages went out. It is noticed at the start, nothing is sealed
// before, no key is used again, and messages go on in both directions; what the backup
// had not sent yet is known as a duplicate.
func TestRestoreInFlow(t *testing.T) {
	f := newFlow(t)
	dir := t.TempDir()
	file, backup := filepath.Join(dir, "orders.db"), filepath.Join(dir, "backup.db")
	var alerts []seal.Restore
	again := func() *party {
		p := f.party("sqlite:"+file, "orders", seal.To("payments", "billing"), seal.Expect("receipts", "billing"),
			seal.OnRestore(func(r seal.Restore) { alerts = append(alerts, r) }))
		inbox.Handle(p.in, "receipts", "payment", p.note)
		return p
	}
	billing := f.party(sqltest.New(t, "sqlite").DSN, "billing", seal.To("receipts", "orders"), seal.Expect("payments", "orders"))
	inbox.Handle(billing.in, "payments", "payment", billing.note)
	f.start(billing)
	orders := again()
	f.start(orders)
	f.publish(orders, "payments", 3, 0, 10)
	f.until("10 payments", func() bool { return billing.count(t, "payments") == 10 })
	f.publish(billing, "receipts", 3, 0, 3)
	f.until("3 receipts", func() bool { return orders.count(t, "receipts") == 3 })
	orders.stop()

	orders = again() // which writes two more, and is backed up before they are sent
	if _, err := orders.ep.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.publish(orders, "payments", 3, 10, 12)
	orders.pool.Close()
	copyDatabase(t, file, backup)
	orders = again()
	if f.start(orders) {
		t.Fatal("a restart is taken for a restore")
	}
	f.publish(orders, "payments", 3, 12, 20)
	f.until("20 payments", func() bool { return billing.count(t, "payments") == 20 })
	f.publish(billing, "receipts", 3, 3, 6)
	f.until("6 receipts", func() bool { return orders.count(t, "receipts") == 6 })
	orders.stop()

	copyDatabase(t, backup, file)
	orders = again()
	if err := orders.ob.RenewEpoch(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := orders.ob.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return orders.ob.Publish(ctx, tx, outbox.Event{Topic: "payments", Key: "k0", Data: payment{99, card}})
	})
	if !errors.Is(err, seal.ErrRolledBack) {
		t.Fatal("it seals before it has compared: ", err)
	}
	if !f.start(orders) {
		t.Fatal("the restore is not noticed")
	}
	if len(alerts) != 1 || alerts[0].Name != "orders" || len(alerts[0].Behind) == 0 {
		t.Errorf("alerts: %+v", alerts)
	}
	f.publish(orders, "payments", 3, 20, 30)
	f.until("30 payments", func() bool { return billing.count(t, "payments") == 30 })
	f.publish(billing, "receipts", 3, 6, 9)
	// The three between are gone, with what the database knew of them.
	f.until("3 receipts more", func() bool { return orders.count(t, "receipts") == 6 })
	f.until("the outbox is empty", func() bool {
		var n int
		return sqltx.One(t.Context(), orders.db.Conn(), "SELECT COUNT(*) FROM waxwing_outbox", nil, &n) == nil && n == 0
	})
	if n := billing.count(t, "payments"); n != 30 {
		t.Errorf("%d payments", n)
	}
	orders.stop()
	billing.stop()
	f.wireIsSealed()
	f.noKeyTwice()
	parked, err := func() ([]inbox.Parked, error) {
		db, pool := open(t, "sqlite:"+file)
		defer pool.Close()
		return inbox.ListDeadLetters(t.Context(), db, inbox.Filter{All: true})
	}()
	if err != nil || len(parked) != 0 {
		t.Error(parked, err)
	}
}

// noKeyTwice checks that no two messages that went out are under the same key.
func (f *flow) noKeyTwice() {
	f.t.Helper()
	used := map[string]string{}
	for _, m := range f.sent {
		env, err := seal.ParseEnvelope(m.Body)
		if err != nil {
			f.t.Fatal(err)
		}
		body := env.Body
		if env.Kind == seal.KindHandshake {
			if _, body, err = ratchet.ParsePreKeyMessage(body); err != nil {
				f.t.Fatal(err)
			}
		}
		p, err := ratchet.Inspect(body)
		if err != nil {
			f.t.Fatal(err)
		}
		key := fmt.Sprintf("%x %x %d", env.Tag, p.Ratchet, p.Counter)
		if other, ok := used[key]; ok && other != m.ID+string(m.Body) {
			f.t.Errorf("%s is under the key of another message", m.ID)
		}
		used[key] = m.ID + string(m.Body)
	}
}
