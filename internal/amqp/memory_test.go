package amqp

import (
	"math"
	"runtime"
	"testing"
	"time"
)

// TestMemoryAlarmLevels: the alarm begins above four fifths and ends below seven
// tenths; while it lasts, garbage is collected, since nothing else might.
func TestMemoryAlarmLevels(t *testing.T) {
	held, collections := int64(0), 0
	a := &memoryAlarm{on: 80, off: 70, held: func() int64 { return held }, collect: func() { collections++ }}
	now := time.Unix(1, 0)
	for i, c := range []struct {
		held  int64
		after time.Duration
		want  bool
	}{
		{80, time.Second, false},
		{81, time.Second, true},
		{75, time.Second, true},
		{70, time.Second, true},
		{0, memoryLook / 2, true}, // not looked at again so soon
		{69, time.Second, false},
		{75, time.Second, false},
	} {
		held, now = c.held, now.Add(c.after)
		if got := a.short(now); got != c.want {
			t.Errorf("step %d: %d held: %v", i, c.held, got)
		}
	}
	if collections != 3 {
		t.Errorf("%d collections, want 3", collections)
	}
	runtime.GC()
	if !MemoryAlarm(1)() || MemoryAlarm(math.MaxInt64)() || MemoryAlarm(1<<50)() {
		t.Error("what this program holds is not what the alarm thinks")
	}
}
