//go:build killpoints

package killmatrix

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/outbox"
	"github.com/waxwing-mq/waxwing/saga"
	"github.com/waxwing-mq/waxwing/seal"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/sqldb"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// Keys are what a worker seals with.
type Keys struct {
	Directory string // URL of the broker's, which is also the counter
	Storage   string // the storage key, which wraps the identities in the database too
	Root      string // the organisation's public key
}

// The services of a worker that seals.
var services = []string{"orders", "billing", "participant"}

// newKeys makes a case's keys, and stores identities for its services.
func newKeys(ctx context.Context, db *sqldb.DB[*sql.Tx], prefix, url string) (*Keys, error) {
	root, err := seal.NewRoot()
	if err != nil {
		return nil, err
	}
	storage, err := seal.NewStorageKey(1)
	if err != nil {
		return nil, err
	}
	ring, err := seal.NewKeyRing(storage)
	if err != nil {
		return nil, err
	}
	for _, name := range services {
		id, err := seal.NewIdentity(prefix + name)
		if err != nil {
			return nil, err
		}
		cert, err := root.Issue(seal.Certificate{Name: prefix + name, Key: id.Key(), Lanes: 2, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)})
		if err == nil {
			id, err = id.WithCertificate(cert)
		}
		if err == nil {
			err = seal.StoreIdentity(ctx, db, ring, id)
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := db.Conn().Exec(ctx, "CREATE TABLE opened (topic VARCHAR(200), event_id VARCHAR(100))"); err != nil {
		return nil, err
	}
	return &Keys{Directory: url, Storage: string(storage.Encode()), Root: string(root.Public().Encode())}, nil
}

// An opener is an endpoint that writes down what it has opened, in the transaction in
// which it has, where nothing is unique.
type opener struct {
	*seal.Endpoint[*sql.Tx]
}

func (o opener) OpenDelivery(ctx context.Context, c sqltx.Conn, d *bus.Delivery) error {
	if err := o.Endpoint.OpenDelivery(ctx, c, d); err != nil {
		return err
	}
	_, err := c.Exec(ctx, "INSERT INTO opened (topic, event_id) VALUES (?, ?)", d.Topic, d.ID)
	return err
}

// endpoints are the services' endpoints, and the directory.
func (w *worker) endpoints(ctx context.Context) (out map[string]*seal.Endpoint[*sql.Tx], dir *directory.Client, err error) {
	storage, err := seal.DecodeStorageKey([]byte(w.Keys.Storage))
	if err != nil {
		return nil, nil, err
	}
	ring, err := seal.NewKeyRing(storage)
	if err != nil {
		return nil, nil, err
	}
	root, err := seal.ParseRootKey([]byte(w.Keys.Root))
	if err != nil {
		return nil, nil, err
	}
	if dir, err = directory.NewClient(directory.Config{URL: w.Keys.Directory, User: "guest", Password: "guest"}); err != nil {
		return nil, nil, err
	}
	p := w.Prefix
	rules := map[string][]seal.Option{
		"orders": {seal.To(p+"orders", p+"billing"), seal.To(p+"do", p+"participant"), seal.To(p+"undo", p+"participant"), seal.To(p+"late", p+"participant"),
			seal.ToGroup(p+"news", "readers"), seal.Expect(p+"replies", p+"participant")},
		"billing":     {seal.Expect(p+"orders", p+"orders"), seal.Expect(p+"news", p+"orders")},
		"participant": {seal.To(p+"replies", p+"orders"), seal.Expect(p+"do", p+"orders"), seal.Expect(p+"undo", p+"orders"), seal.Expect(p+"late", p+"orders")},
	}
	out = map[string]*seal.Endpoint[*sql.Tx]{}
	for _, name := range services {
		id, err := seal.LoadIdentity(ctx, w.db, ring, p+name)
		if err != nil {
			return nil, nil, err
		}
		out[name], err = seal.New(w.db, id, ring, append(rules[name], seal.Pinned(root), seal.Through(dir), seal.CountedBy(dir), seal.OneTimeKeys(4))...)
		if err != nil {
			return nil, nil, err
		}
	}
	return out, dir, nil
}

// seal has the worker seal and open from here on, as services do when they start.
func (w *worker) seal(ctx context.Context) error {
	all, dir, err := w.endpoints(ctx)
	if err != nil {
		return err
	}
	for name, ep := range all {
		restored, err := ep.Check(ctx)
		if err == nil && restored {
			err = errors.New("a crash is taken for a restore")
		}
		if err == nil {
			err = ep.Publish(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	err = w.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return all["orders"].Group("readers").Add(ctx, tx, w.Prefix+"billing")
	})
	if err != nil {
		return err
	}
	w.sealed, w.toBus = all, seal.Counted(w.sent, dir)
	w.ob = outbox.New(w.db, outbox.Source("killmatrix"), outbox.Seal(all["orders"]))
	w.answers = outbox.New(w.db, outbox.Source("killmatrix"), outbox.Seal(all["participant"]))
	return nil
}

// opens is the option by which an inbox opens what is sealed to a service.
func (w *worker) opens(service string) inbox.Option {
	if w.sealed == nil {
		return inbox.Seal(nil)
	}
	return inbox.Seal(opener{w.sealed[service]})
}

// read is the handler of what is sealed to the group.
func (w *worker) read(ctx context.Context, tx *sql.Tx, e move, m *bus.Delivery) error {
	var n int
	if _, err := fmt.Sscanf(m.ID, "news-%d", &n); err != nil {
		return inbox.DeadLetter(err)
	}
	return w.ledger.Effect(ctx, tx, waxtest.Effect{Consumer: "reader", CauseID: fmt.Sprintf("order-%d", n), Key: e.Key, Version: e.Version, Amount: e.Amount})
}

// opensReplies is opens, for the engine.
func (w *worker) opensReplies() saga.Option {
	if w.sealed == nil {
		return saga.Seal(nil)
	}
	return saga.Seal(opener{w.sealed["orders"]})
}

// sealLast seals messages that do not go through the outbox, if any is sealed.
func (w *worker) sealLast(ctx context.Context, msgs []bus.Message) error {
	if w.sealed == nil {
		return nil
	}
	return w.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := w.sealed["orders"].SealEvents(ctx, w.db.Bind(tx), msgs)
		return err
	})
}

