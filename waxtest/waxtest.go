// Package waxtest tests consumers and producers of events: it makes happen what
// happens in production (duplicates, reordering, crashes at every step, zombies)
// and checks that each effect still happened once.
//
// The nine checks are functions of what was recorded, see EachEffectOnce and those
// after it. Duplicates, Reordered, Zombies and Crashes run a consumer through the
// faults. Broker runs a broker in the test. With the build tag "killpoints", Arm
// makes the SDK itself fail at a named place.
package waxtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing"
)

// Broker starts a broker in memory, for Kafka and AMQP clients, until the test
// ends.
func Broker(t testing.TB, opts ...waxwing.Option) *waxwing.Broker {
	t.Helper()
	b, err := waxwing.Start(t.Context(), append([]waxwing.Option{waxwing.InMemory()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error("waxtest: the broker does not stop: ", err)
		}
	})
	return b
}

// A Clock stands still until it is told to advance. It can be used by several
// goroutines. Its Now is what options of the SDK take as a clock.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock is a clock that shows a time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
