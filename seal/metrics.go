package seal

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// metrics are what an endpoint counts itself.
type metrics struct {
	sealed, opened, duplicates, restores prometheus.Counter
	failures                             *prometheus.CounterVec
	waiting                              prometheus.Gauge
}

func newMetrics(name string) *metrics {
	labels := prometheus.Labels{"endpoint": name}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		sealed:     counter("waxwing_seal_sealed_total", "Messages that were sealed, those of transactions included that were rolled back."),
		opened:     counter("waxwing_seal_opened_total", "Messages that were opened, those of transactions included that were rolled back."),
		duplicates: counter("waxwing_seal_duplicates_total", "Messages that had been opened before."),
		restores:   counter("waxwing_seal_restores_total", "Times that the counter was ahead of the database."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "waxwing_seal_failures_total", ConstLabels: labels,
			Help: "What could not be sealed or opened, by reason."}, []string{"reason"}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "waxwing_seal_one_time_keys", ConstLabels: labels,
			Help: "One-time keys that waited at the directory when it was last asked."}),
	}
	for _, r := range reasons {
		m.failures.WithLabelValues(r.word)
	}
	return m
}

// failed counts an error.
func (m *metrics) failed(err error) {
	if errors.Is(err, ErrDuplicate) && !errors.Is(err, ErrRolledBack) && !errors.Is(err, ErrExpired) {
		m.duplicates.Inc()
		return
	}
	m.failures.WithLabelValues(reasonOf(err)).Inc()
}

// counting counts messages that were sealed, or an error.
func (e *core) counting(err error, n int) error {
	if err != nil {
		e.m.failed(err)
		return err
	}
	e.m.sealed.Add(float64(n))
	return nil
}

// gaugesEvery is for how long what was asked of the database is told again.
const gaugesEvery = 10 * time.Second

// countMax is how far rows are counted.
const countMax = 100_000

// Collector are the metrics of the endpoint, for a registry of Prometheus. Those of rows
// are asked of the database at most every ten seconds, and count up to 100,000.
func (e *Endpoint[TX]) Collector() prometheus.Collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, nil, prometheus.Labels{"endpoint": e.core.local})
	}
	return &collector{
		e:        e.core,
		skipped:  desc("waxwing_seal_skipped_keys", "Keys of messages that have not come."),
		sessions: desc("waxwing_seal_sessions", "Sessions, also those that are not sealed with."),
		parked:   desc("waxwing_seal_parked", "Messages that were put aside and can be opened."),
	}
}

type collector struct {
	e                         *core
	skipped, sessions, parked *prometheus.Desc

	mu    sync.Mutex
	asked time.Time
	told  []prometheus.Metric
}

func (c *collector) own() []prometheus.Collector {
	m := c.e.m
	return []prometheus.Collector{m.sealed, m.opened, m.duplicates, m.restores, m.failures, m.waiting}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, one := range c.own() {
		one.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{c.skipped, c.sessions, c.parked} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, one := range c.own() {
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
func (c *collector) ask() (out []prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tell := func(d *prometheus.Desc, from string, args ...any) {
		var n int64
		err := sqltx.One(ctx, c.e.conn, "SELECT COUNT(*) FROM (SELECT 1 AS one FROM "+from+" LIMIT ?) AS counted", append(args, countMax), &n)
		if err == nil {
			out = append(out, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n)))
		}
	}
	tell(c.skipped, "waxwing_seal_skipped WHERE local = ?", c.e.local)
	tell(c.sessions, "waxwing_seal_session WHERE local = ?", c.e.local)
	tell(c.parked, "waxwing_seal_pinned WHERE local = ? AND expires_us > ?", c.e.local, c.e.nowUS())
	return out
}
