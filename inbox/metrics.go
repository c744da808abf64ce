package inbox

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// metrics are what an inbox counts itself.
type metrics struct {
	duplicates, retries prometheus.Counter
	handled, batches    *prometheus.CounterVec
	unflagged           *prometheus.CounterVec
	verdicts            map[result]prometheus.Counter
	seconds             prometheus.Histogram
}

func newMetrics(consumer string) *metrics {
	labels := prometheus.Labels{"consumer": consumer}
	m := &metrics{
		verdicts: map[result]prometheus.Counter{},
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waxwing_inbox_duplicates_total", Help: "Messages that were seen before and skipped.", ConstLabels: labels}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "waxwing_inbox_retries_total", Help: "Attempts after the first.", ConstLabels: labels}),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waxwing_inbox_handled_total", ConstLabels: labels,
			Help: "Messages by what became of them: handled, duplicate, ignored (no handler), rejected, parked, behind (another of the key), dead."}, []string{"verdict"}),
		unflagged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waxwing_inbox_unflagged_duplicates_total", ConstLabels: labels,
			Help: "Messages skipped by their sequence that the broker did not call redelivered, by where they came from: queue, log (which calls none so)."}, []string{"from"}),
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "waxwing_inbox_batches_total", ConstLabels: labels,
			Help: "Transactions for several messages: committed, or undone, whose messages were then handled alone."}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "waxwing_handler_seconds", Help: "Calls of handlers, without the commit.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}),
	}
	for _, r := range []result{handled, duplicate, behind, ignored, rejected, parked, dead} {
		m.verdicts[r] = m.handled.WithLabelValues(string(r))
	}
	for _, r := range []string{"committed", "undone"} {
		m.batches.WithLabelValues(r)
	}
	for _, from := range []string{"queue", "log"} {
		m.unflagged.WithLabelValues(from)
	}
	return m
}

// done counts a message.
func (m *metrics) done(r result) {
	m.verdicts[r].Inc()
	if r == duplicate {
		m.duplicates.Inc()
	}
}

// skipped counts a message that was seen before. One that is known by its sequence is
// taken to be so if a later one of its key was seen. That the broker does not know it
// for a redelivery is as it should be if a relay has published it twice; if somebody
// else has put it back, it is perhaps skipped without ever having been handled.
func (m *metrics) skipped(it *item) {
	m.done(duplicate)
	if it.level != bySequence || it.d.Redelivered {
		return
	}
	if it.d.Position == nil {
		m.unflagged.WithLabelValues("queue").Inc()
	} else {
		m.unflagged.WithLabelValues("log").Inc()
	}
}

// batch counts a batch.
func (m *metrics) batch(err error) {
	if err != nil {
		m.batches.WithLabelValues("undone").Inc()
	} else {
		m.batches.WithLabelValues("committed").Inc()
	}
}

// gaugesEvery is for how long what was asked of the database is told again.
const gaugesEvery = 10 * time.Second

// countMax is how far rows are counted.
const countMax = 100_000

// Collector are the metrics of the inbox, for a registry of Prometheus. Those of rows
// are asked of the database at most every ten seconds, and count up to 100,000.
func (i *Inbox[TX]) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, prometheus.Labels{"consumer": i.consumer})
	}
	return &collector[TX]{
		i:      i,
		keys:   desc("waxwing_inbox_parked_keys", "Keys, and messages without a key, that are put aside."),
		depth:  desc("waxwing_dlq_depth", "Dead letters."),
		oldest: desc("waxwing_dlq_oldest_age_seconds", "Age of the oldest dead letter, 0 if there is none."),
		rows:   desc("waxwing_inbox_rows", "Rows that say what was seen.", "table"),
	}
}

type collector[TX any] struct {
	i                         *Inbox[TX]
	keys, depth, oldest, rows *prometheus.Desc

	mu    sync.Mutex
	asked time.Time
	told  []prometheus.Metric
}

// Describe implements prometheus.Collector.
func (c *collector[TX]) Describe(ch chan<- *prometheus.Desc) {
	for _, one := range c.counters() {
		one.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{c.keys, c.depth, c.oldest, c.rows} {
		ch <- d
	}
}

func (c *collector[TX]) counters() []prometheus.Collector {
	m := c.i.m
	return []prometheus.Collector{m.duplicates, m.unflagged, m.retries, m.handled, m.batches, m.seconds}
}

// Collect implements prometheus.Collector.
func (c *collector[TX]) Collect(ch chan<- prometheus.Metric) {
	for _, one := range c.counters() {
		one.Collect(ch)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) >= gaugesEvery {
		c.told, c.asked = c.ask(), time.Now()
	}
	for _, m := range c.told {
		ch <- m
	}
}

// ask asks the database. What it does not answer is left out.
func (c *collector[TX]) ask() (out []prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tell := func(d *prometheus.Desc, query string, args []any, value func(n int64) float64, labels ...string) {
		var n int64
		if err := sqltx.One(ctx, c.i.db.Conn(), query, args, &n); err == nil {
			out = append(out, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value(n), labels...))
		}
	}
	plain := func(n int64) float64 { return float64(n) }
	who := c.i.consumer
	tell(c.keys, counted("waxwing_parked WHERE consumer = ? AND state IN (?, ?)"), []any{who, stateRetry, stateDead, countMax}, plain)
	tell(c.depth, counted("waxwing_parked WHERE consumer = ? AND state = ?"), []any{who, stateDead, countMax}, plain)
	tell(c.oldest, "SELECT COALESCE(MIN(due_us), 0) FROM waxwing_parked WHERE consumer = ? AND state = ?", []any{who, stateDead}, func(n int64) float64 {
		if n == 0 {
			return 0
		}
		return float64(c.i.now()-n) / 1e6
	})
	for _, table := range []string{"event", "key", "position"} {
		tell(c.rows, counted("waxwing_inbox_"+table+" WHERE consumer = ?"), []any{who, countMax}, plain, table)
	}
	return out
}

// counted counts rows up to a limit, its last argument.
func counted(from string) string {
	return "SELECT COUNT(*) FROM (SELECT 1 AS one FROM " + from + " LIMIT ?) AS counted"
}
