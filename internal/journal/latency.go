package journal

import (
	"sync/atomic"
	"time"
)

// Latency counts how long writes took, by bounds that double: the first is
// LatencyBound(0), and what is above the last one is in the total only.
type Latency struct {
	sum    atomic.Int64 // nanoseconds
	counts [LatencyBounds + 1]atomic.Uint64
}

// LatencyBounds is how many bounds a Latency has: up to 6.5 s.
const LatencyBounds = 17

// LatencyBound is the upper bound (inclusive) of the i-th count, from 100 µs.
func LatencyBound(i int) time.Duration { return 100 * time.Microsecond << i }

func (l *Latency) observe(took time.Duration) {
	i := 0
	for i < LatencyBounds && took > LatencyBound(i) {
		i++
	}
	l.counts[i].Add(1)
	l.sum.Add(int64(took))
}

// AddTo adds what was counted to sum and counts; the last count is of what is
// above all bounds.
func (l *Latency) AddTo(sum *time.Duration, counts *[LatencyBounds + 1]uint64) {
	for i := range l.counts {
		counts[i] += l.counts[i].Load()
	}
	*sum += time.Duration(l.sum.Load())
}
