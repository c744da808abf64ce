package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// amqpResult is what a run has measured. Times are in the unit of their name;
// sizes and rates in bytes count the bodies of the messages only.
type amqpResult struct {
	Broker     string `json:"broker"` // product and version, as it says
	Address    string `json:"address"`
	Queue      string `json:"queue"`
	Queues     int    `json:"queues"`
	QueueType  string `json:"queueType"`
	Durable    bool   `json:"durable"`
	Publishers int    `json:"publishers"`
	BodyBytes  int64  `json:"bodyBytes"`
	Confirms   bool   `json:"confirms"`
	InFlight   int    `json:"inFlightMax"` // per publisher; with confirms
	Consuming  string `json:"consuming"`   // none, live or after
	Consumers  int    `json:"consumers"`
	Prefetch   int    `json:"prefetch"`
	AckEvery   int    `json:"ackEvery"` // 0: no acknowledgements

	RateAsked   float64 `json:"rateAsked"` // 0: as fast as possible
	Interrupted bool    `json:"interrupted"`

	Publish  amqpPublished  `json:"publish"`
	Consume  *amqpRate      `json:"consume,omitempty"`
	EndToEnd *latencyResult `json:"endToEndLatency,omitempty"` // from due to delivered, while publishing

	Lost       int64  `json:"lost"`       // confirmed and not delivered
	Failed     int64  `json:"failed"`     // refused
	Duplicated int64  `json:"duplicated"` // delivered more than once
	Error      string `json:"error,omitempty"`
}

// amqpPublished is the publishers' view.
type amqpPublished struct {
	amqpRate
	Latency     *latencyResult `json:"latency,omitempty"`     // to the confirm
	LatencyFrom string         `json:"latencyFrom"`           // "call" or "schedule"
	ScheduleLag *latencyResult `json:"scheduleLag,omitempty"` // how late this program itself was
}

// amqpRate is a number of messages over a time.
type amqpRate struct {
	Messages          int64   `json:"messages"`
	Bytes             int64   `json:"bytes"`
	Seconds           float64 `json:"seconds"`
	MessagesPerSecond float64 `json:"messagesPerSecond"`
	BytesPerSecond    float64 `json:"bytesPerSecond"`
}

func newAMQPRate(messages, bytes int64, took time.Duration) amqpRate {
	seconds := max(took.Seconds(), 1e-9)
	return amqpRate{
		Messages: messages, Bytes: bytes, Seconds: took.Round(time.Microsecond).Seconds(),
		MessagesPerSecond: math.Round(float64(messages) / seconds), BytesPerSecond: math.Round(float64(bytes) / seconds),
	}
}

// brokerName is what a broker says that it is.
func brokerName(nc *amqp.Connection) string {
	product, _ := nc.Properties["product"].(string)
	version, _ := nc.Properties["version"].(string)
	return product + " " + version
}

// result gathers everything that was counted.
func (r *amqpRun) result() *amqpResult {
	f := r.flags
	acked, failed := r.acked()
	out := &amqpResult{
		Broker: brokerName(r.admin.nc), Address: r.admin.where, Queue: r.queues[0], Queues: len(r.queues),
		QueueType: f.kind.value, Durable: f.durable, Publishers: f.publishers, BodyBytes: int64(f.size),
		Confirms: f.confirms, InFlight: f.inflight, Consuming: f.consume.value, Consumers: f.consumers,
		Prefetch: f.prefetch, AckEvery: f.ackEvery, RateAsked: f.rate, Interrupted: r.interrupted, Failed: failed,
		Publish: amqpPublished{amqpRate: newAMQPRate(acked, acked*int64(f.size), r.done-r.began), LatencyFrom: "call"},
	}
	if f.autoAck {
		out.AckEvery = 0
	}
	if f.confirms {
		latency := newLatencyResult(r.latency())
		out.Publish.Latency = &latency
	}
	if f.rate > 0 {
		lag := &counts{}
		for _, p := range r.publishers {
			lag.add(&p.lag)
		}
		result := newLatencyResult(lag)
		out.Publish.LatencyFrom, out.Publish.ScheduleLag = "schedule", &result
	}
	if failed > 0 {
		out.Error = errRefused.Error()
	}
	if r.pass != nil {
		out.addPass(r.pass)
	}
	return out
}

