// Command compare reads the results that bench/compare-kafka.sh has left in a
// folder, prints the medians of Waxwing and Kafka side by side with their
// ratios and the goals, and writes the same to summary.json in that folder.
//
// A result is a file ROW.BROKER.ROUND.json as `waxwing bench kafka --json`
// prints it; fdatasync.device.ROUND.json holds the device's own latency.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

// run is what counts of one result.
type run struct {
	Produce struct {
		RecordsPerSecond float64 `json:"recordsPerSecond"`
		Latency          struct {
			P50Ms float64 `json:"p50Ms"`
			P99Ms float64 `json:"p99Ms"`
		} `json:"latency"`
	} `json:"produce"`
	Requests struct {
		BytesPerRequest float64 `json:"bytesPerRequest"`
	} `json:"requests"`
	SyncP50Ms float64 `json:"p50_ms"` // of fdatasync
	SyncP99Ms float64 `json:"p99_ms"` // of fdatasync
}

// results holds the runs of each "ROW.BROKER".
type results map[string][]run

// line is one line of the summary. Waxwing, Kafka and Ratio are medians;
// Kafka is 0 where it was not measured. Met is empty where there is no goal.
type line struct {
	Row     string  `json:"row"`
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Waxwing float64 `json:"waxwing"`
	Kafka   float64 `json:"kafka,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"` // Waxwing to Kafka
	Goal    string  `json:"goal,omitempty"`
	Met     string  `json:"met,omitempty"` // "yes" or "no"
}

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: compare FOLDER"))
	}
	fail(compare(os.Args[1], os.Stdout))
}

// compare prints the summary of a folder to w and writes it beside the results.
func compare(dir string, w io.Writer) error {
	found, err := read(dir)
	if err != nil {
		return err
	}
	lines := summarise(found)
	if len(lines) == 0 {
		return fmt.Errorf("no results in %s", dir)
	}
	if err := show(w, lines); err != nil {
		return err
	}
	text, err := json.MarshalIndent(lines, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "summary.json"), append(text, '\n'), 0o644)
}

// read collects the results of a folder.
func read(dir string) (results, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.*.*.json"))
	if err != nil {
		return nil, err
	}
	found := results{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r run
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name := strings.SplitN(filepath.Base(file), ".", 3)
		if err := r.complete(name[1]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		key := name[0] + "." + name[1]
		found[key] = append(found[key], r)
	}
	return found, nil
}

// complete fails when a result lacks what is compared: a name that has changed
// would count as zero.
func (r run) complete(broker string) error {
	needs := map[string]float64{
		"produce.recordsPerSecond": rate(r), "produce.latency.p50Ms": p50(r), "produce.latency.p99Ms": p99(r),
		"requests.bytesPerRequest": bytes(r),
	}
	if broker == "device" {
		needs = map[string]float64{"p50_ms": syncP50(r), "p99_ms": syncP99(r)}
	}
	for name, value := range needs {
		if value <= 0 {
			return fmt.Errorf("there is no %s", name)
		}
	}
	return nil
}

// median of what of gives for the runs of key; 0 if there are none.
func (rs results) median(key string, of func(run) float64) float64 {
	var values []float64
	for _, r := range rs[key] {
		values = append(values, of(r))
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 0 {
		return (values[middle-1] + values[middle]) / 2
	}
	return values[middle]
}

func rate(r run) float64    { return r.Produce.RecordsPerSecond }
func p50(r run) float64     { return r.Produce.Latency.P50Ms }
func p99(r run) float64     { return r.Produce.Latency.P99Ms }
func bytes(r run) float64   { return r.Requests.BytesPerRequest }
func syncP50(r run) float64 { return r.SyncP50Ms }
func syncP99(r run) float64 { return r.SyncP99Ms }

// pair is a line of one row's medians, without a goal.
func (rs results) pair(row, what, unit string, of func(run) float64) line {
	l := line{Row: row, What: what, Unit: unit, Waxwing: rs.median(row+".waxwing", of), Kafka: rs.median(row+".kafka", of)}
	if l.Kafka > 0 {
		l.Ratio = l.Waxwing / l.Kafka
	}
	return l
}

// goal adds a goal and whether it was reached.
func (l line) goal(text string, met bool) line {
	l.Goal, l.Met = text, "no"
	if met {
		l.Met = "yes"
	}
	return l
}

// summarise builds the lines of the rows that were measured.
func summarise(rs results) []line {
	var lines []line
	device := rs.median("fdatasync.device", syncP99)
	if len(rs["1.waxwing"]) > 0 {
		l := rs.pair("1", "produce, 1 partition", "msg/s", rate)
		lines = append(lines, l.goal("150,000 and faster than Kafka", l.Waxwing >= 150_000 && l.Ratio > 1))
	}
	if len(rs["8p.waxwing"]) > 0 {
		l := rs.pair("8p", "produce, 8 partitions", "msg/s", rate)
		lines = append(lines, l.goal("150,000 and faster than Kafka", l.Waxwing >= 150_000 && l.Ratio > 1))
	}
	if len(rs["2.waxwing"]) > 0 {
		l := rs.pair("2", "fixed rate, p99", "ms", p99)
		limit := max(l.Kafka/2, 1.5*device)
		lines = append(lines, rs.pair("2", "fixed rate, p50", "ms", p50),
			l.goal(fmt.Sprintf("at most %.2f ms", limit), l.Waxwing <= limit))
	}
	if len(rs["3-many.waxwing"]) > 0 {
		lines = append(lines, manyPartitions(rs)...)
	}
	if device == 0 {
		return lines
	}
	return append(lines,
		line{Row: "device", What: "fdatasync of 64 KB, p50", Unit: "ms", Waxwing: rs.median("fdatasync.device", syncP50)},
		line{Row: "device", What: "fdatasync of 64 KB, p99", Unit: "ms", Waxwing: device})
}

// manyPartitions compares each broker's many partitions with its one.
func manyPartitions(rs results) []line {
	one := rs.pair("3-one", "1 partition", "msg/s", rate)
	many := rs.pair("3-many", "many partitions, round-robin", "msg/s", rate)
	within := func(one, many float64) float64 {
		if many == 0 {
			return 0
		}
		return one / many
	}
	factor := line{Row: "3", What: "one to many", Unit: "x", Waxwing: within(one.Waxwing, many.Waxwing), Kafka: within(one.Kafka, many.Kafka)}
	return []line{one, many,
		rs.pair("3-one", "bytes per request, 1 partition", "B", bytes),
		rs.pair("3-many", "bytes per request, many", "B", bytes),
		factor.goal("at most 2", factor.Waxwing <= 2)}
}

func show(out io.Writer, lines []line) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "row\twork\tunit\tWaxwing\tKafka\tratio\tgoal\tmet")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Row, l.What, l.Unit, number(l.Waxwing), number(l.Kafka), number(l.Ratio), l.Goal, l.Met)
	}
	return w.Flush()
}

// number shows three digits or the whole part.
func number(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 1000:
		return fmt.Sprintf("%.3g", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}
