package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/busrow"
	"github.com/waxwing-mq/waxwing/internal/sealtest"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// sealed is an outbox that seals "payments" to billing and "news" to a group, and
// billing's endpoint.
func sealed(t *testing.T, db *sqldb.DB[*sql.Tx], opts ...Option) (o *Outbox[*sql.Tx], orders, billing *seal.Endpoint[*sql.Tx]) {
	t.Helper()
	c := sealtest.New(t, time.Now)
	orders = sealtest.Endpoint(c, db, "orders", seal.To("payments", "billing"), seal.ToGroup("news", "readers"))
	billing = sealtest.Endpoint(c, db, "billing")
	return New(db, append([]Option{Seal(orders)}, opts...)...), orders, billing
}

// opens opens a message.
func opens(t *testing.T, db *sqldb.DB[*sql.Tx], at *seal.Endpoint[*sql.Tx], m bus.Message) *bus.Delivery {
	t.Helper()
	d := &bus.Delivery{Message: m}
	if err := db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return at.Open(ctx, tx, d) }); err != nil {
		t.Fatalf("%s: %v", m.ID, err)
	}
	return d
}

// TestSealed: rows hold ciphertext, the relay sends it as it is, and a transaction that
// is rolled back leaves the session as it was.
func TestSealed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, _, billing := sealed(t, db)
		err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(o.Publish(ctx, tx, Event{Topic: "payments", Key: "k", ID: "undone", Data: "secret"}), errUndo)
		})
		if !errors.Is(err, errUndo) {
			t.Fatal(err)
		}
		var sessions int
		if err := pool.QueryRow("SELECT COUNT(*) FROM waxwing_seal_session").Scan(&sessions); err != nil || sessions != 0 {
			t.Fatal(sessions, err)
		}
		publish(t, o,
			Event{Topic: "payments", Key: "k", ID: "1", Type: "paid", Data: "secret", Headers: []bus.Header{{Name: "tenant", Value: []byte("secret")}}},
			Event{Topic: "public", Key: "k", ID: "2", Data: "open"},
			Event{Topic: "payments", Key: "k", ID: "3", Data: "secret"})
		rows := map[string][]byte{}
		err = sqltx.Each(t.Context(), db.Conn(), "SELECT event_id, headers, body FROM waxwing_outbox", nil, func(read func(...any) error) error {
			var id string
			var headers, body []byte
			err := read(&id, &headers, &body)
			if rows[id] = body; bytes.Contains(append(headers, body...), []byte("secret")) {
				t.Errorf("%s is plaintext", id)
			}
			return err
		})
		if err != nil || len(rows) != 3 {
			t.Fatal(rows, err)
		}
		to := &recorder{}
		start(t, NewRelay(o, to))
		for _, m := range to.wait(t, 3) {
			if !bytes.Equal(m.Body, rows[m.ID]) {
				t.Errorf("%s has changed", m.ID)
			}
			if m.ID == "2" {
				continue
			}
			if m.ContentType != seal.ContentType || m.Header("tenant") != nil {
				t.Errorf("%s: %s, %d headers", m.ID, m.ContentType, len(m.Headers))
			}
			d := opens(t, db, billing, m)
			if string(d.Body) != `"secret"` || d.ContentType != "application/json" || m.ID == "1" && string(d.Header("tenant")) != "secret" {
				t.Errorf("%+v", d)
			}
		}
		empty(t, pool)
	})
}

// TestSealedSize: MaxBytes is of what is sealed.
func TestSealedSize(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "sqlite"))
	o, _, _ := sealed(t, db, MaxBytes(6000))
	for size, fits := range map[int]bool{100: true, 5900: false} {
		err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			return o.Publish(ctx, tx, Event{Topic: "payments", Key: "k", Data: make([]byte, size)})
		})
		if errors.Is(err, ErrTooLarge) == fits {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	var n int
	if err := pool.QueryRow("SELECT COUNT(*) FROM waxwing_outbox").Scan(&n); err != nil || n != 1 {
		t.Error(n, err)
	}
}

