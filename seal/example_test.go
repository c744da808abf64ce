package seal_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// A shelf is a directory in memory, as a broker's would be (directory.Client).
type shelf map[string]directory.Publication

func (s shelf) Publish(_ context.Context, name string, p directory.Publication) (directory.Status, error) {
	old := s[name]
	p.OneTime, p.OneTimeKEM = append(old.OneTime, p.OneTime...), append(old.OneTimeKEM, p.OneTimeKEM...)
	s[name] = p
	return s.Status(context.Background(), name)
}

func (s shelf) Status(_ context.Context, name string) (directory.Status, error) {
	p, ok := s[name]
	if !ok {
		return directory.Status{}, directory.ErrNotFound
	}
	return directory.Status{Name: name, OneTime: len(p.OneTime), OneTimeKEM: len(p.OneTimeKEM)}, nil
}

func (s shelf) Take(_ context.Context, name string) (directory.Bundle, error) {
	p, ok := s[name]
	if !ok {
		return directory.Bundle{}, directory.ErrNotFound
	}
	b := directory.Bundle{Name: name, RegistrationID: p.RegistrationID, Certificate: p.Certificate, Signed: *p.Signed, KEM: p.LastResort, LastResort: true}
	if len(p.OneTime) > 0 {
		b.OneTime, p.OneTime = &p.OneTime[0], p.OneTime[1:]
	}
	s[name] = p
	return b, nil
}

// A company is what the examples share: a root, a directory, a database.
type company struct {
	root *seal.Root
	dir  shelf
	db   *sqldb.DB[*sql.Tx]
	keys *seal.KeyRing
	path string
	done func()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func found() *company {
	path := must(os.MkdirTemp("", "example"))
	db, pool, err := sqldb.Open("sqlite:" + filepath.Join(path, "app.db"))
	if err == nil {
		err = sqldb.Migrate(context.Background(), db)
	}
	if err != nil {
		panic(err)
	}
	keys := must(seal.NewKeyRing(must(seal.NewStorageKey(1))))
	return &company{must(seal.NewRoot()), shelf{}, db, keys, path, func() { pool.Close(); os.RemoveAll(path) }}
}

// identity is one with a certificate.
func (c *company) identity(name string) *seal.Identity {
	id := must(seal.NewIdentity(name))
	cert := must(c.root.Issue(seal.Certificate{Name: name, Key: id.Key(), Lanes: 8, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}))
	return must(id.WithCertificate(cert))
}

// service is an endpoint that others can seal to.
func (c *company) service(name string, opts ...seal.Option) *seal.Endpoint[*sql.Tx] {
	ep := must(seal.New(c.db, c.identity(name), c.keys, append([]seal.Option{seal.Pinned(c.root.Public()), seal.Through(c.dir)}, opts...)...))
	if err := ep.Publish(context.Background()); err != nil {
		panic(err)
	}
	return ep
}

// inTx runs f in a transaction, as an application does.
func (c *company) inTx(f func(ctx context.Context, tx *sql.Tx) error) {
	if err := c.db.InTx(context.Background(), f); err != nil {
		panic(err)
	}
}

// A message is sealed in the transaction that writes what it is about, and opened in the
// one that holds its effects.
func Example() {
	c := found()
	defer c.done()
	orders, billing := c.service("orders"), c.service("billing")

	m := bus.Message{Topic: "payments", Key: "order-7", ID: "1", Type: "order.placed", ContentType: "text/plain", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error {
		// ... the caller's own statements ...
		return orders.Seal(ctx, tx, "billing", &m)
	})
	fmt.Println(m.ContentType)

	d := bus.Delivery{Message: m} // as the broker delivers it
	c.inTx(func(ctx context.Context, tx *sql.Tx) error {
		return billing.Open(ctx, tx, &d, "orders")
		// ... the message's effects ...
	})
	fmt.Printf("%s, %s, from %s\n", d.Body, d.ContentType, d.Header(seal.HeaderFrom))

	again := bus.Delivery{Message: m}
	err := c.db.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error { return billing.Open(ctx, tx, &again) })
	fmt.Println(errors.Is(err, seal.ErrDuplicate))
	// Output:
	// application/vnd.waxwing.sealed
	// card 4111, text/plain, from orders
	// true
}

