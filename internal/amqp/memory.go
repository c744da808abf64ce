package amqp

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// MemoryAlarm returns a function for Config.MemoryShort: memory is short once
// what the program holds is more than four fifths of limit bytes, until it is
// less than seven tenths. A limit of math.MaxInt64, which is what GOMEMLIMIT is
// without being set, is none. The function may be called from any goroutine.
func MemoryAlarm(limit int64) func() bool {
	if limit <= 0 || limit == math.MaxInt64 {
		return func() bool { return false }
	}
	a := &memoryAlarm{on: limit / 5 * 4, off: limit / 10 * 7, held: heldBytes, collect: runtime.GC}
	return func() bool { return a.short(time.Now()) }
}

// memoryAlarm compares what is held with a limit, now and then.
type memoryAlarm struct {
	on, off int64 // bytes
	held    func() int64
	collect func() // makes held new

	mu        sync.Mutex
	active    bool
	looked    time.Time
	collected time.Time
}

const (
	// memoryLook is how often the memory is looked at.
	memoryLook = 100 * time.Millisecond
	// memoryCollect is how often garbage is collected while memory is short:
	// only then is it known what is still held.
	memoryCollect = time.Second
)

func (a *memoryAlarm) short(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.looked) < memoryLook {
		return a.active
	}
	a.looked = now
	if a.active && now.Sub(a.collected) >= memoryCollect {
		a.collected = now
		a.collect()
	}
	held := a.held()
	a.active = held > a.on || a.active && held >= a.off
	return a.active
}

// heldBytes is what the last collection of garbage found to be in use.
func heldBytes() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int64(min(sample[0].Value.Uint64(), math.MaxInt64))
}
