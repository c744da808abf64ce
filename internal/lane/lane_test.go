package lane

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
)

// item is an item that notes what happens to it.
func item(from *Source, id string, log *[]string) *Item {
	note := func(what string) func() { return func() { *log = append(*log, what+" "+id) } }
	return &Item{Delivery: bus.Delivery{Message: bus.Message{ID: id}}, From: from,
		Ack: note("ack"), AckEarly: note("early"), Left: note("left")}
}

func TestPauseDoubles(t *testing.T) {
	for _, c := range []struct {
		nth         int
		least, most time.Duration
	}{{1, 100, 100}, {2, 100, 200}, {3, 200, 400}, {6, 1500, 3000}, {7, 1500, 3000}, {500, 1500, 3000}} {
		for range 100 {
			if d := Backoff(100, 3000, c.nth); d < c.least || d > c.most {
				t.Fatalf("pause %d is %d, not from %d to %d", c.nth, d, c.least, c.most)
			}
		}
	}
}

func TestLaneRetriesInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		r := NewRunner(bus.Subscription{RetryMin: time.Second, RetryMax: time.Minute}, bus.Each(func(_ context.Context, d *bus.Delivery) error {
			log = append(log, fmt.Sprint("handle ", d.ID, " ", d.Attempt))
			if d.ID == "1" && d.Attempt < 3 {
				return errors.New("no")
			}
			return nil
		}))
		s, l := NewSource(t.Context()), NewLane(r)
		l.Put(item(s, "1", &log))
		l.Put(item(s, "2", &log))
		start := time.Now()
		l.Close()
		l.Wait()
		if d := time.Since(start); d < 2*time.Second || d > 3*time.Second {
			t.Errorf("two pauses took %v", d)
		}
		want := "[handle 1 1 handle 1 2 handle 1 3 ack 1 left 1 handle 2 1 ack 2 left 2]"
		if got := fmt.Sprint(log); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

func TestEndWaitsAndDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		var handled atomic.Bool
		r := NewRunner(bus.Subscription{}, bus.Each(func(ctx context.Context, d *bus.Delivery) error {
			<-ctx.Done()
			time.Sleep(time.Second) // it needs a while to notice
			handled.Store(true)
			log = append(log, "handled "+d.ID)
			return nil
		}))
		s, other, l := NewSource(t.Context()), NewSource(t.Context()), NewLane(r)
		l.Put(item(s, "1", &log))
		l.Put(item(s, "2", &log))
		synctest.Wait()
		other.End() // of which nothing runs
		s.End()
		if !handled.Load() {
			t.Error("End returned while a handler ran")
		}
		l.Close()
		l.Wait()
		if got := fmt.Sprint(log); got != "[handled 1 ack 1 left 1 left 2]" {
			t.Error(got)
		}
	})
}

func TestRemovedAckOrder(t *testing.T) {
	safeguard.Remove(safeguard.AckOrder)
	defer safeguard.Restore()
	var log []string
	r := NewRunner(bus.Subscription{}, bus.Each(func(_ context.Context, d *bus.Delivery) error { log = append(log, "handled"); return nil }))
	l := NewLane(r)
	l.Put(item(NewSource(t.Context()), "1", &log))
	l.Close()
	l.Wait()
	if got := fmt.Sprint(log); got != "[early 1 handled left 1]" {
		t.Error(got)
	}
}
