package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/safeguard"
	"github.com/waxwing-mq/waxwing/internal/sqltest"
)

// failing is a bus's answer in which the messages fail that bad says, and those of
// their keys behind them. A message that fails may be kept all the same.
func failing(msgs []bus.Message, bad func(i int) bool) error {
	e, keys, any := &bus.PublishError{Errs: make([]error, len(msgs))}, map[string]bool{}, false
	for i := range msgs {
		if keys[msgs[i].Key] || bad(i) {
			keys[msgs[i].Key], any = true, true
			e.Errs[i] = errors.New("refused")
		}
	}
	if any {
		return e
	}
	return nil
}

// TestFailures: what fails is sent again, in order; what did not fail is not.
func TestFailures(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		var calls atomic.Int64
		to.hook = func(_ context.Context, msgs []bus.Message) error {
			switch calls.Add(1) % 4 {
			case 1:
				return errors.New("the broker is down")
			case 2:
				return failing(msgs, func(i int) bool { return i%7 == 3 })
			}
			return nil
		}
		start(t, NewRelay(o, to, BatchSize(10), Backoff(time.Millisecond, 10*time.Millisecond), quiet))
		writers(t, o, db, pool, 4, 50, 20)
		msgs := to.wait(t, 200)
		empty(t, pool)
		if n := checkOrder(t, msgs); n != 200 || len(msgs) != 200 {
			t.Errorf("%d messages, %d different ones", len(msgs), n)
		}
	})
}

// TestPoison: a message that the broker never takes holds back its key only, shows
// in the list and the metrics, and can be dropped.
func TestPoison(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		o, to := New(db), &recorder{}
		to.hook = func(_ context.Context, msgs []bus.Message) error {
			return failing(msgs, func(i int) bool { return msgs[i].Type == "poison" })
		}
		r := NewRelay(o, to, BatchSize(10), Backoff(5*time.Millisecond, 50*time.Millisecond), quiet)
		start(t, r)
		publish(t, o, Event{Topic: "t", Key: "bad", Type: "poison", ID: "poison"})
		for i := range 40 { // more than a batch, behind the poison and in its bucket too
			publish(t, o, Event{Topic: "t", Key: "bad", Data: i}, Event{Topic: "t", Key: fmt.Sprint("good", i), Data: i})
		}
		for _, m := range to.wait(t, 40) {
			if m.Key == "bad" {
				t.Fatal("a message overtook one of its key that failed")
			}
		}
		if testutil.ToFloat64(r.metrics.failures.WithLabelValues("publish")) == 0 {
			t.Error("failures are not counted")
		}
		var list []Entry
		for range 400 { // until the others are deleted
			var err error
			if list, err = o.List(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if len(list) == 1 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if len(list) != 1 || list[0].Message.ID != "poison" {
			t.Fatal(list)
		}
		for _, want := range []bool{true, false} {
			if ok, err := o.Drop(t.Context(), list[0].ID); err != nil || ok != want {
				t.Fatal(ok, err)
			}
		}
		to.wait(t, 80)
		empty(t, pool)
	})
}

// TestOrderSafeguard: without the order of ids, a key's order does not hold, and the
// check sees it.
func TestOrderSafeguard(t *testing.T) {
	db, pool := sqltest.Open(t, sqltest.New(t, "postgres"))
	safeguard.Remove(safeguard.Order)
	defer safeguard.Restore()
	o, to := New(db), &recorder{}
	for v := range 10 {
		publish(t, o, Event{Topic: "t", Key: "k", Data: v})
	}
	stop := start(t, NewRelay(o, to, BatchSize(3)))
	to.wait(t, 10)
	empty(t, pool)
	stop()
	if to.all()[0].Key != "k" || string(to.all()[0].Body) == "0" {
		t.Error("messages are in order all the same")
	}
}

// TestMetrics: the collector's metrics are those that its documentation lists, and
// its queries work in each database.
func TestMetrics(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		db, pool := sqltest.Open(t, d)
		at := time.UnixMicro(1_700_000_000_000_000)
		o, to := New(db, Clock(func() time.Time { return at })), &recorder{}
		publish(t, o, Event{Topic: "t", Key: "a"}, Event{Topic: "t", Key: "b"})
		r := NewRelay(o, to, quiet)
		r.now = func() time.Time { return at.Add(time.Minute) }
		want := "# HELP waxwing_outbox_oldest_age_seconds Age of the oldest event that is not published, 0 if there is none.\n" +
			"# TYPE waxwing_outbox_oldest_age_seconds gauge\nwaxwing_outbox_oldest_age_seconds 60\n" +
			"# HELP waxwing_outbox_pending Events that are not published, counted up to 2000 in each bucket.\n" +
			"# TYPE waxwing_outbox_pending gauge\nwaxwing_outbox_pending 2\n"
		if err := testutil.CollectAndCompare(r.Collector(), strings.NewReader(want), "waxwing_outbox_oldest_age_seconds", "waxwing_outbox_pending"); err != nil {
			t.Error(err)
		}
		start(t, r)
		to.wait(t, 2)
		empty(t, pool)
		owners(t, o.store(), "a relay", func(by map[string]int) bool { return sum(by) == Buckets && len(r.keeper.all()) == Buckets })
		want = "# HELP waxwing_outbox_published_total Events that the broker acknowledged, those included that were sent again.\n" +
			"# TYPE waxwing_outbox_published_total counter\nwaxwing_outbox_published_total 2\n" +
			"# HELP waxwing_relay_lease_owned Buckets that this relay has.\n" +
			"# TYPE waxwing_relay_lease_owned gauge\nwaxwing_relay_lease_owned 16\n"
		if err := testutil.CollectAndCompare(r.Collector(), strings.NewReader(want), "waxwing_outbox_published_total", "waxwing_relay_lease_owned"); err != nil {
			t.Error(err)
		}
		if problems, err := testutil.CollectAndLint(r.Collector()); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	})
}
