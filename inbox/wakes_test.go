package inbox_test

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/inbox"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// A bell counts how often it is rung.
type bell struct{ rung int }

func (b *bell) Wake() { b.rung++ }

// TestWakes: what Wakes names is woken after each message that was handled, also one
// that was put aside before, and after no other.
func TestWakes(t *testing.T) {
	l, b, ill := newLab(t, sqltest.New(t, "sqlite")), &bell{}, true
	in := l.inbox(func(m *bus.Delivery) error {
		if m.ID == "a1" && ill {
			return errBoom
		}
		return nil
	}, inbox.Wakes(b))
	check := func(what string, want int) {
		t.Helper()
		if b.rung != want {
			t.Errorf("after %s it was woken %d times, want %d", what, b.rung, want)
		}
	}
	l.process(in, msg("b1", "b"))
	check("a message", 1)
	l.process(in, msg("b1", "b"))
	check("a duplicate", 1)
	l.process(in, msg("a1", "a"), msg("a2", "a"))
	check("one that fails, and one behind it", 1)
	ill = false
	l.pass(time.Minute)
	l.retry(in)
	check("both, when they were tried again", 3)
}
