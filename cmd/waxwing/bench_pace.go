package main

import (
	"context"
	"time"
)

// pacer spaces a producer's records. They are due in ticks: the records of one
// tick at its start, so that the schedule costs one timer per tick, not one per
// record.
type pacer struct {
	perSecond float64 // 0: no schedule
	base      time.Time
	start     time.Duration // when the first record is due, since base
}

// paceTick is the shortest time between two wake-ups.
const paceTick = 250 * time.Microsecond

// free reports whether there is no schedule.
func (p *pacer) free() bool { return p.perSecond == 0 }

// due is when record n is to be sent, since the base.
func (p *pacer) due(n uint64) time.Duration {
	even := time.Duration(float64(n) / p.perSecond * float64(time.Second))
	return p.start + even.Truncate(paceTick)
}

// wait returns when record n is due, and not before, unless ctx ends. Without a
// schedule it returns 0 at once.
func (p *pacer) wait(ctx context.Context, n uint64) time.Duration {
	if p.free() {
		return 0
	}
	due := p.due(n)
	for {
		left := due - time.Since(p.base)
		if left <= 0 || ctx.Err() != nil {
			return due
		}
		preciseSleep(min(left, 100*time.Millisecond))
	}
}