// Rules say what is sealed: an outbox and an inbox go by them.
func ExampleNew() {
	c := found()
	defer c.done()
	orders := c.service("orders", seal.To("payments", "billing"))
	billing := c.service("billing", seal.Expect("payments", "orders"))

	msgs := []bus.Message{{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}, {Topic: "catalogue", Key: "7", ID: "2", Body: []byte("a book")}}
	c.inTx(func(ctx context.Context, tx *sql.Tx) (err error) {
		msgs, err = orders.SealEvents(ctx, c.db.Bind(tx), msgs)
		return err
	})
	for _, m := range append(msgs, bus.Message{Topic: "payments", ID: "3", Body: []byte("not sealed")}) {
		d := bus.Delivery{Message: m}
		err := c.db.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error { return billing.OpenDelivery(ctx, c.db.Bind(tx), &d) })
		fmt.Printf("%s: %s, %v\n", d.Topic, d.Body, err)
	}
	// Output:
	// payments: card 4111, <nil>
	// catalogue: a book, <nil>
	// payments: not sealed, seal: not sealed: topic payments
}

// The root signs who is who, on a machine of its own; services pin its public key.
func ExampleRoot_Issue() {
	root := must(seal.NewRoot())
	id := must(seal.NewIdentity("orders"))
	cert := must(root.Issue(seal.Certificate{Name: "orders", Key: id.Key(), Lanes: 8, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}))
	id = must(id.WithCertificate(cert))

	verified := must(root.Public().Verify(id.Certificate().Bytes(), time.Now()))
	fmt.Println(verified.Name, verified.Lanes, id)
	// Output: orders 8 identity orders
}

// Secrets are lines of files, and do not show themselves in logs.
func ExampleDecodeIdentity() {
	id := must(seal.NewIdentity("orders"))
	key := must(seal.NewStorageKey(1))
	back := must(seal.DecodeIdentity(id.Encode()))
	fmt.Println(back.Name(), back.Key() == id.Key(), must(seal.DecodeStorageKey(key.Encode())) == key)
	fmt.Printf("%v, %+v\n", id, key)
	// Output:
	// orders true true
	// identity orders, storage key 1
}

// An identity can be in the database, wrapped.
func ExampleLoadIdentity() {
	c := found()
	defer c.done()
	ctx := context.Background()
	if err := seal.StoreIdentity(ctx, c.db, c.keys, c.identity("orders")); err != nil {
		panic(err)
	}
	id := must(seal.LoadIdentity(ctx, c.db, c.keys, "orders"))
	_, err := seal.LoadIdentity(ctx, c.db, c.keys, "billing")
	fmt.Println(id, errors.Is(err, seal.ErrNoIdentity))
	// Output: identity orders true
}

// What is put aside stays openable while those behind it are handled.
func ExampleEndpoint_Pin() {
	c := found()
	defer c.done()
	orders, billing := c.service("orders"), c.service("billing")
	m := bus.Message{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })

	d := bus.Delivery{Message: m}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error {
		// ... a row for the message, as it came ...
		return billing.Pin(ctx, tx, &d)
	})
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return billing.Open(ctx, tx, &d) }) // days later
	fmt.Printf("%s\n", d.Body)
	// Output: card 4111
}

func ExampleEndpoint_Discard() {
	c := found()
	defer c.done()
	orders, billing := c.service("orders"), c.service("billing")
	m := bus.Message{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })

	d := bus.Delivery{Message: m}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return billing.Discard(ctx, tx, &d) }) // rejected
	err := c.db.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error { return billing.Open(ctx, tx, &d) })
	fmt.Println(errors.Is(err, seal.ErrDuplicate))
	// Output: true
}

// Bundles are fetched ahead, so that no transaction waits for the directory.
func ExampleEndpoint_Prepare() {
	c := found()
	defer c.done()
	orders := c.service("orders")
	c.service("billing")
	if err := orders.Prepare(context.Background(), "billing"); err != nil {
		panic(err)
	}
	delete(c.dir, "billing") // the directory cannot be reached
	m := bus.Message{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })
	fmt.Println(orders.Prepare(context.Background(), "shipping"))
	// Output: seal: a bundle of shipping: no such identity
}

