//go:build killpoints

package saga_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/waxtest"
)

// TestKillPoints: an error at each point of a saga, before and after its step, some
// passings into the run, changes nothing about how the sagas end.
func TestKillPoints(t *testing.T) {
	for _, p := range []killpoint.Point{killpoint.SagaTransition, killpoint.SagaCommand, killpoint.SagaTimer, killpoint.SagaCompensate, killpoint.Barrier, killpoint.HandlerCommit} {
		for _, ph := range []killpoint.Phase{killpoint.Before, killpoint.After} {
			t.Run(fmt.Sprintf("%s-%s", p, ph), func(t *testing.T) {
				defer killpoint.Disarm()
				w := newWorld(t, "sqlite", 7)
				w.odds = 10
				w.start(6)
				w.collect()
				for n := range 12 {
					killpoint.Arm(p, ph, n%3+1, killpoint.Error)
					for range 25 {
						w.stumble()
					}
				}
				killpoint.Disarm()
				if killpoint.Hits(p, ph) < 12 {
					t.Fatalf("only %d hits", killpoint.Hits(p, ph))
				}
				w.finish()
				if wrong, _ := w.judge(); len(wrong) > 0 {
					t.Fatal(waxtest.Report(wrong))
				}
			})
		}
	}
}

// stumble is step where anything may fail: what was not acknowledged comes again.
func (w *world) stumble() {
	w.collect()
	if len(w.flight) == 0 || w.rnd.IntN(10) == 0 {
		w.clock.now = w.clock.now.Add(150 * time.Millisecond)
		w.press()
		if _, err := w.eng.FireTimers(w.t.Context()); err != nil && !errors.Is(err, killpoint.ErrHit) {
			w.t.Fatal(err)
		}
		return
	}
	i := w.rnd.IntN(len(w.flight))
	m := w.flight[i]
	if err := w.peers[m.Topic].ib.Process(w.t.Context(), &bus.Delivery{Message: m}); err == nil {
		w.flight = slices.Delete(w.flight, i, i+1)
	} else if !errors.Is(err, killpoint.ErrHit) {
		w.t.Fatal(err)
	}
}
