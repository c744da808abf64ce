package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ticker prints a line of progress every second until it is stopped.
type ticker struct {
	quit chan struct{}
	wg   sync.WaitGroup
}

// startProgress begins to print what the run does.
func (r *benchRun) startProgress() *ticker {
	return startTicker(r.progress, int64(r.flags.size), r.sample)
}

// startTicker begins to print to w what changes between two samples of a run
// whose records have size bytes.
func startTicker(w io.Writer, size int64, take func() sample) *ticker {
	t := &ticker{quit: make(chan struct{})}
	t.wg.Go(func() {
		clock := time.NewTicker(time.Second)
		defer clock.Stop()
		before := take()
		first := before
		for {
			select {
			case <-t.quit:
				return
			case <-clock.C:
			}
			now := take()
			fmt.Fprintln(w, now.line(first, before, size))
			before = now
		}
	})
	return t
}

func (t *ticker) stop() {
	close(t.quit)
	t.wg.Wait()
}

// sample is the state of the counters at one moment.
type sample struct {
	at            time.Duration // since the run's base
	acked, failed int64
	received      int64 // by all passes
	latency       *counts
}

func (r *benchRun) sample() sample {
	s := sample{at: r.now(), latency: r.latency()}
	s.acked, s.failed = r.acked()
	for _, p := range []*benchPass{r.live, r.after} {
		if p != nil {
			s.received += p.received.Load()
		}
	}
	return s
}

// line tells what happened between two samples.
func (s sample) line(first, before sample, size int64) string {
	seconds := (s.at - before.at).Seconds()
	parts := []string{fmt.Sprintf("%4.0f s", (s.at - first.at).Seconds())}
	if made := s.acked - before.acked; made > 0 || s.received == before.received {
		window := s.latency.since(before.latency)
		parts = append(parts, fmt.Sprintf("produced %s/s  %.1f MB/s  p50 %s  p99 %s  max %s",
			groupDigits(int64(float64(made)/seconds)), float64(made*size)/seconds/1e6,
			shortDuration(window.quantile(0.5)), shortDuration(window.quantile(0.99)), shortDuration(time.Duration(window.max))))
	}
	if read := s.received - before.received; read > 0 {
		parts = append(parts, fmt.Sprintf("read %s/s", groupDigits(int64(float64(read)/seconds))))
	}
	if s.failed > 0 {
		parts = append(parts, fmt.Sprintf("failed %s", groupDigits(s.failed)))
	}
	return strings.Join(parts, "  ")
}
