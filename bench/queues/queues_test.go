package main

import (
	"testing"
	"time"
)

// TestQueues is the measurements with few messages.
func TestQueues(t *testing.T) {
	opt := options{messages: 20_000, queues: 100, value: 100, gb: 0.1, kind: "classic", wait: time.Second, dir: t.TempDir(), fileSize: 8 << 20}
	report := func(format string, args ...any) { t.Logf(format, args...) }
	if met, err := backlog(t.Context(), opt, report); err != nil || !met {
		t.Errorf("backlog: met %t, %v", met, err)
	}
	if _, err := head(t.Context(), opt, report); err != nil {
		t.Errorf("head: %v", err)
	}
}
