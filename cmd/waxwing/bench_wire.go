package main

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wireStats is a client hook that counts produce requests and batches as they
// went over the wire.
type wireStats struct {
	on atomic.Bool // false until the clock starts

	requests     atomic.Int64
	requestBytes atomic.Int64
	failed       atomic.Int64 // requests that got no answer
	roundTrip    histogram    // from writing a request to its answer

	batches      atomic.Int64
	batchRecords atomic.Int64
	batchBytes   atomic.Int64 // records only, as compressed
}

// OnBrokerE2E counts a produce request when its answer is there, or when it was
// written if none will come (acks=0).
func (w *wireStats) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != int16(kmsg.Produce) || !w.on.Load() {
		return
	}
	w.requests.Add(1)
	w.requestBytes.Add(int64(e2e.BytesWritten))
	if e2e.Err() != nil {
		w.failed.Add(1)
		return
	}
	w.roundTrip.record(e2e.DurationE2E())
}

// OnProduceBatchWritten counts an acknowledged batch.
func (w *wireStats) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	if !w.on.Load() {
		return
	}
	w.batches.Add(1)
	w.batchRecords.Add(int64(m.NumRecords))
	w.batchBytes.Add(int64(m.CompressedBytes))
}

// latencies copies the round trips.
func (w *wireStats) latencies() *counts {
	c := &counts{}
	c.add(&w.roundTrip)
	return c
}

// fetchStarted is a client hook that tells when the first fetch is under way.
type fetchStarted struct {
	done chan struct{}
	once atomic.Bool
}

// OnBrokerWrite notes the first fetch request.
func (f *fetchStarted) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == int16(kmsg.Fetch) && err == nil && f.once.CompareAndSwap(false, true) {
		close(f.done)
	}
}
