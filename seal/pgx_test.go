package seal

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/sqldb"
)

// TestPGX: all statements also work through pgx itself.
func TestPGX(t *testing.T) {
	d := sqltest.New(t, "postgres")
	w := newWorld(t, d)
	pool, err := pgxpool.New(t.Context(), d.DSN)
	w.must(err)
	t.Cleanup(pool.Close)
	db := sqldb.PGX(pool)
	start := func(name string, keys *KeyRing) *Endpoint[pgx.Tx] {
		ep, err := New(db, w.identity(name, 1), keys, Pinned(w.root.Public()), Through(w.dir), CountedBy(w.dir), OneTimeKeys(2), Clock(w.now))
		w.must(err)
		_, err = ep.Check(t.Context())
		w.must(err)
		w.must(ep.Maintain(t.Context()))
		return ep
	}
	change := func(f func(ctx context.Context, tx pgx.Tx) error) {
		t.Helper()
		w.must(db.InTx(t.Context(), f))
	}
	a, b := start("orders", w.keys), start("billing", w.keys)
	w.must(a.Prepare(t.Context(), "billing"))
	seal := func() *bus.Message {
		m := w.message("things", "k", "text")
		change(func(ctx context.Context, tx pgx.Tx) error { return a.Seal(ctx, tx, "billing", m) })
		return m
	}
	open := func(m *bus.Message) {
		t.Helper()
		d := &bus.Delivery{Message: *m}
		change(func(ctx context.Context, tx pgx.Tx) error { return b.Open(ctx, tx, d) })
		if len(d.Body) > 0 && string(d.Body) != "text" {
			t.Errorf("%s", d.Body)
		}
	}
	first, second, third, fourth := seal(), seal(), seal(), seal()
	open(third)
	open(first)
	change(func(ctx context.Context, tx pgx.Tx) error { return b.Pin(ctx, tx, &bus.Delivery{Message: *second}) })
	g := a.Group("readers")
	toGroup := w.message("things", "k", "text")
	var keys []bus.Message
	change(func(ctx context.Context, tx pgx.Tx) (err error) {
		w.must(g.Add(ctx, tx, "billing"))
		keys, err = g.Seal(ctx, tx, toGroup)
		return err
	})
	open(&keys[0])
	next, err := NewStorageKey(2)
	w.must(err)
	alone, err := NewKeyRing(next)
	w.must(err)
	both := &KeyRing{active: 2, keys: map[uint32]*wrapper{1: w.keys.keys[1], 2: alone.keys[2]}}
	w.must(StoreIdentity(t.Context(), db, w.keys, w.identity("billing", 1)))
	for _, name := range []string{"orders", "billing"} {
		n, err := start(name, both).Rotate(t.Context())
		w.must(err)
		if n == 0 {
			t.Error("nothing was rewrapped")
		}
	}
	_, err = LoadIdentity(t.Context(), db, alone, "billing")
	w.must(err)
	a, b = start("orders", alone), start("billing", alone)
	open(second)
	open(fourth)
	open(toGroup)
	w.later(prekeyAge + 1e9)
	w.must(b.Maintain(t.Context()))
	change(func(ctx context.Context, tx pgx.Tx) error { return b.Forget(ctx, tx, "orders") })
	change(func(ctx context.Context, tx pgx.Tx) error { return a.Renew(ctx, tx, "billing") })
	w.dir.marks["orders"] = map[uint32]uint64{0: 1000, 77: 5}
	if was, err := a.Check(t.Context()); !was || err != nil {
		t.Error(was, err)
	}
	open(seal())
}
