package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// benchResult is what a run has measured. Times are in the unit of their name;
// sizes and rates in bytes count the values of the records only, except in
// Requests.
type benchResult struct {
	Bootstrap   string  `json:"bootstrap"`
	Topic       string  `json:"topic"`
	Topics      int     `json:"topics"`
	Partitions  int     `json:"partitionsPerTopic"`
	Producers   int     `json:"producers"`
	Consumers   int     `json:"consumers"`
	RecordBytes int64   `json:"recordBytes"`
	Acks        string  `json:"acks"`
	Idempotent  bool    `json:"idempotent"`
	Compression string  `json:"compression"`
	BatchBytes  int64   `json:"batchBytesMax"`
	LingerMs    float64 `json:"lingerMs"`
	RoundRobin  bool    `json:"roundRobin"`
	RateAsked   float64 `json:"rateAsked"` // 0: as fast as possible
	Interrupted bool    `json:"interrupted"`

	Produce  produceResult  `json:"produce"`
	Requests requestResult  `json:"requests"`
	EndToEnd *latencyResult `json:"endToEndLatency,omitempty"` // from due to received, while producing
	Consume  *readResult    `json:"consume,omitempty"`         // read again after producing

	Lost       int64  `json:"lost"`       // acknowledged and not read
	Failed     int64  `json:"failed"`     // not acknowledged
	Duplicated int64  `json:"duplicated"` // read more than once
	Error      string `json:"error,omitempty"`
}

// produceResult is the producers' view.
type produceResult struct {
	readResult
	Latency     latencyResult  `json:"latency"`
	LatencyFrom string         `json:"latencyFrom"`           // "call" or "schedule"
	ScheduleLag *latencyResult `json:"scheduleLag,omitempty"` // how late this program itself was
}

// requestResult is the wire's view of producing. Bytes are whole requests.
type requestResult struct {
	Count             int64         `json:"count"`
	Unanswered        int64         `json:"unanswered"`
	Bytes             int64         `json:"bytes"`
	BytesPerRequest   float64       `json:"bytesPerRequest"`
	RecordsPerRequest float64       `json:"recordsPerRequest"`
	Batches           int64         `json:"batches"`
	RecordsPerBatch   float64       `json:"recordsPerBatch"`
	BytesPerBatch     float64       `json:"bytesPerBatch"` // as compressed
	RoundTrip         latencyResult `json:"roundTrip"`
}

// readResult is a number of records over a time.
type readResult struct {
	Records          int64   `json:"records"`
	Bytes            int64   `json:"bytes"`
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"recordsPerSecond"`
	BytesPerSecond   float64 `json:"bytesPerSecond"`
}

// latencyResult is a distribution in milliseconds.
type latencyResult struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"meanMs"`
	P50   float64 `json:"p50Ms"`
	P99   float64 `json:"p99Ms"`
	P999  float64 `json:"p999Ms"`
	Max   float64 `json:"maxMs"`
}

func newReadResult(records, bytes int64, took time.Duration) readResult {
	seconds := max(took.Seconds(), 1e-9)
	return readResult{
		Records: records, Bytes: bytes, Seconds: took.Round(time.Microsecond).Seconds(),
		RecordsPerSecond: math.Round(float64(records) / seconds), BytesPerSecond: math.Round(float64(bytes) / seconds),
	}
}

func newLatencyResult(c *counts) latencyResult {
	ms := func(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / 1e6 }
	return latencyResult{
		Count: c.total, Mean: ms(c.mean()), P50: ms(c.quantile(0.5)), P99: ms(c.quantile(0.99)),
		P999: ms(c.quantile(0.999)), Max: ms(time.Duration(c.max)),
	}
}

// result gathers everything that was counted.
func (r *benchRun) result() *benchResult {
	f := r.flags
	acked, failed := r.acked()
	out := &benchResult{
		Bootstrap: strings.Join(f.conn.bootstrap, ","), Topic: strings.Join(r.topics[:1], ""), Topics: len(r.topics),
		Partitions: len(r.starts[r.topics[0]]), Producers: f.producers, Consumers: f.consumers,
		RecordBytes: int64(f.size), Acks: f.send.acks.value, Idempotent: f.send.idempotent,
		Compression: f.send.compression.value, BatchBytes: int64(f.batchBytes),
		LingerMs: float64(f.linger) / 1e6, RoundRobin: f.roundRobin, RateAsked: f.rate,
		Interrupted: r.interrupted, Failed: failed,
		Produce: produceResult{
			readResult: newReadResult(acked, acked*int64(f.size), r.done-r.began),
			Latency:    newLatencyResult(r.latency()), LatencyFrom: "call",
		},
		Requests: r.requests(acked),
	}
	if f.rate > 0 {
		lag := &counts{}
		for _, p := range r.producers {
			lag.add(&p.lag)
		}
		result := newLatencyResult(lag)
		out.Produce.LatencyFrom, out.Produce.ScheduleLag = "schedule", &result
	}
	for _, p := range r.producers {
		if err := p.err.Load(); err != nil && out.Error == "" {
			out.Error = oneLine(brokerError(*err, "").Error())
		}
	}
	out.addPasses(r.live, r.after)
	return out
}

