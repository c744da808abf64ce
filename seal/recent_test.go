package seal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sample"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// reads counts the queries of a database.
type reads struct{ n int }

func (r *reads) Before(step string) error {
	if step == "query" {
		r.n++
	}
	return nil
}

func (r *reads) After(string) error { return nil }

// TestSealsWithoutReading: who has sealed, or opened, in a session does not read its row
// for the next message, unless it is not as it was left.
func TestSealsWithoutReading(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.service("orders")
		b := w.service("billing")
		count := &reads{}
		a := w.with(w.db.Hooked(count), w.identity("orders", 1))
		sealed := func(text string, want int) *bus.Message {
			t.Helper()
			count.n = 0
			m := w.message("things", "k", text)
			w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
				return a.core.sealAll(ctx, w.db.Hooked(count).Bind(tx), []job{{to: "billing", kind: contentEvent, m: m}})
			}))
			if count.n != want && want >= 0 {
				t.Errorf("%s: %d reads, want %d", text, count.n, want)
			}
			return m
		}
		w.opens(b, w.seal(a, "billing", "first"), "first")
		w.opens(b, sealed("not answered", 1), "not answered")
		w.opens(b, sealed("again", 0), "again")
		w.opens(a, w.seal(b, "orders", "answer"), "answer")
		w.opens(b, sealed("answered", 0), "answered")
		w.want(w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(a.Seal(ctx, tx, "billing", w.message("things", "k", "rolled back")), errAgain)
		}), errAgain)
		w.opens(b, sealed("after a rollback", 1), "after a rollback")
		w.opens(b, w.seal(w.bare("orders"), "billing", "another process"), "another process")
		w.opens(b, sealed("after another process", 1), "after another process")
		w.must(w.inTx(func(ctx context.Context, tx *sql.Tx) error { return a.Renew(ctx, tx, "billing") }))
		m := sealed("renewed", -1)
		if env, err := ParseEnvelope(m.Body); err != nil || env.Kind != KindHandshake {
			t.Error(env, err)
		}
		w.opens(b, m, "renewed")
	})
}

// TestRecentIsChecked: two processes of each of two services seal and open in any order,
// and roll back now and then; every message that was committed opens, once.
func TestRecentIsChecked(t *testing.T) {
	for seed := range uint64(sample.Of(4, 20)) {
		for _, profile := range []ratchet.Profile{ratchet.SignalV4, ratchet.WaxwingHE} {
			t.Run(fmt.Sprint(profile, seed), func(t *testing.T) { playRecent(t, seed, profile) })
		}
	}
}

func playRecent(t *testing.T, seed uint64, profile ratchet.Profile) {
	r := rand.New(rand.NewPCG(seed, 1))
	w := quick(t)
	opt := Profile(profile)
	names := []string{"orders", "billing"}
	var all [2][2]*endpoint
	for i, name := range names {
		all[i] = [2]*endpoint{w.service(name, opt), w.bare(name, opt)}
	}
	var way [2][]*bus.Message // to each
	opened, sealed := 0, 0
	open := func(to, at int) {
		t.Helper()
		m := way[to][at]
		d := &bus.Delivery{Message: *m}
		process := all[to][r.IntN(2)]
		err := w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			err := process.Open(ctx, tx, d)
			if err == nil && string(d.Body) != m.ID {
				t.Errorf("%q is %q", m.ID, d.Body)
			}
			if err == nil && r.IntN(5) == 0 {
				err = errAgain
			}
			return err
		})
		if errors.Is(err, errAgain) {
			return
		}
		w.must(err)
		way[to] = slices.Delete(way[to], at, at+1)
		opened++
		_, err = w.open(process, m)
		w.want(err, ErrDuplicate)
	}
	for range 120 {
		to := r.IntN(2)
		if len(way[to]) > 0 && r.IntN(2) == 0 {
			open(to, r.IntN(min(3, len(way[to]))))
			continue
		}
		m := w.message("things", "k", "")
		m.Body = []byte(m.ID)
		process := all[1-to][r.IntN(2)]
		err := w.inTx(func(ctx context.Context, tx *sql.Tx) error {
			err := process.Seal(ctx, tx, names[to], m)
			if err == nil && r.IntN(4) == 0 {
				err = errAgain
			}
			return err
		})
		if errors.Is(err, errAgain) {
			continue
		}
		w.must(err)
		way[to] = append(way[to], m)
		sealed++
	}
	for to := range way {
		for len(way[to]) > 0 {
			open(to, 0)
		}
	}
	if opened != sealed || sealed < 20 {
		t.Errorf("%d sealed, %d opened", sealed, opened)
	}
}