// addPass adds what the consumers saw. While publishing, their time begins with
// the publishers'.
func (out *amqpResult) addPass(p *amqpPass) {
	out.Lost, out.Duplicated = p.lost(), p.duplicates.Load()
	if err := p.err.Load(); err != nil && out.Error == "" {
		out.Error = oneLine((*err).Error())
	}
	rate := newAMQPRate(p.received.Load(), p.bytes.Load(), time.Duration(p.last.Load())-max(p.began, out.liveFrom(p.run)))
	out.Consume = &rate
	if out.Consuming == "live" {
		c := &counts{}
		c.add(&p.latency)
		latency := newLatencyResult(c)
		out.EndToEnd = &latency
	}
}

// liveFrom is when publishing began, if messages were consumed meanwhile.
func (out *amqpResult) liveFrom(r *amqpRun) time.Duration {
	if out.Consuming == "live" {
		return r.began
	}
	return 0
}

// verdict is an error if the run was not clean.
func (out *amqpResult) verdict() error {
	switch {
	case out.Lost > 0:
		return fmt.Errorf("%s lost", count(int(out.Lost), "confirmed message"))
	case out.Failed > 0:
		return fmt.Errorf("%s not confirmed: %s", count(int(out.Failed), "message"), out.Error)
	case out.Duplicated > 0:
		return fmt.Errorf("%s delivered more than once", count(int(out.Duplicated), "message"))
	case out.Error != "":
		return errors.New(out.Error)
	case out.Interrupted:
		return errInterrupted
	}
	return nil
}

// print writes the result for people.
func (out *amqpResult) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("broker", "%s at %s", out.Broker, out.Address)
	row("queue", "%s", out.layout())
	row("publishing", "%s", out.publishing())
	if out.Consuming != "none" {
		row("consuming", "%s, prefetch %d, %s", count(out.Consumers, "consumer"), out.Prefetch, out.acks())
	}
	row("published", "%s", out.Publish.amqpRate)
	if out.Publish.Latency != nil {
		row("latency", "%s  (from %s to confirmed)", out.Publish.Latency,
			map[string]string{"call": "the call", "schedule": "when due"}[out.Publish.LatencyFrom])
	}
	if lag := out.Publish.ScheduleLag; lag != nil {
		row("", "asked for %s/s; this program was late by %s", groupDigits(int64(out.RateAsked)), lag)
	}
	if out.Consume != nil {
		row("consumed", "%s", out.Consume)
	}
	if out.EndToEnd != nil {
		row("end to end", "%s", out.EndToEnd)
	}
	row("lost", "%s, failed %s, duplicated %s", groupDigits(out.Lost), groupDigits(out.Failed), groupDigits(out.Duplicated))
	return tw.Flush()
}

// layout says to which queues the messages went.
func (out *amqpResult) layout() string {
	text := out.Queue
	if out.Queues > 1 {
		text += fmt.Sprintf(" and %s more in turn", groupDigits(int64(out.Queues-1)))
	}
	return text + ", " + out.queueKind()
}

// queueKind says what queues they are.
func (out *amqpResult) queueKind() string {
	text := "transient"
	if out.Durable {
		text = "durable"
	}
	if out.QueueType != queueTypes[0] {
		text += ", " + out.QueueType
	}
	return text
}

// publishing says how messages were published.
func (out *amqpResult) publishing() string {
	text := fmt.Sprintf("%s, bodies of %s B, ", count(out.Publishers, "publisher"), groupDigits(out.BodyBytes))
	if !out.Confirms {
		return text + "no confirms"
	}
	return text + fmt.Sprintf("at most %s unconfirmed each", groupDigits(int64(out.InFlight)))
}

// acks says how messages were acknowledged.
func (out *amqpResult) acks() string {
	switch out.AckEvery {
	case 0:
		return "no acknowledgements"
	case 1:
		return "each message acknowledged"
	}
	return fmt.Sprintf("%d messages acknowledged at once", out.AckEvery)
}

func (r amqpRate) String() string {
	return fmt.Sprintf("%s messages in %.2f s: %s/s, %.1f MB/s",
		groupDigits(r.Messages), r.Seconds, groupDigits(int64(r.MessagesPerSecond)), r.BytesPerSecond/1e6)
}
