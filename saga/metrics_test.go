package saga_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/internal/sqltest"
	"github.com/waxwing-mq/waxwing/saga"
)

// TestMetrics: what is under way, what is stuck, and what was done.
func TestMetrics(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, d sqltest.Database) {
		k, def := newDesk(t, d, saga.StuckAfter(time.Minute)), checkout(1)
		register(t, k, def)
		for _, id := range []string{"a", "b", "c"} {
			if err := start(k, def, id, order{}); err != nil {
				t.Fatal(err)
			}
		}
		k.look("a reserve action 1", "b reserve action 1", "c reserve action 1")
		k.answer("a reserve action 1", "rejected", nil)
		k.answer("a reserve action 1", "ok", nil)
		k.pass(10 * time.Second)
		k.look("b reserve compensate 1", "c reserve compensate 1")
		k.answer("b reserve compensate 1", "failed", nil)
		k.answer("c reserve compensate 1", "ok", nil)
		k.pass(time.Second)
		k.look("b reserve compensate 2")
		k.answer("b reserve compensate 2", "failed", nil)
		if err := start(k, def, "e", order{}); err != nil {
			t.Fatal(err)
		}
		k.clock.now = k.clock.now.Add(time.Hour) // e stands still
		want := []string{
			"waxwing_compensations_total failed 1",
			"waxwing_compensations_total ok 1",
			"waxwing_compensations_total stuck 1",
			"waxwing_saga_active checkout attention 1",
			"waxwing_saga_active checkout running 1",
			"waxwing_saga_ended_total checkout compensated 2",
			"waxwing_saga_replies_ignored_total ended 1",
			"waxwing_saga_stuck 2",
			"waxwing_saga_transitions_total checkout 11",
		}
		if got := gather(t, k.eng.Collector()); !slices.Equal(got, want) {
			t.Fatalf("%s", strings.Join(got, "\n"))
		}
	})
}

// gather are a collector's metrics: name, values of labels, value.
func gather(t *testing.T, c prometheus.Collector) (out []string) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			words := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				words = append(words, l.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			out = append(out, fmt.Sprintf("%s %g", strings.Join(words, " "), value))
		}
	}
	return out
}
