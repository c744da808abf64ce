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

// ids are those of deliveries.
func ids(ds []*bus.Delivery) (out []string) {
	for _, d := range ds {
		out = append(out, d.ID)
	}
	return out
}

var errNo = errors.New("no")

// batchRound has n messages, put while the handler is busy with the first, handled by
// what h returns for the others. It returns what happened.
func batchRound(t *testing.T, n, batch int, h func(ds []*bus.Delivery) (int, error)) (log []string) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRunner(bus.Subscription{Batch: batch, RetryMin: time.Second}, func(_ context.Context, ds []*bus.Delivery) (int, error) {
			log = append(log, fmt.Sprint(ids(ds)))
			if ds[0].ID == "1" {
				time.Sleep(time.Millisecond)
				return 1, nil
			}
			return h(ds)
		})
		s, l := NewSource(t.Context()), NewLane(r)
		l.Put(item(s, "1", &log))
		synctest.Wait()
		for i := range n - 1 {
			l.Put(item(s, fmt.Sprint(i+2), &log))
		}
		l.Close()
		l.Wait()
		s.End()
	})
	return log
}

func want(t *testing.T, got []string, want string) {
	t.Helper()
	if fmt.Sprint(got) != "["+want+"]" {
		t.Errorf("got  %v\nwant [%s]", got, want)
	}
}

// TestBatch: what waits is handed over at once, up to the limit, and nobody waits for
// more.
func TestBatch(t *testing.T) {
	all := func(ds []*bus.Delivery) (int, error) { return len(ds), nil }
	want(t, batchRound(t, 6, 3, all), "[1] ack 1 left 1 [2 3 4] ack 2 left 2 ack 3 left 3 ack 4 left 4 [5 6] ack 5 left 5 ack 6 left 6")
	want(t, batchRound(t, 3, 0, all), "[1] ack 1 left 1 [2] ack 2 left 2 [3] ack 3 left 3")
}

// TestBatchIsPartlyDone: those that are done are acknowledged, the others come again
// together; nothing done is a failure.
func TestBatchIsPartlyDone(t *testing.T) {
	two := func(ds []*bus.Delivery) (int, error) { return min(2, len(ds)), nil }
	want(t, batchRound(t, 5, 9, two), "[1] ack 1 left 1 [2 3 4 5] ack 2 left 2 ack 3 left 3 [4 5] ack 4 left 4 ack 5 left 5")
	idle := true
	want(t, batchRound(t, 3, 9, func(ds []*bus.Delivery) (int, error) {
		if idle {
			idle = false
			return 0, nil
		}
		return 1, nil
	}), "[1] ack 1 left 1 [2 3] [2] ack 2 left 2 [3] ack 3 left 3")
}

// TestBatchFails: each of its messages comes again alone, as if for the first time,
// and the next batches are smaller.
func TestBatchFails(t *testing.T) {
	log := batchRound(t, 10, 4, func(ds []*bus.Delivery) (int, error) {
		for _, d := range ds {
			if d.ID == "3" && (len(ds) > 1 || d.Attempt == 1) {
				return 0, errNo
			}
		}
		return len(ds), nil
	})
	want(t, log, "[1] ack 1 left 1 [2 3 4 5] [2] ack 2 left 2 [3] [3] ack 3 left 3 [4] ack 4 left 4 [5] ack 5 left 5 "+
		"[6 7] ack 6 left 6 ack 7 left 7 [8 9 10] ack 8 left 8 ack 9 left 9 ack 10 left 10")
	// What is done before the failure is not handled again.
	log = batchRound(t, 4, 4, func(ds []*bus.Delivery) (int, error) {
		if len(ds) > 1 {
			return 1, errNo
		}
		return 1, nil
	})
	want(t, log, "[1] ack 1 left 1 [2 3 4] ack 2 left 2 [3] ack 3 left 3 [4] ack 4 left 4")
}

// TestBatchOfSeveralSources: the context of a batch ends with each of its sources, whose
// End waits for it; the messages of the others come again.
func TestBatchOfSeveralSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		var noticed atomic.Bool
		r := NewRunner(bus.Subscription{Batch: 9}, func(ctx context.Context, ds []*bus.Delivery) (int, error) {
			log = append(log, fmt.Sprint(ids(ds)))
			if len(ds) == 1 {
				time.Sleep(time.Millisecond)
				return 1, nil
			}
			<-ctx.Done()
			time.Sleep(time.Second)
			noticed.Store(true)
			return 0, ctx.Err()
		})
		a, b, l := NewSource(t.Context()), NewSource(t.Context()), NewLane(r)
		l.Put(item(a, "1", &log))
		synctest.Wait()
		for n, s := range []*Source{a, b, a, b} {
			l.Put(item(s, fmt.Sprint(n+2), &log))
		}
		time.Sleep(time.Minute)
		b.End()
		if !noticed.Load() {
			t.Error("End returned while a batch with messages of the source was being handled")
		}
		time.Sleep(time.Minute)
		// Of a source that has ended nothing is handed over.
		l.Put(item(a, "6", &log))
		synctest.Wait()
		for n, s := range []*Source{a, b, a} {
			l.Put(item(s, fmt.Sprint(n+7), &log))
		}
		l.Close()
		l.Wait()
		a.End()
		want(t, log, "[1] ack 1 left 1 [2 3 4 5] [2] ack 2 left 2 left 3 [4] ack 4 left 4 left 5 [6] ack 6 left 6 [7] ack 7 left 7 left 8 [9] ack 9 left 9")
	})
}

// TestBatchRemovedAckOrder: a demonstration acknowledges a batch before it is handled.
func TestBatchRemovedAckOrder(t *testing.T) {
	safeguard.Remove(safeguard.AckOrder)
	defer safeguard.Restore()
	want(t, batchRound(t, 3, 3, func(ds []*bus.Delivery) (int, error) { return len(ds), nil }),
		"early 1 [1] left 1 early 2 early 3 [2 3] left 2 left 3")
}
