package main

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/bench/kill/daemon"
	"github.com/waxwing-mq/waxwing/internal/record"
	"golang.org/x/sync/errgroup"
)

const probeTopic = "probe"

// light is a producer that sends one small message at a time, at a fixed rate,
// and notes how long each took. Meanwhile it watches what the broker does in
// the background, and measures the device alone, which others may be using.
type light struct {
	conn    *daemon.Conn
	every   time.Duration
	watch   *watch
	samples []sample // of the broker
	device  []sample
}

// sample is one message, or one write to the device.
type sample struct {
	due  time.Time
	took time.Duration
	work work // what went on when it was answered
}

// deviceEvery is how often the device is measured.
const deviceEvery = 20 * time.Millisecond

// run sends until done, which is asked between messages, or ctx is over. The
// file at scratch is written to, to measure the device.
func (l *light) run(ctx context.Context, scratch string, done func() bool) error {
	f, err := os.Create(scratch)
	if err != nil {
		return err
	}
	defer f.Close()
	g, ctx := errgroup.WithContext(ctx)
	var over atomic.Bool
	g.Go(func() error {
		defer over.Store(true)
		l.samples, err = l.paced(ctx, l.every, done, l.produce)
		return err
	})
	g.Go(func() (err error) {
		l.device, err = l.paced(ctx, deviceEvery, over.Load, func() error { return writeAndSync(f) })
		return err
	})
	return g.Wait()
}

// paced calls f at a fixed rate. What is due while f runs waits, and that
// counts.
func (l *light) paced(ctx context.Context, every time.Duration, done func() bool, f func() error) ([]sample, error) {
	var samples []sample
	for due := time.Now(); ctx.Err() == nil && !done(); due = due.Add(every) {
		began := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			began = time.Now() // a sleep may be longer by a millisecond
		}
		if err := f(); err != nil {
			return nil, err
		}
		samples = append(samples, sample{due: due, took: time.Since(began), work: l.watch.now()})
	}
	return samples, ctx.Err()
}

func (l *light) produce() error {
	batch := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: time.Now().UnixMilli(), Value: make([]byte, 100)}}})
	_, err := l.conn.Produce(probeTopic, []daemon.Batch{{Bytes: batch}})
	return err
}

// writeAndSync overwrites the same page.
func writeAndSync(f *os.File) error {
	if _, err := f.WriteAt(make([]byte, 4<<10), 0); err != nil {
		return err
	}
	return f.Sync()
}

// latency sums up samples.
type latency struct {
	Count     int     `json:"count"`
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
	MaxMillis float64 `json:"max_ms"`
}

// beside is what the light load and the device have measured at the same time.
type beside struct {
	Produce latency `json:"produce"`
	Device  latency `json:"device"` // write and sync of 4 KiB
}

// summarise takes the samples that belong.
func (l *light) summarise(belongs func(sample) bool) beside {
	return beside{Produce: sum(l.samples, belongs), Device: sum(l.device, belongs)}
}

func sum(samples []sample, belongs func(sample) bool) latency {
	var took []time.Duration
	for _, s := range samples {
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
