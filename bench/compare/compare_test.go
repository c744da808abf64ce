package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// result is what `waxwing bench kafka --json` prints, of which compare reads
// a part.
const result = `{
  "bootstrap": "127.0.0.1:9092", "topic": "waxwing-bench-75c8b230", "topics": 1, "partitionsPerTopic": 1,
  "producers": 1, "consumers": 1, "recordBytes": 1024, "acks": "all", "idempotent": true, "compression": "none",
  "batchBytesMax": 1000000, "lingerMs": 0, "roundRobin": false, "rateAsked": 0, "interrupted": false,
  "produce": {
    "records": 20000, "bytes": 20480000, "seconds": 0.125462, "recordsPerSecond": %v, "bytesPerSecond": 163236558,
    "latency": {"count": 20000, "meanMs": 60.156, "p50Ms": %v, "p99Ms": %v, "p999Ms": 1996.4, "maxMs": 1997.4},
    "latencyFrom": "call"
  },
  "requests": {
    "count": 22, "unanswered": 0, "bytes": 20681276, "bytesPerRequest": %v, "recordsPerRequest": 909.1,
    "batches": 22, "recordsPerBatch": 909.1, "bytesPerBatch": 939936,
    "roundTrip": {"count": 22, "meanMs": 18.833, "p50Ms": 15.073, "p99Ms": 36.813, "p999Ms": 36.8, "maxMs": 36.8}
  },
  "lost": 0, "failed": 0, "duplicated": 0
}
`

// device is what bench/fdatasync prints.
const device = `{"bytes":65536,"count":2085,"p50_ms":%v,"p99_ms":%v,"p999_ms":17.488,"max_ms":21.416,"mb_per_s":136.2,"seconds":1.0}
`

