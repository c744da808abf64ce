package journal

import (
	"testing"
	"time"
)

// TestLatency: a time counts below the first bound that is not smaller.
func TestLatency(t *testing.T) {
	var l Latency
	last := LatencyBound(LatencyBounds - 1)
	for _, took := range []time.Duration{0, LatencyBound(0), LatencyBound(0) + 1, LatencyBound(3), last, last + 1, time.Hour} {
		l.observe(took)
	}
	sum := time.Minute
	counts := [LatencyBounds + 1]uint64{0: 10}
	l.AddTo(&sum, &counts)
	want := [LatencyBounds + 1]uint64{0: 12, 1: 1, 3: 1, LatencyBounds - 1: 1, LatencyBounds: 2}
	if counts != want {
		t.Errorf("got %v", counts)
	}
	if want := time.Minute + time.Hour + 2*LatencyBound(0) + LatencyBound(3) + 2*last + 2; sum != want {
		t.Errorf("the sum is %v, want %v", sum, want)
	}
}
