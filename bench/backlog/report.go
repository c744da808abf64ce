package main

import (
	"fmt"
	"time"
)

// result is what a run measured.
type result struct {
	Messages   int64 `json:"messages"`
	Partitions int   `json:"partitions"`

	Idle            memory    `json:"idle"`
	Empty           memory    `json:"empty_partitions"`
	FillSeconds     float64   `json:"fill_seconds"`
	Filled          memory    `json:"just_filled"`
	Backlog         memory    `json:"backlog"`
	StartMillis     float64   `json:"start_ms"` // from exec to serving, after kill -9
	Restarted       memory    `json:"restarted"`
	Settled         memory    `json:"restarted_settled"`
	DrainColdMillis []float64 `json:"drain_cold_ms"`
	DrainWarmMillis []float64 `json:"drain_warm_ms"`

	// The light load: alone, before checkpoints, while files are rewritten.
	Steady     beside `json:"steady"`
	Checkpoint beside `json:"checkpoint"`
	Rewriting  beside `json:"rewriting"`
	Rewrites   int    `json:"rewrites"`
	Rewritten  memory `json:"rewritten"`
}

// Goals of the design, for 10 M messages in 10,000 partitions.
const (
	goalIdle    = 50e6
	goalBacklog = 150e6
)

// verdict compares with the goals, and says whether all are met.
func (r result) verdict() (text string, met bool) {
	met = true
	word := func(got int64, goal float64) string {
		if float64(got) < goal {
			return "met"
		}
		met = false
		return "MISSED"
	}
	most := max(r.Backlog.Resident, r.Restarted.Resident, r.Settled.Resident)
	text = fmt.Sprintf("resident memory: idle %.0f MB, goal %.0f MB %s; with the backlog %.0f MB (the most of before and after the restart), goal %.0f MB %s",
		mb(r.Idle.Resident), goalIdle/1e6, word(r.Idle.Resident, goalIdle), mb(most), goalBacklog/1e6, word(most, goalBacklog))
	return text, met
}

func (m memory) String() string {
	return fmt.Sprintf("resident %.0f MB (peak %.0f), Go heap in use %.0f MB, allocated %.0f MB; disk %.2f GB",
		mb(m.Resident), mb(m.Peak), mb(m.HeapInUse), mb(m.HeapAlloc), gb(m.Disk))
}

func line(what string, m memory) string { return what + ": " + m.String() }

func (l latency) String() string {
	if l.Count == 0 {
		return "nothing was measured"
	}
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, max %.2f ms (%d times)", l.P50Millis, l.P99Millis, l.MaxMillis, l.Count)
}

func (b beside) String() string {
	return fmt.Sprintf("%v; the device alone at the same time: %v", b.Produce, b.Device)
}

func gb(n int64) float64             { return float64(n) / 1e9 }
func mb(n int64) float64             { return float64(n) / 1e6 }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
