//go:build killpoints

package inbox_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// TestEveryPointFails: an error at each point, before and after, leaves one effect
// per message once they were sent again, as the broker does, one by one or several at
// once.
func TestEveryPointFails(t *testing.T) {
	points := []killpoint.Point{killpoint.InboxInsert, killpoint.Effect, killpoint.HandlerCommit, killpoint.Park, killpoint.DeadLetter, killpoint.Replay}
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		for _, p := range points {
			for _, phase := range []killpoint.Phase{killpoint.Before, killpoint.After} {
				for nth := range 3 {
					for name, batch := range map[string]bool{"singly": false, "together": true} {
						t.Run(fmt.Sprint(p, phase, nth+1, name), func(t *testing.T) { killRound(t, d.Dialect, p, phase, nth+1, batch) })
					}
				}
			}
		}
	})
}

func killRound(t *testing.T, dialect string, p killpoint.Point, phase killpoint.Phase, nth int, batch bool) {
	defer killpoint.Disarm()
	l := newLab(t, sqltest.New(t, dialect))
	ill := true
	in := l.inbox(func(m *bus.Delivery) error {
		if ill && m.ID == "1" {
			return errBoom
		}
		return nil
	}, inbox.MaxAttempts(2))
	hits := killpoint.Hits(p, phase)
	killpoint.Arm(p, phase, nth, killpoint.Error)
	send := func(ds ...*bus.Delivery) {
		if batch {
			l.batch(in, ds...)
			return
		}
		for _, d := range ds {
			for tries := 0; in.Process(t.Context(), d) != nil; tries++ {
				if tries == 5 {
					t.Fatal("it is never acknowledged")
				}
			}
		}
	}
	again := func(f func() error) {
		for range 5 {
			if err := f(); err == nil {
				return
			} else if !errors.Is(err, killpoint.ErrHit) {
				t.Fatal(err)
			}
		}
		t.Fatal("it fails for ever")
	}
	due := func() error { _, err := in.RetryDue(t.Context()); return err }
	send(seq("1", "k", 1))
	send(seq("2", "k", 2), msg("x", ""), msg("y", "l"))
	for range 3 { // the dead letter
		l.pass(time.Minute)
		again(due)
	}
	ill = false
	again(func() error {
		_, err := inbox.ReplayDeadLetters(t.Context(), l.db, inbox.Filter{}, inbox.ReplayOptions{})
		return err
	})
	send(seq("3", "k", 3), msg("z", "l"), msg("x", ""))
	for range 3 {
		l.pass(time.Minute)
		again(due)
	}
	got := l.ledger() // each key in its order
	order := map[string]int{"1": 0, "2": 1, "3": 2, "x": 3, "y": 4, "z": 5}
	slices.SortStableFunc(got, func(a, b string) int { return order[a]/3 - order[b]/3 })
	if slices.Sort(got[min(3, len(got)):]); fmt.Sprint(got) != "[1 2 3 x y z]" {
		t.Fatal(got)
	}
	l.wantStates()
	if nth == 1 && killpoint.Hits(p, phase) == hits {
		t.Error("the point was not passed")
	}
}
