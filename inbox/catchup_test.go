package inbox

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// TestCatchUp: nothing is removed until the consumer has seen what is new, or has
// run for as long as anything may come again.
func TestCatchUp(t *testing.T) {
	o := defaults()
	start := time.Unix(1_800_000_000, 0)
	at := func(d time.Duration) int64 { return start.Add(d).UnixMicro() }
	var c catchUp
	c.begin(at(0))
	sees := func(d time.Duration) { c.saw(&bus.Delivery{Message: bus.Message{Time: start.Add(d)}}) }
	for _, step := range []struct {
		see  time.Duration // when what comes was made
		now  time.Duration
		want bool
	}{
		{-time.Hour, 9 * time.Minute, false},
		{-time.Hour, 11 * time.Minute, false},
		{-time.Hour, 23 * time.Hour, false},
		{-time.Hour, 24 * time.Hour, true},
		{time.Second, 9 * time.Minute, false},
		{-time.Minute, 11 * time.Minute, true},
	} {
		sees(step.see)
		if got := c.done(at(step.now), &o); got != step.want {
			t.Errorf("after %v, having seen %v: %v", step.now, step.see, got)
		}
	}
	c.saw(&bus.Delivery{}) // says nothing
}
