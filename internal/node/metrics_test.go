package node

import (
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// metric is a metric as it is documented or served.
type metric struct{ kind, labels string }

// TestMetricsPage: docs/metrics.md lists what /metrics serves: each name, with
// its type, its unit and its labels.
func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedMetrics(t, string(page))
	n := start(t, testConfig(t))
	defer stop(t, n)
	produce(t, n, "x") // some have no value before something has happened
	_, text := get(t, n, "/metrics")
	served := servedMetrics(t, text)
	for _, name := range slices.Sorted(maps.Keys(served)) {
		if got, ok := documented[name]; !ok {
			t.Errorf("docs/metrics.md does not list %s", name)
		} else if got != served[name] {
			t.Errorf("docs/metrics.md says of %s %+v; it is %+v", name, got, served[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if strings.HasPrefix(name, "process_") && runtime.GOOS != "linux" {
			continue // others tell less
		}
		if _, ok := served[name]; !ok {
			t.Errorf("docs/metrics.md lists %s, which is not served", name)
		}
	}
}

var metricRow = regexp.MustCompile("^\\| `([a-z_]+)(?:\\{([a-z, ]+)\\})?` \\| ([a-z]+) \\| ([a-z0-9 ]+) \\| (.+) \\|$")

// documentedMetrics reads the tables of the page. Units that a name tells must
// be the ones of the table.
func documentedMetrics(t *testing.T, page string) map[string]metric {
	out := map[string]metric{}
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		m := metricRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Errorf("docs/metrics.md: a row that does not read: %s", line)
			continue
		}
		name, labels, kind, unit := m[1], m[2], m[3], m[4]
		if _, twice := out[name]; twice {
			t.Errorf("docs/metrics.md lists %s twice", name)
		}
		for _, u := range []string{"bytes", "seconds", "percent"} {
			if strings.HasSuffix(strings.TrimSuffix(name, "_total"), "_"+u) != (unit == u) {
				t.Errorf("docs/metrics.md: the unit of %s is not %q", name, unit)
			}
		}
		words := strings.Split(labels, ", ")
		slices.Sort(words)
		out[name] = metric{kind, strings.Join(words, ", ")}
	}
	if len(out) == 0 {
		t.Fatal("docs/metrics.md has no tables")
	}
	return out
}

var (
	metricType  = regexp.MustCompile(`^# TYPE (\S+) (\S+)$`)
	metricLabel = regexp.MustCompile(`([a-z]+)="`)
)

// servedMetrics reads what Prometheus would.
func servedMetrics(t *testing.T, text string) map[string]metric {
	out := map[string]metric{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := metricType.FindStringSubmatch(line); m != nil {
			name = m[1]
			out[name] = metric{kind: m[2]}
		}
		if line == "" || strings.HasPrefix(line, "#") || out[name].labels != "" {
			continue
		}
		var labels []string
		for _, m := range metricLabel.FindAllStringSubmatch(line, -1) {
			if m[1] != "le" && m[1] != "quantile" {
				labels = append(labels, m[1])
			}
		}
		slices.Sort(labels)
		out[name] = metric{out[name].kind, strings.Join(labels, ", ")}
	}
	if len(out) == 0 {
		t.Fatal("nothing is served")
	}
	return out
}
