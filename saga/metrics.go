package saga

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// stats are the counters of an engine. They count before the transaction commits,
// and again if it is tried again.
type stats struct {
	transitions, compensations, ended, ignoredReplies *prometheus.CounterVec
}

func newStats() stats {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return stats{
		transitions:    vec("waxwing_saga_transitions_total", "Transitions of sagas by this process.", "saga"),
		compensations:  vec("waxwing_compensations_total", "Compensations by this process: ok, failed (tried again), stuck, skipped.", "result"),
		ended:          vec("waxwing_saga_ended_total", "Sagas that this process has seen end: completed, compensated.", "saga", "state"),
		ignoredReplies: vec("waxwing_saga_replies_ignored_total", "Replies that change nothing: too late, again, or to no saga.", "reason"),
	}
}

func (s *stats) transition(t *transition) {
	s.transitions.WithLabelValues(t.in.def.name).Inc()
	for _, result := range t.undone {
		s.compensations.WithLabelValues(result).Inc()
	}
	if state := t.in.State(); !state.Live() {
		s.ended.WithLabelValues(t.in.def.name, string(state)).Inc()
	}
}

func (s *stats) ignored(reason string) { s.ignoredReplies.WithLabelValues(reason).Inc() }

// How long the database's figures are kept, and may take.
const (
	collectEvery   = 10 * time.Second
	collectTimeout = 2 * time.Second
)

var (
	activeDesc = prometheus.NewDesc("waxwing_saga_active", "Sagas under way in the database, by state.", []string{"saga", "state"}, nil)
	stuckDesc  = prometheus.NewDesc("waxwing_saga_stuck", "Sagas that need an operator, or have stood still for too long.", nil, nil)
)

// Collector are the metrics of this engine and of all sagas in its database, which
// is asked at most every 10 s.
func (e *Engine[TX]) Collector() prometheus.Collector { return &collector[TX]{e: e} }

type collector[TX any] struct {
	e *Engine[TX]

	mu     sync.Mutex
	read   time.Time
	active map[[2]string]float64 // by saga and state
	stuck  float64
	known  bool
}

func (c *collector[TX]) Describe(ch chan<- *prometheus.Desc) {
	ch <- activeDesc
	ch <- stuckDesc
	for _, v := range c.e.stats.vecs() {
		v.Describe(ch)
	}
}

func (s *stats) vecs() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{s.transitions, s.compensations, s.ended, s.ignoredReplies}
}

func (c *collector[TX]) Collect(ch chan<- prometheus.Metric) {
	for _, v := range c.e.stats.vecs() {
		v.Collect(ch)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) >= collectEvery {
		c.refresh()
	}
	if !c.known {
		return
	}
	for of, n := range c.active {
		ch <- prometheus.MustNewConstMetric(activeDesc, prometheus.GaugeValue, n, of[0], of[1])
	}
	ch <- prometheus.MustNewConstMetric(stuckDesc, prometheus.GaugeValue, c.stuck)
}

// refresh asks the database. Without an answer there are no figures rather than old
// ones.
func (c *collector[TX]) refresh() {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	c.read, c.known = time.Now(), false
	now, _ := c.e.clock()
	active, stuck := map[[2]string]float64{}, 0.0
	query := `SELECT name, state, COUNT(*), SUM(CASE WHEN state = 'attention' OR updated_us < ` + now + ` - ? THEN 1 ELSE 0 END)
		FROM waxwing_saga WHERE state IN (` + liveStates + `) GROUP BY name, state`
	err := sqltx.Each(ctx, c.e.db.Conn(), query, []any{c.e.opts.stuckAfter.Microseconds()}, func(read func(...any) error) error {
		var of [2]string
		var n, slow float64
		err := read(&of[0], &of[1], &n, &slow)
		active[of], stuck = n, stuck+slow
		return err
	})
	if err != nil {
		c.e.opts.log.Warn("saga: metrics", "error", strings.TrimSpace(err.Error()))
		return
	}
	c.active, c.stuck, c.known = active, stuck, true
}