func ExampleEndpoint_Run() {
	c := found()
	defer c.done()
	ctx, cancel := context.WithCancel(context.Background())
	dir := telling{c.dir, cancel} // ends the example
	billing := must(seal.New(c.db, c.identity("billing"), c.keys, seal.Pinned(c.root.Public()), seal.Through(dir), seal.OneTimeKeys(5)))
	fmt.Println(billing.Run(ctx)) // publishes at once, and whenever fewer than half are left
	fmt.Println(must(c.dir.Status(ctx, "billing")).OneTime)
	// Output:
	// <nil>
	// 5
}

// telling is a directory that tells when something was published.
type telling struct {
	shelf
	published func()
}

func (t telling) Publish(ctx context.Context, name string, p directory.Publication) (directory.Status, error) {
	defer t.published()
	return t.shelf.Publish(ctx, name, p)
}

func ExampleEndpoint_Maintain() {
	c := found()
	defer c.done()
	now := time.Now()
	billing := c.service("billing", seal.Clock(func() time.Time { return now }))
	first := c.dir["billing"].Signed.ID
	now = now.AddDate(0, 0, 8)
	fmt.Println(billing.Maintain(context.Background()), c.dir["billing"].Signed.ID > first)
	// Output: <nil> true
}

// A counter outside of the database shows that it was set back.
func ExampleCounted() {
	c := found()
	defer c.done()
	ctx := context.Background()
	counter := must(seal.OpenFileCounter(filepath.Join(c.path, "marks"))) // not in the backup
	c.service("billing")
	orders := c.service("orders", seal.CountedBy(counter), seal.OnRestore(func(r seal.Restore) {
		fmt.Printf("%s: the database is at %d, the counter at %d\n", r.Name, r.Behind[0].Database, r.Behind[0].Counter)
	}))
	fmt.Println(orders.Check(ctx)) // at the start of each process

	m := bus.Message{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })
	relay := seal.Counted(printer{}, counter) // instead of the broker, to outbox.NewRelay
	if err := relay.Publish(ctx, []bus.Message{m}); err != nil {
		panic(err)
	}
	if _, err := c.db.Conn().Exec(ctx, "DELETE FROM waxwing_seal_session"); err != nil { // a backup is restored
		panic(err)
	}
	fmt.Println(orders.Check(ctx))
	// Output:
	// false <nil>
	// published 1
	// orders: the database is at 0, the counter at 1
	// true <nil>
}

type printer struct{}

func (printer) Publish(_ context.Context, msgs []bus.Message) error {
	fmt.Println("published", len(msgs))
	return nil
}
func (printer) System() string { return "kafka" }

// Members of a group read one ciphertext.
func ExampleGroup_Seal() {
	c := found()
	defer c.done()
	orders := c.service("orders")
	readers := []*seal.Endpoint[*sql.Tx]{c.service("billing"), c.service("shipping")}
	group := orders.Group("readers")

	m := bus.Message{Topic: "news", Key: "7", ID: "1", Body: []byte("paid")}
	var keys []bus.Message
	c.inTx(func(ctx context.Context, tx *sql.Tx) (err error) {
		if err := group.Add(ctx, tx, "billing", "shipping"); err != nil {
			return err
		}
		keys, err = group.Seal(ctx, tx, &m) // to be published in front of m
		return err
	})
	for i, r := range readers {
		for _, m := range []bus.Message{keys[i], m} {
			d := bus.Delivery{Message: m}
			c.inTx(func(ctx context.Context, tx *sql.Tx) error { return r.Open(ctx, tx, &d) })
			fmt.Printf("%s: %s %q\n", d.Topic, d.Type, d.Body[:min(4, len(d.Body))])
		}
	}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error {
		if err := group.Remove(ctx, tx, "billing"); err != nil { // the next message is under a new key
			return err
		}
		fmt.Println(group.Members(ctx, tx))
		return group.Rotate(ctx, tx)
	})
	// Output:
	// billing.seal: waxwing.seal.distribution ""
	// news:  "paid"
	// shipping.seal: waxwing.seal.distribution ""
	// news:  "paid"
	// [shipping] <nil>
}

