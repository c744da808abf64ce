package seal

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// TestLateTurns: a message that is overtaken by many turns of the conversation, as when a
// relay of one bucket stands still and those of others go on, opens for the time of
// KeepSkipped, once.
func TestLateTurns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.service("orders"), w.service("billing")
		w.opens(b, w.seal(a, "billing", "first"), "first")
		w.opens(a, w.seal(b, "orders", "back"), "back")
		var late []*bus.Message
		for i := range 3 * ratchet.MaxChains {
			if i < 3 {
				late = append(late, w.seal(a, "billing", fmt.Sprint("before ", i)))
			}
			w.opens(b, w.seal(a, "billing", "there"), "there")
			if i < 3 {
				late = append(late, w.seal(a, "billing", fmt.Sprint("behind ", i)))
			}
			w.opens(a, w.seal(b, "orders", "back"), "back")
		}
		for _, i := range []int{5, 0, 3, 2, 4} {
			w.opens(b, late[i], fmt.Sprint([]string{"before ", "behind "}[i%2], i/2))
			_, err := w.open(b, late[i])
			if err == nil {
				t.Error("it opens again")
			}
		}
		w.later(DefaultSkipped + time.Second)
		if _, err := w.open(b, late[1]); err == nil {
			t.Error("it opens after its time")
		}
		w.must(b.Maintain(t.Context()))
		if n := w.count("skipped", "local = 'billing'"); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		w.opens(b, w.seal(a, "billing", "last"), "last")
	})
}

// TestSkippedPerSession: however many chains a peer leaves behind, the keys that are kept of
// a session are bounded, and the newest stay.
func TestSkippedPerSession(t *testing.T) {
	w := quick(t)
	a, b := w.service("orders"), w.service("billing")
	w.opens(b, w.seal(a, "billing", "first"), "first")
	w.opens(a, w.seal(b, "orders", "back"), "back")
	var last *bus.Message
	for i := range 7 {
		w.change(func(ctx context.Context, tx *sql.Tx) error { // a chain of which nothing is sent
			s, err := a.core.currentSession(ctx, w.db.Bind(tx), "billing", 0)
			if err != nil {
				return err
			}
			_, n := s.state.SendIndex()
			if s.state, err = s.state.Burn(n + 1900); err != nil {
				return err
			}
			return a.core.saveSession(ctx, w.db.Bind(tx), s, false)
		})
		last = w.seal(a, "billing", "last")
		w.later(time.Second)
		w.opens(b, w.seal(a, "billing", fmt.Sprint(i)), fmt.Sprint(i))
		w.opens(a, w.seal(b, "orders", "back"), "back")
	}
	if n := w.count("skipped", "local = 'billing'"); n > sessionSkipped+2*ratchet.MaxSkipped || n < sessionSkipped/2 {
		t.Errorf("%d keys are kept", n)
	}
	w.opens(b, last, "last")
}