// requests sums up the wire.
func (r *benchRun) requests(acked int64) requestResult {
	w := &r.wire
	per := func(total, n int64) float64 { return math.Round(10*float64(total)/float64(max(n, 1))) / 10 }
	requests, batches := w.requests.Load(), w.batches.Load()
	return requestResult{
		Count: requests, Unanswered: w.failed.Load(), Bytes: w.requestBytes.Load(),
		BytesPerRequest:   per(w.requestBytes.Load(), requests),
		RecordsPerRequest: per(acked, requests),
		Batches:           batches,
		RecordsPerBatch:   per(w.batchRecords.Load(), batches),
		BytesPerBatch:     per(w.batchBytes.Load(), batches),
		RoundTrip:         newLatencyResult(w.latencies()),
	}
}

// addPasses adds what the consumers saw. The passes may be nil.
func (out *benchResult) addPasses(live, after *benchPass) {
	for _, p := range []*benchPass{live, after} {
		if p == nil {
			continue
		}
		out.Lost = max(out.Lost, p.lost())
		out.Duplicated = max(out.Duplicated, p.duplicates.Load())
		if err := p.err.Load(); err != nil && out.Error == "" {
			out.Error = oneLine((*err).Error())
		}
	}
	if live != nil {
		c := &counts{}
		c.add(&live.latency)
		result := newLatencyResult(c)
		out.EndToEnd = &result
	}
	if after != nil {
		result := newReadResult(after.received.Load(), after.bytes.Load(), time.Duration(after.last.Load())-after.began)
		out.Consume = &result
	}
}

// verdict is an error if the run was not clean.
func (out *benchResult) verdict() error {
	switch {
	case out.Lost > 0:
		return fmt.Errorf("%s lost", count(int(out.Lost), "acknowledged record"))
	case out.Failed > 0:
		return fmt.Errorf("%s not acknowledged: %s", count(int(out.Failed), "record"), out.Error)
	case out.Duplicated > 0 && out.Idempotent:
		return fmt.Errorf("%s read more than once", count(int(out.Duplicated), "record"))
	case out.Error != "":
		return errors.New(out.Error)
	case out.Interrupted:
		return errInterrupted
	}
	return nil
}

// print writes the result for people.
func (out *benchResult) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("topic", "%s, %s", out.Topic, out.layout())
	row("producing", "%s, acks %s, idempotent %t, compression %s, batches up to %s B, linger %gms",
		count(out.Producers, "producer"), out.Acks, out.Idempotent, out.Compression, groupDigits(out.BatchBytes), out.LingerMs)
	row("produced", "%s", out.Produce.readResult)
	row("latency", "%s  (from %s to acknowledged)", out.Produce.Latency, map[string]string{"call": "the call", "schedule": "when due"}[out.Produce.LatencyFrom])
	if lag := out.Produce.ScheduleLag; lag != nil {
		row("", "asked for %s/s; this program was late by %s", groupDigits(int64(out.RateAsked)), lag)
	}
	q := out.Requests
	row("requests", "%s of %s B and %.1f records each; round trip %s", groupDigits(q.Count), groupDigits(int64(q.BytesPerRequest)), q.RecordsPerRequest, q.RoundTrip)
	row("batches", "%s of %s B and %.1f records each", groupDigits(q.Batches), groupDigits(int64(q.BytesPerBatch)), q.RecordsPerBatch)
	if out.EndToEnd != nil {
		row("end to end", "%s", out.EndToEnd)
	}
	if out.Consume != nil {
		row("read", "%s", out.Consume)
	}
	row("lost", "%s, failed %s, duplicated %s", groupDigits(out.Lost), groupDigits(out.Failed), groupDigits(out.Duplicated))
	return tw.Flush()
}

// layout says over how many partitions the records were spread.
func (out *benchResult) layout() string {
	text := count(out.Partitions, "partition")
	if out.Topics > 1 {
		text = count(out.Topics, "topic") + " of " + text
	}
	if out.RoundRobin {
		text += ", one by one"
	}
	return text
}

func (r readResult) String() string {
	return fmt.Sprintf("%s records in %.2f s: %s/s, %.1f MB/s",
		groupDigits(r.Records), r.Seconds, groupDigits(int64(r.RecordsPerSecond)), r.BytesPerSecond/1e6)
}

func (l latencyResult) String() string {
	ms := func(v float64) string { return shortDuration(time.Duration(v * 1e6)) }
	return fmt.Sprintf("p50 %s  p99 %s  p99.9 %s  max %s", ms(l.P50), ms(l.P99), ms(l.P999), ms(l.Max))
}
