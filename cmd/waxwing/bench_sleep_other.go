//go:build !linux

package main

import "time"

// preciseSleep sleeps for d, as precisely as the runtime's timers do.
func preciseSleep(d time.Duration) { time.Sleep(d) }
