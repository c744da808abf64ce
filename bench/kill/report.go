package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// totals are counted since the run began.
type totals struct {
	counts
	Commits int64 `json:"commits"` // offset commits acknowledged, by partition
	Topics  int   `json:"topics"`  // topics created, filled and deleted
}

// roundResult is reported after each round.
type roundResult struct {
	Round       int     `json:"round"`
	LoadMillis  float64 `json:"load_ms"`
	Kills       int     `json:"kills"` // in this round
	Heavy       bool    `json:"heavy"`
	StartMillis float64 `json:"start_ms"` // from exec to serving, the last start
	totals
}

func (r roundResult) String() string {
	word := ""
	if r.Heavy {
		word = "  heavy"
	}
	return fmt.Sprintf("round %3d  load %6.0f ms  kills %d  start %4.0f ms  acked %9d  stored %9d  repeats %5d  unknown %d  commits %6d  topics %4d  ok%s",
		r.Round, r.LoadMillis, r.Kills, r.StartMillis, r.Acked, r.Stored, r.Repeats, r.Unknown, r.Commits, r.Topics, word)
}

// summary is reported at the end.
type summary struct {
	Rounds         int     `json:"rounds"`
	Shards         int     `json:"shards"`
	Seed           uint64  `json:"seed"`
	Seconds        float64 `json:"seconds"`
	StartMaxMillis float64 `json:"start_max_ms"`
	totals
}

func (s summary) String() string {
	return fmt.Sprintf("%d rounds, %d shards, %.0f s, seed %d: nothing acknowledged was lost, nothing idempotent doubled. "+
		"%d records acknowledged, %d stored, %d repeats without idempotence, %d unknown to their client (%d not stored), %d commits, slowest start %.0f ms.",
		s.Rounds, s.Shards, s.Seconds, s.Seed, s.Acked, s.Stored, s.Repeats, s.Unknown, s.Missing, s.Commits, s.StartMaxMillis)
}

// kept says where the data is, if it was to be kept.
type kept struct {
	Dir string `json:"dir"`
}

func (k kept) String() string { return "kept in " + k.Dir }

func (t *trial) count(sum *totals) {
	for _, l := range t.ledgers {
		l.count(&sum.counts)
	}
	for _, c := range t.commits {
		sum.Commits += c.acked.Load()
	}
	t.churn.note(func() { sum.Topics = t.churn.done })
}

func (t *trial) summary(took time.Duration) summary {
	s := summary{Rounds: t.opt.rounds, Shards: t.opt.shards, Seed: t.opt.seed, Seconds: took.Seconds(), StartMaxMillis: millis(t.startMax)}
	t.count(&s.totals)
	return s
}

// reporter writes what is reported as lines of text or of JSON.
func reporter(w io.Writer, asJSON bool) func(any) {
	if asJSON {
		enc := json.NewEncoder(w)
		return func(v any) { _ = enc.Encode(v) }
	}
	return func(v any) { fmt.Fprintln(w, v) }
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
