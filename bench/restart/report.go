package main

import (
	"fmt"
	"time"
)

// result is what a run measured; bytes are bytes, times from exec on.
type result struct {
	Fill   filled    `json:"fill"`
	Starts []started `json:"starts"`
}

type filled struct {
	Partitions     int     `json:"partitions"`
	Bytes          int64   `json:"bytes"` // of values, acknowledged
	Seconds        float64 `json:"seconds"`
	DiskBytes      int64   `json:"disk_bytes"`
	IdleResident   int64   `json:"idle_resident_bytes"`
	LoadedResident int64   `json:"loaded_resident_bytes"`
}

func (f filled) String() string {
	return fmt.Sprintf("filled: %.2f GB of 1 KiB records into %d partitions in %.1f s, %.0f MB/s; %.2f GB on disk; resident %.0f MB before, %.0f MB at the end",
		gb(f.Bytes), f.Partitions, f.Seconds, mb(f.Bytes)/f.Seconds, gb(f.DiskBytes), mb(f.IdleResident), mb(f.LoadedResident))
}

type started struct {
	UnderLoad       bool    `json:"under_load"` // when it was killed
	Cold            bool    `json:"cold"`       // its files were out of the page cache
	ServingMillis   float64 `json:"serving_ms"` // ApiVersions answered
	ProduceMillis   float64 `json:"produce_ms"` // then a produce acknowledged
	FetchMillis     float64 `json:"fetch_ms"`   // then an old record fetched
	Resident        int64   `json:"resident_bytes"`
	SettledResident int64   `json:"settled_resident_bytes"` // some seconds and lookups later
}

func (s started) String() string {
	how := "idle"
	if s.UnderLoad {
		how = "under load"
	}
	if s.Cold {
		how += ", cold page cache"
	}
	return fmt.Sprintf("started after kill -9 (%s): serving after %.0f ms, produce acknowledged after %.0f ms, old record fetched after %.0f ms; resident %.0f MB, later %.0f MB; everything acknowledged is there",
		how, s.ServingMillis, s.ProduceMillis, s.FetchMillis, mb(s.Resident), mb(s.SettledResident))
}

// goal is the design's limit for a start with 10 GB stored.
const goal = 2 * time.Second

// verdict compares the slowest start with the goal, and says whether it is met.
func (r result) verdict() (text string, met bool) {
	slowest := 0.0
	for _, s := range r.Starts {
		slowest = max(slowest, s.ServingMillis)
	}
	word, met := "MISSED", len(r.Starts) > 0 && slowest < millis(goal)
	if met {
		word = "met"
	}
	return fmt.Sprintf("slowest start: %.0f ms to serving; the goal of %v is %s", slowest, goal, word), met
}

func gb(n int64) float64             { return float64(n) / 1e9 }
func mb(n int64) float64             { return float64(n) / 1e6 }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
