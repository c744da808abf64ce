package node

import "github.com/prometheus/client_golang/prometheus"

// prekeyCollector shows counts of the prekey directory, over all identities: one
// series for each of them could be very many.
type prekeyCollector struct{ n *Node }

var (
	metricIdentities   = prometheus.NewDesc("waxwing_prekey_identities", "Identities in the prekey directory.", nil, nil)
	metricOneTime      = prometheus.NewDesc("waxwing_prekey_one_time_keys", "One-time keys that wait to be given out.", []string{"kind"}, nil)
	metricPrekeyBytes  = prometheus.NewDesc("waxwing_prekey_bytes", "About what all identities take in memory.", nil, nil)
	metricTakes        = prometheus.NewDesc("waxwing_prekey_takes_total", "Bundles that were given out.", nil, nil)
	metricTakesWithout = prometheus.NewDesc("waxwing_prekey_takes_without_one_time_key_total", "Of these, the ones without a one-time EC key or with the last-resort KEM key.", nil, nil)
)

// Describe implements prometheus.Collector.
func (prekeyCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{metricIdentities, metricOneTime, metricPrekeyBytes, metricTakes, metricTakesWithout} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c prekeyCollector) Collect(ch chan<- prometheus.Metric) {
	if !c.n.ready.Load() {
		return
	}
	st := c.n.broker.PrekeyStats()
	show := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	show(metricIdentities, prometheus.GaugeValue, float64(st.Identities))
	show(metricOneTime, prometheus.GaugeValue, float64(st.OneTime), "ec")
	show(metricOneTime, prometheus.GaugeValue, float64(st.OneTimeKEM), "kem")
	show(metricPrekeyBytes, prometheus.GaugeValue, float64(st.Bytes))
	show(metricTakes, prometheus.CounterValue, float64(st.Takes))
	show(metricTakesWithout, prometheus.CounterValue, float64(st.TakesWithout))
}