// checkSealed checks what went over the wire: all of it was ciphertext, each message was
// opened once, and none can be opened again; and what the group was sent was handled.
func (r *run) checkSealed(ctx context.Context, s state) (found []waxtest.Violation, err error) {
	wrong := func(format string, args ...any) {
		if len(found) < 10 {
			found = append(found, waxtest.Violation{Check: "each row opens once", What: fmt.Sprintf(format, args...)})
		}
	}
	opened := map[string]int{}
	err = sqltx.Each(ctx, r.shape.db.Conn(), "SELECT topic, event_id FROM opened", nil, func(read func(...any) error) error {
		var topic, id string
		err := read(&topic, &id)
		opened[topic+"/"+id]++
		return err
	})
	if err != nil {
		return nil, err
	}
	msgs, err := recorded(r.plan.Sent)
	if err != nil {
		return nil, err
	}
	all, _, err := r.shape.endpoints(ctx)
	if err != nil {
		return nil, err
	}
	bodies := map[string]string{}
	for i := range msgs {
		m := &msgs[i]
		name := m.Topic + "/" + m.ID
		if body, ok := bodies[name]; ok {
			if body != string(m.Body) {
				wrong("%s was published with two ciphertexts", name)
			}
			continue
		}
		if bodies[name] = string(m.Body); m.ContentType != seal.ContentType {
			wrong("%s is plaintext", name)
		}
		if opened[name] != 1 {
			wrong("%s was opened %d times", name, opened[name])
		}
		if again := r.opensAgain(ctx, all, m); again != "" {
			wrong("%s can be opened by %s", name, again)
		}
	}
	var pinned int
	if err := sqltx.One(ctx, r.shape.db.Conn(), "SELECT COUNT(*) FROM waxwing_seal_pinned", nil, &pinned); err != nil {
		return nil, err
	}
	if pinned != 0 {
		wrong("%d messages are kept", pinned)
	}
	if len(bodies) < 2*orders {
		wrong("only %d messages were sealed", len(bodies))
	}
	return append(found, waxtest.EachEffectOnce(s.Causes, s.of("reader"), []string{"reader"}, nil)...), nil
}

var errOnlyLooking = errors.New("only looking")

// opensAgain names an endpoint that can open a message, "" if none can.
func (r *run) opensAgain(ctx context.Context, all map[string]*seal.Endpoint[*sql.Tx], m *bus.Message) (who string) {
	for name, ep := range all {
		d := &bus.Delivery{Message: *m}
		err := r.shape.db.InTx(ctx, func(ctx context.Context, tx *sql.Tx) error { return errors.Join(ep.Open(ctx, tx, d), errOnlyLooking) })
		if err != nil && string(d.Body) != string(m.Body) {
			who = name
		}
	}
	return who
}
