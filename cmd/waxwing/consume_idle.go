package main

import (
	"context"
	"time"
)

// idleTimer decides when `consume --exit-when-idle` has waited long enough.
// Joining a group is not idling: the wait counts from the moment when the group
// gave out its partitions, or from when it should have.
type idleTimer struct {
	limit    time.Duration // 0: never over
	assigned <-chan struct{}
	patience time.Time // when to stop waiting for assigned
	since    time.Time // zero: the wait has not begun
}

func (c *consume) newIdleTimer(s *session, assigned <-chan struct{}) *idleTimer {
	return &idleTimer{limit: c.idle, assigned: assigned, patience: time.Now().Add(s.timeout)}
}

// begin starts the wait if the partitions are there.
func (t *idleTimer) begin() {
	select {
	case <-t.assigned:
		t.since = time.Now()
	default:
		if time.Now().After(t.patience) {
			t.since = time.Now()
		}
	}
}

// context bounds one poll by what is left of the wait.
func (t *idleTimer) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.limit == 0 {
		return context.WithCancel(ctx)
	}
	if t.since.IsZero() {
		t.begin()
	}
	if t.since.IsZero() {
		return context.WithTimeout(ctx, min(t.limit, 50*time.Millisecond))
	}
	return context.WithDeadline(ctx, t.since.Add(t.limit))
}

// over notes how many records a poll gave and reports whether the wait is over.
func (t *idleTimer) over(records int) bool {
	if t.limit == 0 {
		return false
	}
	if records > 0 {
		t.since = time.Now()
		return false
	}
	return !t.since.IsZero() && time.Since(t.since) >= t.limit
}
