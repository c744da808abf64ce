package node

import (
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/directory"
	sealdirectory "github.com/waxwing-mq/waxwing/seal/directory"
)

// serveHTTP starts the endpoints for health and metrics, the API, and the prekey
// directory.
func (n *Node) serveHTTP() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := n.Err(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !n.ready.Load() || n.Err() != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	n.handleAPI(mux)
	n.handleAdmin(mux)
	mux.Handle(sealdirectory.Path, directory.New(directory.Config{
		Broker: func() *broker.Broker { return n.broker }, Login: n.login, Local: isLocal, Logger: n.cfg.Logger,
	}))
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), brokerCollector{n})
	n.metrics.register(reg)
	n.amqpMetrics.register(reg)
	reg.MustRegister(amqpCollector{n}, prekeyCollector{n})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	n.web = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() { // ends with web.Close
		if err := n.web.Serve(n.httpLn); err != http.ErrServerClosed {
			n.cfg.Logger.Error("http listener", "error", err)
		}
	}()
}

// brokerCollector shows the broker's own numbers to Prometheus.
type brokerCollector struct{ n *Node }

var (
	metricSlots   = prometheus.NewDesc("waxwing_journal_slots_total", "Durable writes: each is one slot and one sync.", nil, nil)
	metricEntries = prometheus.NewDesc("waxwing_journal_entries_total", "Entries made durable.", nil, nil)
	metricBytes   = prometheus.NewDesc("waxwing_journal_bytes_total", "Bytes made durable, heads and data.", nil, nil)
	metricTopics  = prometheus.NewDesc("waxwing_topics", "Topics.", nil, nil)
	metricParts   = prometheus.NewDesc("waxwing_partitions", "Partitions of all topics.", nil, nil)
	metricFull    = prometheus.NewDesc("waxwing_disk_full", "1 while producers are refused because the disk is full.", nil, nil)
	metricSyncs   = prometheus.NewDesc("waxwing_journal_sync_seconds", "Time of a durable write: one slot, written and synced.", nil, nil)
	metricInfo    = prometheus.NewDesc("waxwing_info", "Always 1; says what runs.", []string{"version", "cluster"}, nil)

	metricRecordsIn  = prometheus.NewDesc("waxwing_topic_in_records_total", "Records appended to a topic.", []string{"topic"}, nil)
	metricRecordsOut = prometheus.NewDesc("waxwing_topic_out_records_total", "Records that Kafka clients fetched of a topic.", []string{"topic"}, nil)
	metricBytesIn    = prometheus.NewDesc("waxwing_topic_in_bytes_total", "Bytes appended to a topic, in batches as they are stored.", []string{"topic"}, nil)
	metricBytesOut   = prometheus.NewDesc("waxwing_topic_out_bytes_total", "Bytes that Kafka clients fetched of a topic, in batches as they are stored.", []string{"topic"}, nil)
	metricLeftOut    = prometheus.NewDesc("waxwing_topics_left_out", "Topics with traffic that the metrics by topic leave out.", nil, nil)
)

// topicsShownMax bounds the topics that have metrics of their own.
const topicsShownMax = 1000

// Describe implements prometheus.Collector.
func (brokerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricSlots, metricEntries, metricBytes, metricTopics, metricParts, metricFull, metricSyncs, metricInfo,
		metricRecordsIn, metricRecordsOut, metricBytesIn, metricBytesOut, metricLeftOut} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c brokerCollector) Collect(ch chan<- prometheus.Metric) {
	n := c.n
	if !n.ready.Load() {
		return
	}
	st := n.broker.Stats()
	counter := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	gauge := func(d *prometheus.Desc, v int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	counter(metricSlots, st.Slots)
	counter(metricEntries, st.Entries)
	counter(metricBytes, st.Bytes)
	gauge(metricTopics, st.Topics)
	gauge(metricParts, st.Partitions)
	full := 0
	if st.Full {
		full = 1
	}
	gauge(metricFull, full)
	ch <- prometheus.MustNewConstMetric(metricInfo, prometheus.GaugeValue, 1, n.cfg.Version, n.broker.ClusterID())
	ch <- histogram(metricSyncs, n.broker.Syncs())
	c.collectTraffic(ch)
}

// collectTraffic shows what went through each topic. Topics without traffic
// have no series, so that very many do not make each scrape large.
func (c brokerCollector) collectTraffic(ch chan<- prometheus.Metric) {
	topics, leftOut := c.n.broker.Traffic(topicsShownMax)
	for i := range topics {
		t := &topics[i]
		for _, m := range []struct {
			desc  *prometheus.Desc
			value uint64
		}{{metricRecordsIn, t.RecordsIn}, {metricRecordsOut, t.RecordsOut}, {metricBytesIn, t.BytesIn}, {metricBytesOut, t.BytesOut}} {
			ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(m.value), t.Topic)
		}
	}
	ch <- prometheus.MustNewConstMetric(metricLeftOut, prometheus.GaugeValue, float64(leftOut))
}

// histogram is a latency as Prometheus counts it: below each bound, and all.
func histogram(desc *prometheus.Desc, l broker.Latency) prometheus.Metric {
	var total uint64
	below := make(map[float64]uint64, len(l.Bounds))
	for i, count := range l.Counts {
		if total += count; i < len(l.Bounds) {
			below[l.Bounds[i].Seconds()] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, l.Sum.Seconds(), below)
}
