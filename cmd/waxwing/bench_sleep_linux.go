package main

import (
	"syscall"
	"time"
)

// preciseSleep sleeps for d, or a little less. The runtime's timers round up to
// a whole millisecond while the process is idle, so short sleeps are a system
// call of their own, good to some 60 µs.
func preciseSleep(d time.Duration) {
	const coarse = 2 * time.Millisecond
	if d > coarse {
		time.Sleep(d - coarse)
		return
	}
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // a signal only makes it shorter
}
