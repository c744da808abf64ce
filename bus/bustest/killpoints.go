//go:build killpoints

package bustest

import (
	"context"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/killpoint"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
)

// KillPoints runs the cases that need a build with kill points.
func KillPoints(t *testing.T, p Peer) {
	for _, c := range []struct {
		name  string
		point killpoint.Point
		phase killpoint.Phase
		again bool // the message comes again to be handled
	}{
		{"before delivery", killpoint.Delivery, killpoint.Before, false},
		{"after delivery", killpoint.Delivery, killpoint.After, true},
		{"before ack", killpoint.Ack, killpoint.Before, true},
		{"after ack", killpoint.Ack, killpoint.After, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer killpoint.Disarm()
			b, at := p.open(t), topic(t)
			publish(t, b, numbered(at, 1, 5)...)
			killpoint.Arm(c.point, c.phase, 1, killpoint.Error)
			got := newSeen()
			stop := subscribe(t, b, one(at, 2), func(_ context.Context, d *bus.Delivery) error { got.add(d); return nil })
			got.awaitIDs(t, 5)
			if c.again {
				got.await(t, "one again", func(all []bus.Delivery) bool { return len(all) > 5 })
			}
			time.Sleep(500 * time.Millisecond) // for what should not come, and a commit
			stop()
			all := got.snapshot()
			inOrder(t, all)
			if !c.again && len(all) != 5 {
				t.Errorf("%d deliveries of 5 messages", len(all))
			}
			if killpoint.Hits(c.point, c.phase) == 0 {
				t.Error("the point was not passed")
			}
			rest := newSeen()
			publish(t, b, bus.Message{Topic: at, Key: "key-0", ID: "6"})
			subscribe(t, b, one(at, 1), func(_ context.Context, d *bus.Delivery) error { rest.add(d); return nil })
			if all := rest.awaitIDs(t, 1); all[0].ID != "6" {
				t.Errorf("message %s comes again later", all[0].ID)
			}
		})
	}
	t.Run("ack order removed", func(t *testing.T) { ackOrder(t, p) })
}

// ackOrder: without the safeguard a message is lost with its handler.
func ackOrder(t *testing.T, p Peer) {
	safeguard.Remove(safeguard.AckOrder)
	defer safeguard.Restore()
	b, at := p.open(t), topic(t)
	publish(t, b, numbered(at, 1, 1)...)
	got := newSeen()
	stop := subscribe(t, b, one(at, 1), func(ctx context.Context, d *bus.Delivery) error {
		got.add(d)
		<-ctx.Done()
		return ctx.Err()
	})
	got.awaitIDs(t, 1)
	stop()
	publish(t, b, bus.Message{Topic: at, Key: "key-0", ID: "2"})
	rest := newSeen()
	subscribe(t, b, one(at, 1), func(_ context.Context, d *bus.Delivery) error { rest.add(d); return nil })
	if all := rest.awaitIDs(t, 1); all[0].ID != "2" {
		t.Errorf("message %s came again although it was acknowledged before", all[0].ID)
	}
}