// A new storage key becomes the active one; then the rows are rewrapped.
func ExampleEndpoint_Rotate() {
	c := found()
	defer c.done()
	old, next := must(seal.NewStorageKey(1)), must(seal.NewStorageKey(2))
	id := c.identity("billing")
	start := func(keys *seal.KeyRing) *seal.Endpoint[*sql.Tx] {
		return must(seal.New(c.db, id, keys, seal.Pinned(c.root.Public()), seal.Through(c.dir), seal.OneTimeKeys(1)))
	}
	ctx := context.Background()
	if err := start(must(seal.NewKeyRing(old))).Publish(ctx); err != nil {
		panic(err)
	}
	fmt.Println(start(must(seal.NewKeyRing(next, old))).Rotate(ctx))
	fmt.Println(start(must(seal.NewKeyRing(next))).Publish(ctx))
	// Output:
	// 5 <nil>
	// <nil>
}

// Two people compare the number by telephone.
func ExampleEndpoint_Verify() {
	c := found()
	defer c.done()
	ctx := context.Background()
	orders, billing := c.service("orders", seal.VerifiedOnly()), c.service("billing")
	if err := errors.Join(orders.Prepare(ctx, "billing"), billing.Prepare(ctx, "orders")); err != nil {
		panic(err)
	}
	number := must(billing.SafetyNumber(ctx, "orders"))
	fmt.Println(len(number), orders.Verify(ctx, "billing", number))
	// Output: 71 <nil>
}

func ExampleEndpoint_Forget() {
	c := found()
	defer c.done()
	orders := c.service("orders", seal.TOFU())
	c.service("billing")
	m := bus.Message{Topic: "payments", Key: "7", ID: "1"}
	seals := func() error {
		return c.db.InTx(context.Background(), func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })
	}
	fmt.Println(seals())
	c.service("billing") // with another key: made anew, or somebody else's
	m = bus.Message{Topic: "payments", Key: "order-7", ID: "2"}
	fmt.Println(errors.Is(seals(), seal.ErrUntrusted))
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Forget(ctx, tx, "billing") })
	fmt.Println(seals())
	// Output:
	// <nil>
	// true
	// <nil>
}

// Everybody can read an envelope's public parts.
func ExampleParseEnvelope() {
	c := found()
	defer c.done()
	orders := c.service("orders")
	c.service("billing")
	m := bus.Message{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })
	e := must(seal.ParseEnvelope(m.Body))
	fmt.Println(e.Kind, e.Sender, e.Recipient, e.Profile)
	// Output: handshake orders billing signal-v4
}

// A service that only receives greets now and then: that gives the session new keys.
func ExampleEndpoint_Greet() {
	c := found()
	defer c.done()
	orders, billing := c.service("orders"), c.service("billing")
	m := bus.Message{Topic: "payments", Key: "7", ID: "1", Body: []byte("card 4111")}
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Seal(ctx, tx, "billing", &m) })
	c.inTx(func(ctx context.Context, tx *sql.Tx) error { return billing.Open(ctx, tx, &bus.Delivery{Message: m}) })

	var greetings []bus.Message
	c.inTx(func(ctx context.Context, tx *sql.Tx) (err error) {
		greetings, err = billing.Greet(ctx, tx, "orders") // to be published
		return err
	})
	for _, m := range greetings {
		d := bus.Delivery{Message: m}
		c.inTx(func(ctx context.Context, tx *sql.Tx) error { return orders.Open(ctx, tx, &d) })
		fmt.Println(d.Topic, d.Type, len(d.Body))
	}
	// Output: orders.seal waxwing.seal.greeting 0
}

// A session that the peer has lost begins anew.
func ExampleEndpoint_Renew() {
	c := found()
	defer c.done()
	orders := c.service("orders")
	c.service("billing")
	for range 2 {
		m := bus.Message{Topic: "payments", Key: "7", ID: "1"}
		c.inTx(func(ctx context.Context, tx *sql.Tx) error {
			if err := orders.Seal(ctx, tx, "billing", &m); err != nil {
				return err
			}
			return orders.Renew(ctx, tx, "billing")
		})
		fmt.Println(must(seal.ParseEnvelope(m.Body)).Kind)
	}
	// Output:
	// handshake
	// handshake
}
