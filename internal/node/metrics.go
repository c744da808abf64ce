package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// kafkaMetrics are what the Kafka server tells, for Prometheus. They exist
// whether or not HTTP is on.
type kafkaMetrics struct {
	connections prometheus.Gauge
	requests    *prometheus.HistogramVec
	fetches     prometheus.Histogram
	errors      *prometheus.CounterVec
	in, out     prometheus.Counter
}

// register makes the metrics and shows them in reg.
func (m *kafkaMetrics) register(reg *prometheus.Registry) {
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "waxwing_kafka_connections", Help: "Open connections of Kafka clients."})
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "waxwing_kafka_request_seconds", Help: "Time from a request's frame to its response, waits included.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}, []string{"api"})
	m.fetches = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "waxwing_kafka_fetch_seconds", Help: "Time from a fetch's frame to its response, without its wait for records.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)})
	m.errors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "waxwing_kafka_errors_total", Help: "Error codes in responses, by the protocol's names."}, []string{"api", "error"})
	m.in = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "waxwing_kafka_received_bytes_total", Help: "Bytes received from Kafka clients."})
	m.out = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "waxwing_kafka_sent_bytes_total", Help: "Bytes sent to Kafka clients."})
	reg.MustRegister(m.connections, m.requests, m.fetches, m.errors, m.in, m.out)
}

// hooks are for the Kafka server; none if nobody shows the metrics.
func (m *kafkaMetrics) hooks() kafka.Metrics {
	if m.connections == nil {
		return kafka.Metrics{}
	}
	return kafka.Metrics{
		Connections: func(delta int) { m.connections.Add(float64(delta)) },
		Request: func(key int16, took, waited time.Duration) {
			m.requests.WithLabelValues(kafka.APIName(key)).Observe(took.Seconds())
			if key == kmsg.Fetch.Int16() {
				m.fetches.Observe((took - waited).Seconds())
			}
		},
		Error: func(key, code int16, times int) {
			m.errors.WithLabelValues(kafka.APIName(key), kafka.ErrorName(code)).Add(float64(times))
		},
		BytesIn:  func(n int64) { m.in.Add(float64(n)) },
		BytesOut: func(n int64) { m.out.Add(float64(n)) },
	}
}
