package node

import (
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
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
	ours, _, found := strings.Cut(string(page), "\n## SDK\n") // of that the test is in the module's root
	if !found {
		t.Error("docs/metrics.md has no section SDK")
	}
	documented := documentedMetrics(t, ours)
	n := start(t, testConfig(t))
	defer stop(t, n)
	produce(t, n, "x") // some have no value before something has happened
	kadm.NewClient(client(t, n)).DeleteTopics(t.Context(), "none")
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

// TestMetricsCount what happened: errors by name, syncs, fetches without their
// wait, what went into a topic and out of it.
func TestMetricsCount(t *testing.T) {
	n := start(t, testConfig(t))
	defer stop(t, n)
	if _, err := n.broker.CreateTopic(t.Context(), broker.TopicSpec{Name: "silent", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	produce(t, n, "a")
	produce(t, n, "b")
	size := n.broker.PartitionBytes(topicOf(t, n, "t").Partitions[0])
	c := client(t, n)
	c.AddConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}})
	for got := 0; got < 2; {
		fetches := c.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got += fetches.NumRecords()
	}
	c.Close()
	waits := client(t, n).SeedBrokers()[0]
	const wait = 300 // ms
	fetch := kmsg.NewPtrFetchRequest()
	fetch.SessionEpoch, fetch.MinBytes, fetch.MaxBytes, fetch.MaxWaitMillis = -1, 1, 1<<20, wait
	part := kmsg.NewFetchRequestTopicPartition()
	part.PartitionMaxBytes = 1 << 20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "silent", TopicID: topicOf(t, n, "silent").ID, Partitions: []kmsg.FetchRequestTopicPartition{part}}}
	before := number(t, n, "waxwing_kafka_fetch_seconds_sum")
	beforeAll := number(t, n, `waxwing_kafka_request_seconds_sum{api="Fetch"}`)
	if _, err := waits.Request(t.Context(), fetch); err != nil {
		t.Fatal(err)
	}
	grown := func(name string, from float64) float64 { return number(t, n, name) - from }
	for all := 0.0; all == 0; { // it is counted after it is written
		all = grown(`waxwing_kafka_request_seconds_sum{api="Fetch"}`, beforeAll)
		if busy := grown("waxwing_kafka_fetch_seconds_sum", before); all != 0 && all-busy < wait*0.001*0.99 {
			t.Errorf("a fetch that waited %d ms: %v s, without the wait %v s", wait, all, busy)
		}
	}
	adm := kadm.NewClient(client(t, n))
	for range 3 {
		adm.DeleteTopics(t.Context(), "none")
	}
	for name, want := range map[string]float64{
		`waxwing_kafka_errors_total{api="DeleteTopics",error="UNKNOWN_TOPIC_OR_PARTITION"}`: 3,
		`waxwing_topic_in_records_total{topic="t"}`:                                         2,
		`waxwing_topic_out_records_total{topic="t"}`:                                        2,
		`waxwing_topic_in_bytes_total{topic="t"}`:                                           float64(size),
		`waxwing_topic_out_bytes_total{topic="t"}`:                                          float64(size),
		`waxwing_topics_left_out`:                                                           0,
	} {
		if got := number(t, n, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	slots := number(t, n, "waxwing_journal_slots_total") // counted after their syncs
	for _, part := range []string{"count", `bucket{le="+Inf"}`} {
		if syncs := number(t, n, "waxwing_journal_sync_seconds_"+part); slots == 0 || syncs < slots {
			t.Errorf("%v slots and %v syncs (%s)", slots, syncs, part)
		}
	}
	if number(t, n, "waxwing_journal_sync_seconds_sum") <= 0 {
		t.Error("syncs took no time")
	}
	if _, text := get(t, n, "/metrics"); strings.Contains(text, `topic="silent"`) {
		t.Error("a topic without traffic has metrics")
	}
}

func topicOf(t *testing.T, n *Node, name string) *broker.Topic {
	t.Helper()
	topic, ok := n.broker.Topic(name)
	if !ok {
		t.Fatalf("there is no topic %s", name)
	}
	return topic
}

// number is the value of a metric now, 0 if it has none.
func number(t *testing.T, n *Node, name string) float64 {
	t.Helper()
	_, text := get(t, n, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
	}
	return 0
}
