package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// metrics are what a relay counts, and what it asks the database when somebody
// wants to know.
type metrics struct {
	r         *Relay
	publish   prometheus.Histogram
	delay     prometheus.Histogram
	published prometheus.Counter
	fenced    prometheus.Counter
	failures  *prometheus.CounterVec

	mu    sync.Mutex // also of r.keeper, for those who are not of the run
	stats stats
	asked time.Time
}

func newMetrics(r *Relay) *metrics {
	times := prometheus.ExponentialBuckets(0.0005, 2.5, 13) // to 30 s
	return &metrics{
		r: r,
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "waxwing_relay_publish_seconds", Buckets: times,
			Help: "How long the broker took for a batch."}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "waxwing_outbox_delay_seconds", Buckets: times,
			Help: "From an event's writing in its transaction to its acknowledgement by the broker."}),
		published: prometheus.NewCounter(prometheus.CounterOpts{Name: "waxwing_outbox_published_total",
			Help: "Events that the broker acknowledged, those included that were sent again."}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{Name: "waxwing_relay_fenced_total",
			Help: "Batches of a bucket that were not deleted since another relay had taken it over."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waxwing_relay_failures_total",
			Help: "What failed and was tried again: lease, read, publish, delete, floor."}, []string{"step"}),
	}
}

// durable notes messages that the broker has.
func (m *metrics) durable(msgs []bus.Message, now time.Time) {
	m.published.Add(float64(len(msgs)))
	for i := range msgs {
		m.delay.Observe(now.Sub(msgs[i].Time).Seconds())
	}
}

// Collector is the relay's metrics, for a prometheus.Registerer:
//
//	waxwing_outbox_oldest_age_seconds  age of the oldest event that is not published, 0 if there is none
//	waxwing_outbox_pending             events that are not published, counted up to 2,000 in each bucket
//	waxwing_outbox_delay_seconds       from an event's writing to its acknowledgement by the broker
//	waxwing_outbox_published_total     events that the broker acknowledged
//	waxwing_relay_publish_seconds      time the broker took for a batch
//	waxwing_relay_lease_owned          buckets that this relay has, of Buckets
//	waxwing_relay_fenced_total         batches that somebody else had taken over
//	waxwing_relay_failures_total       what failed and was tried again, by step
//
// The first two are of the whole outbox, whoever relays it, and come from a query
// that is made at most every five seconds, reads at most 2,000 rows of each bucket
// and is given up after one second; they are left out if it fails. Several relays of
// a process need labels (prometheus.WrapRegistererWith).
func (r *Relay) Collector() prometheus.Collector { return r.metrics }

var (
	ageDesc     = prometheus.NewDesc("waxwing_outbox_oldest_age_seconds", "Age of the oldest event that is not published, 0 if there is none.", nil, nil)
	pendingDesc = prometheus.NewDesc("waxwing_outbox_pending", "Events that are not published, counted up to 2000 in each bucket.", nil, nil)
	ownedDesc   = prometheus.NewDesc("waxwing_relay_lease_owned", "Buckets that this relay has.", nil, nil)
)

func (m *metrics) parts() []prometheus.Collector {
	return []prometheus.Collector{m.publish, m.delay, m.published, m.fenced, m.failures}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	to <- ageDesc
	to <- pendingDesc
	to <- ownedDesc
	for _, c := range m.parts() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.parts() {
		c.Collect(to)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	owned := 0
	if m.r.keeper != nil {
		owned = len(m.r.keeper.all())
	}
	to <- prometheus.MustNewConstMetric(ownedDesc, prometheus.GaugeValue, float64(owned))
	if time.Since(m.asked) > 5*time.Second {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		m.stats = m.r.store.stats(ctx)
		m.asked = time.Now()
		cancel()
	}
	if !m.stats.ok {
		return
	}
	age := 0.0
	if m.stats.pending > 0 {
		age = max(0, m.r.now().Sub(m.stats.oldest).Seconds())
	}
	to <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age)
	to <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(m.stats.pending))
}

// stats are what the database says of the outbox.
type stats struct {
	ok      bool
	pending int64
	oldest  time.Time
}

// countedRows is how many rows of a bucket are counted.
const countedRows = "2000"

func (s *store) stats(ctx context.Context) (out stats) {
	var first int64
	one := "SELECT created_us FROM waxwing_outbox" + s.forced() + " WHERE bucket = ? ORDER BY id LIMIT " + countedRows
	query := "SELECT COUNT(*), COALESCE(MIN(created_us), 0) FROM (" +
		repeat("SELECT * FROM ("+one+") AS b", " UNION ALL ", Buckets) + ") AS a"
	args := make([]any, Buckets)
	for b := range args {
		args[b] = b
	}
	err := s.byIndex(ctx, func(ctx context.Context, c sqltx.Conn) error {
		return sqltx.One(ctx, c, query, args, &out.pending, &first)
	})
	out.ok, out.oldest = err == nil, time.UnixMicro(first)
	return out
}
