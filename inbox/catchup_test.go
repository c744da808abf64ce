package inbox

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// TestCatchUp: nothing is removed until the consumer has seen what is new everywhere
// where messages come from, or has run for as long as anything may come again.
func TestCatchUp(t *testing.T) {
	const h, m = time.Hour, time.Minute
	type step struct {
		from int           // the partition; -1 is a queue
		see  time.Duration // when what comes was made, after the start
		now  time.Duration // when it comes
		want bool
	}
	for name, steps := range map[string][]step{
		"one partition": {
			{0, -h, 9 * m, false}, {0, -h, 11 * m, false}, {0, -h, 23 * h, false}, {0, -h, 24 * h, true},
		},
		"one partition that gets on": {
			{0, time.Second, 9 * m, false}, {0, -m, 11 * m, true},
		},
		"another partition is behind": {
			{0, 5 * m, 5 * m, false}, {1, -h, 11 * m, false}, {0, 12 * m, 12 * m, false}, {1, -h, 15 * m, false},
			{1, m, 16 * m, true}, {1, -h, 17 * m, true},
		},
		"another partition comes later": {
			{0, 11 * m, 11 * m, true}, {1, -h, 12 * m, false},
		},
		"another partition had something old, and then nothing": {
			{1, -h, m, false}, {0, 10 * m, 10 * m, false}, {0, 11 * m, 11 * m, true},
		},
		"a queue is behind a partition, and then quiet": {
			{-1, -h, 11 * m, false}, {0, 12 * m, 12 * m, false}, {0, 22 * m, 22 * m, true},
		},
		"nothing but what is old, and then nothing": {
			{0, -h, m, false}, {0, -h, 2 * m, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := defaults()
			start := time.Unix(1_800_000_000, 0)
			at := func(d time.Duration) int64 { return start.Add(d).UnixMicro() }
			var c catchUp
			c.begin(at(0))
			for _, s := range steps {
				d := &bus.Delivery{Message: bus.Message{Time: start.Add(s.see)}}
				if s.from >= 0 {
					d.Position = &bus.Position{Topic: "orders", Partition: int32(s.from)}
				}
				c.saw(d, "order.*", at(s.now))
				if got := c.done(at(s.now), &o); got != s.want {
					t.Errorf("after %v, having seen %v of %d: %v", s.now, s.see, s.from, got)
				}
			}
			c.saw(&bus.Delivery{}, "order.*", at(0)) // says nothing
		})
	}
	var c catchUp
	c.begin(time.Hour.Microseconds())
	o := defaults()
	if c.saw(&bus.Delivery{Message: bus.Message{Time: time.UnixMicro(1)}}, "orders", 0); c.done((20 * time.Hour).Microseconds(), &o) {
		t.Error("a consumer that is sent nothing more is taken to have caught up")
	}
}