// folder writes results by file name without .json: rate, p50, p99 and bytes
// per request, or p50 and p99 of the device.
func folder(t *testing.T, results map[string][]any) string {
	t.Helper()
	dir := t.TempDir()
	for name, values := range results {
		form := result
		if len(values) == 2 {
			form = device
		}
		if err := os.WriteFile(filepath.Join(dir, name+".json"), fmt.Appendf(nil, form, values...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCompare has all rows, and the broker that is measured second differ.
func TestCompare(t *testing.T) {
	dir := folder(t, map[string][]any{
		"warm.waxwing.0": {1, 1, 1, 1}, "warm.kafka.0": {1, 1, 1, 1},
		"1.waxwing.1": {100_000, 9, 9, 9}, "1.waxwing.2": {400_000, 9, 9, 9}, "1.waxwing.3": {300_000, 9, 9, 9},
		"1.kafka.1": {240_000, 9, 9, 9}, "1.kafka.2": {260_000, 9, 9, 9},
		"8p.waxwing.1": {160_000, 9, 9, 9}, "8p.kafka.1": {200_000, 9, 9, 9},
		"2.waxwing.1": {20_000, 0.5, 1.75, 9}, "2.kafka.1": {20_000, 0.25, 3.5, 9},
		"3-one.waxwing.1": {180_000, 9, 9, 950_000}, "3-many.waxwing.1": {80_000, 9, 9, 940_000},
		"fdatasync.device.1": {0.25, 0.5}, "fdatasync.device.2": {0.35, 1.5},
	})
	var shown strings.Builder
	if err := compare(dir, &shown); err != nil {
		t.Fatal(err)
	}
	want := []line{
		{"1", "produce, 1 partition", "msg/s", 300_000, 250_000, 1.2, "150,000 and faster than Kafka", "yes"},
		{"8p", "produce, 8 partitions", "msg/s", 160_000, 200_000, 0.8, "150,000 and faster than Kafka", "no"},
		{"2", "fixed rate, p50", "ms", 0.5, 0.25, 2, "", ""},
		{"2", "fixed rate, p99", "ms", 1.75, 3.5, 0.5, "at most 1.75 ms", "yes"},
		{"3-one", "1 partition", "msg/s", 180_000, 0, 0, "", ""},
		{"3-many", "many partitions, round-robin", "msg/s", 80_000, 0, 0, "", ""},
		{"3-one", "bytes per request, 1 partition", "B", 950_000, 0, 0, "", ""},
		{"3-many", "bytes per request, many", "B", 940_000, 0, 0, "", ""},
		{"3", "one to many", "x", 2.25, 0, 0, "at most 2", "no"},
		{"device", "fdatasync of 64 KB, p50", "ms", 0.3, 0, 0, "", ""},
		{"device", "fdatasync of 64 KB, p99", "ms", 1, 0, 0, "", ""},
	}
	var got []line
	text, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, summary.json has\n%+v\nwant\n%+v", err, got, want)
	}
	lines := strings.Split(strings.TrimSpace(shown.String()), "\n")
	if len(lines) != len(want)+1 || strings.Join(strings.Fields(lines[1]), " ") != "1 produce, 1 partition msg/s 300000 250000 1.2 150,000 and faster than Kafka yes" {
		t.Errorf("it shows\n%s", shown.String())
	}
}

// TestGoals: what is one step from a goal on either side.
func TestGoals(t *testing.T) {
	for name, c := range map[string]struct {
		results map[string][]any
		row     int
		met     string
	}{
		"fast and faster":       {map[string][]any{"1.waxwing.1": {150_000, 9, 9, 9}, "1.kafka.1": {149_999, 9, 9, 9}}, 0, "yes"},
		"as fast as Kafka":      {map[string][]any{"1.waxwing.1": {150_000, 9, 9, 9}, "1.kafka.1": {150_000, 9, 9, 9}}, 0, "no"},
		"faster but slow":       {map[string][]any{"8p.waxwing.1": {149_999, 9, 9, 9}, "8p.kafka.1": {1, 9, 9, 9}}, 0, "no"},
		"half of Kafka's":       {map[string][]any{"2.waxwing.1": {9, 9, 2, 9}, "2.kafka.1": {9, 9, 4, 9}, "fdatasync.device.1": {1, 1}}, 1, "yes"},
		"more than half":        {map[string][]any{"2.waxwing.1": {9, 9, 2.01, 9}, "2.kafka.1": {9, 9, 4, 9}, "fdatasync.device.1": {1, 1}}, 1, "no"},
		"as the device":         {map[string][]any{"2.waxwing.1": {9, 9, 3, 9}, "2.kafka.1": {9, 9, 4, 9}, "fdatasync.device.1": {1, 2}}, 1, "yes"},
		"slower than the disk":  {map[string][]any{"2.waxwing.1": {9, 9, 3.01, 9}, "2.kafka.1": {9, 9, 4, 9}, "fdatasync.device.1": {1, 2}}, 1, "no"},
		"many within two times": {map[string][]any{"3-one.waxwing.1": {200, 9, 9, 9}, "3-many.waxwing.1": {100, 9, 9, 9}}, 4, "yes"},
		"many beyond two times": {map[string][]any{"3-one.waxwing.1": {201, 9, 9, 9}, "3-many.waxwing.1": {100, 9, 9, 9}}, 4, "no"},
	} {
		found, err := read(folder(t, c.results))
		if err != nil {
			t.Fatal(err)
		}
		if got := summarise(found)[c.row]; got.Met != c.met {
			t.Errorf("%s: %+v, want %s", name, got, c.met)
		}
	}
}

// TestIncompleteResults: what lacks a number is refused, not taken for zero.
func TestIncompleteResults(t *testing.T) {
	whole := folder(t, map[string][]any{"1.waxwing.1": {1, 1, 1, 1}, "fdatasync.device.1": {1, 1}})
	for file, keys := range map[string][]string{
		"1.waxwing.1.json":        {"produce", "recordsPerSecond", "latency", "p50Ms", "p99Ms", "requests", "bytesPerRequest"},
		"fdatasync.device.1.json": {"p50_ms", "p99_ms"},
	} {
		text, err := os.ReadFile(filepath.Join(whole, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			dir := t.TempDir()
			renamed := strings.Replace(string(text), `"`+key+`"`, `"renamed"`, 1)
			if err := os.WriteFile(filepath.Join(dir, file), []byte(renamed), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := compare(dir, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), "there is no ") {
				t.Errorf("%s without %s: %v", file, key, err)
			}
		}
	}
	if err := compare(t.TempDir(), new(strings.Builder)); err == nil {
		t.Error("an empty folder gives a summary")
	}
}