// TestSealedGroup: what brings members a group's key goes in front.
func TestSealedGroup(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, _ := sqltest.Open(t, d)
		o, orders, billing := sealed(t, db)
		if err := db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return orders.Group("readers").Add(ctx, tx, "billing") }); err != nil {
			t.Fatal(err)
		}
		publish(t, o, Event{Topic: "news", Key: "k", ID: "1", Data: "secret"}, Event{Topic: "payments", Key: "k", ID: "2", Data: "secret"})
		var topics []string
		err := sqltx.Each(t.Context(), db.Conn(), "SELECT topic FROM waxwing_outbox ORDER BY id", nil, func(read func(...any) error) error {
			var topic string
			err := read(&topic)
			topics = append(topics, topic)
			return err
		})
		if want := []string{seal.ControlTopic("billing"), "news", "payments"}; err != nil || fmt.Sprint(topics) != fmt.Sprint(want) {
			t.Fatal(topics, err)
		}
		to := &recorder{}
		start(t, NewRelay(o, to))
		byTopic := map[string]bus.Message{}
		for _, m := range to.wait(t, 3) {
			byTopic[m.Topic] = m
		}
		for _, topic := range topics {
			d := opens(t, db, billing, byTopic[topic])
			if d.Type != seal.TypeDistribution && string(d.Body) != `"secret"` {
				t.Errorf("%+v", d)
			}
		}
	})
}

// TestSealedOrder: transactions that publish the same keys at once, also without locks of
// the outbox's, get ids in the order of the session's numbers, so that a receiver finds
// none of them out of order.
func TestSealedOrder(t *testing.T) {
	for name, opts := range map[string][]Option{"locks": nil, "caller": {CallerLocks()}} {
		t.Run(name, func(t *testing.T) {
			sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
				db, _ := sqltest.Open(t, d)
				o, orders, _ := sealed(t, db, opts...)
				if err := db.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return orders.Group("readers").Add(ctx, tx, "billing") }); err != nil {
					t.Fatal(err)
				}
				const workers, each = 4, 8
				var wg sync.WaitGroup
				for w := range workers {
					wg.Go(func() {
						for n := range each {
							events := []Event{{Topic: "payments", Key: fmt.Sprint("key", n%3), Data: n}, {Topic: "news", Key: "k", Data: n}, {Topic: "public", Key: "k"}}
							for tries := 0; ; tries++ {
								err := o.InTx(t.Context(), func(ctx context.Context, tx *sql.Tx) error { return o.Publish(ctx, tx, events[:1+w%3]...) })
								if err == nil {
									break
								}
								if tries == 50 || !sqltx.Transient(err) {
									t.Error(err)
									return
								}
							}
						}
					})
				}
				wg.Wait()
				last, n := map[string]int{}, 0
				err := sqltx.Each(t.Context(), db.Conn(), "SELECT topic, msg_key, headers FROM waxwing_outbox ORDER BY id", nil, func(read func(...any) error) error {
					var topic string
					var key, headers []byte
					if err := read(&topic, &key, &headers); err != nil {
						return err
					}
					n++
					m := messageWith(t, headers)
					if topic == "public" {
						return nil
					}
					f := strings.Split(string(m.Header(seal.HeaderSealed)), ":")
					seq, err := strconv.Atoi(f[1])
					stream := topic + " " + f[0] // a group's keys, in front, have a topic of their own
					if err != nil || seq <= last[stream] {
						t.Errorf("%s %s: stream %s goes from %d to %d, %v", topic, key, stream, last[stream], seq, err)
					}
					last[stream] = seq
					return nil
				})
				if err != nil || n < workers*each {
					t.Error(n, err)
				}
			})
		})
	}
}

// messageWith is a message with the headers of a row.
func messageWith(t *testing.T, headers []byte) (m bus.Message) {
	t.Helper()
	var err error
	if m.Headers, err = busrow.DecodeHeaders(headers); err != nil {
		t.Fatal(err)
	}
	return m
}
