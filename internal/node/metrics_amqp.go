package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/internal/amqp"
)

// amqpMetrics are what the AMQP server tells, for Prometheus.
type amqpMetrics struct {
	methods *prometheus.HistogramVec
	out     prometheus.Counter
}

// register makes the metrics and shows them in reg.
func (m *amqpMetrics) register(reg *prometheus.Registry) {
	m.methods = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "waxwing_amqp_method_seconds", Help: "Time from a method's frame to its answer; of basic.publish to the confirm.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}, []string{"method"})
	m.methods.WithLabelValues("basic.publish") // there from the start
	m.out = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "waxwing_amqp_sent_bytes_total", Help: "Bytes sent to AMQP clients."})
	reg.MustRegister(m.methods, m.out)
}

// hooks are for the AMQP server; none if nobody shows the metrics.
func (m *amqpMetrics) hooks() amqp.Metrics {
	if m.methods == nil {
		return amqp.Metrics{}
	}
	return amqp.Metrics{
		Method:   func(name string, took time.Duration) { m.methods.WithLabelValues(name).Observe(took.Seconds()) },
		BytesOut: func(n int64) { m.out.Add(float64(n)) },
	}
}

// amqpCollector shows the AMQP server's counts once it serves.
type amqpCollector struct{ n *Node }

// amqpCount is one of the counts.
type amqpCount struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*amqp.Stats) int64
}

// amqpCounts are the counts, in the order in which they are shown.
var amqpCounts = []amqpCount{
	newAMQPCount("waxwing_amqp_connections", "Open connections of AMQP clients.", prometheus.GaugeValue, func(s *amqp.Stats) int64 { return s.Connections }),
	newAMQPCount("waxwing_amqp_channels", "Open channels.", prometheus.GaugeValue, func(s *amqp.Stats) int64 { return s.Channels }),
	newAMQPCount("waxwing_amqp_published_total", "Messages published.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Published }),
	newAMQPCount("waxwing_amqp_confirmed_total", "Messages confirmed.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Confirmed }),
	newAMQPCount("waxwing_amqp_refused_total", "Messages refused with basic.nack.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Refused }),
	newAMQPCount("waxwing_amqp_unroutable_total", "Messages that no queue was bound for.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Unroutable }),
	newAMQPCount("waxwing_amqp_returned_total", "Messages returned.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Returned }),
	newAMQPCount("waxwing_amqp_delivered_total", "Messages delivered or got.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Delivered }),
	newAMQPCount("waxwing_amqp_acknowledged_total", "Deliveries acknowledged.", prometheus.CounterValue, func(s *amqp.Stats) int64 { return s.Acknowledged }),
}

func newAMQPCount(name, help string, kind prometheus.ValueType, of func(*amqp.Stats) int64) amqpCount {
	return amqpCount{prometheus.NewDesc(name, help, nil, nil), kind, of}
}

// Describe implements prometheus.Collector.
func (amqpCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range amqpCounts {
		ch <- c.desc
	}
}

// Collect implements prometheus.Collector.
func (c amqpCollector) Collect(ch chan<- prometheus.Metric) {
	if !c.n.ready.Load() {
		return
	}
	st := c.n.amqp.Stats()
	for _, x := range amqpCounts {
		ch <- prometheus.MustNewConstMetric(x.desc, x.kind, float64(x.of(&st)))
	}
}
