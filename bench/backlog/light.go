package main

import (
	"context"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
	"github.com/waxwing-mq/waxwing/internal/record"
)

const probeTopic = "probe"

// light is a producer that sends one small message at a time, at a fixed rate,
// and notes how long each took from when it was due. Meanwhile it watches what
// the broker does in the background.
type light struct {
	conn    *daemon.Conn
	every   time.Duration
	watch   *watch
	samples []sample
}

// sample is one message.
type sample struct {
	due  time.Time
	took time.Duration
	work work // what went on when it was answered
}

// run sends until ctx is over; done says, between messages, whether that is
// enough.
func (l *light) run(ctx context.Context, done func() bool) error {
	value := make([]byte, 100)
	due := time.Now()
	for ; ctx.Err() == nil && !done(); due = due.Add(l.every) {
		time.Sleep(time.Until(due))
		batch := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: time.Now().UnixMilli(), Value: value}}})
		if _, err := l.conn.Produce(probeTopic, []daemon.Batch{{Bytes: batch}}); err != nil {
			return err
		}
		l.samples = append(l.samples, sample{due: due, took: time.Since(due), work: l.watch.now()})
	}
	return ctx.Err()
}

// latency sums up samples.
type latency struct {
	Count     int     `json:"count"`
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
	MaxMillis float64 `json:"max_ms"`
}

// summarise takes the samples that belong.
func (l *light) summarise(belongs func(sample) bool) latency {
	var took []time.Duration
	for _, s := range l.samples {
		if belongs(s) {
			took = append(took, s.took)
		}
	}
	if len(took) == 0 {
		return latency{}
	}
	slices.Sort(took)
	at := func(share float64) float64 { return millis(took[min(len(took)-1, int(share*float64(len(took))))]) }
	return latency{Count: len(took), P50Millis: at(0.5), P99Millis: at(0.99), MaxMillis: at(1)}
}
