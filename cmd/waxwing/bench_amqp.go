package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// benchAMQP holds the flags of `waxwing bench amqp`.
type benchAMQP struct {
	conn    amqpConnection
	compare string // the other broker's URL

	messages int64
	duration time.Duration
	size     sizeValue
	rate     float64

	confirms bool
	inflight int

	queue     string
	queues    int
	kind      *enumValue
	durable   bool
	arguments argumentsValue
	keep      bool

	publishers int
	consumers  int
	consume    *enumValue
	prefetch   int
	ackEvery   int
	autoAck    bool
	json       bool
}

func newBenchAMQPCommand() *cobra.Command {
	b := benchAMQP{
		arguments: argumentsValue{}, size: 1024, kind: newEnum(queueTypes...), consume: newEnum("none", "live", "after"),
	}
	cmd := &cobra.Command{
		Use:   "amqp",
		Short: "Measure an AMQP broker: throughput, confirms, delivery",
		Long: `Publishes messages through an AMQP 0-9-1 client to queues made for the purpose, and
tells how many were confirmed per second and how long each took from publishing to its
confirm (p50, p99, p99.9, worst). It works against Waxwing and RabbitMQ, and with
--compare measures two brokers in turn, the first, the second twice, the first, and
prints their ratios.

Without --rate it publishes as fast as it can with --inflight messages unconfirmed
per publisher. With --rate each message is due at a fixed time (in ticks of at most
4,000 a second) and latency counts from then: a stall of the broker, or of this
program, counts against every message that was due meanwhile. One message per queue is
published before the clock starts.

--consume (or --consume=live) consumes while it publishes, and gives the latency from
publishing to delivery. --consume=after consumes all at the end and gives the rate.
Every confirmed message must be delivered; lost, refused or duplicated ones make the
exit code 1.

Progress goes to stderr once a second, the result to stdout.`,
		Example: `  waxwing bench amqp --messages 1000000 --size 1024
  waxwing bench amqp --rate 20000 --duration 30s --consume
  waxwing bench amqp --queues 10000 --queue-type quorum --publishers 2
  waxwing bench amqp --duration 20s --consume --compare amqp://guest:guest@rabbit/ --json`,
		Args: cobra.NoArgs,
		RunE: b.run,
	}
	b.addFlags(cmd)
	return cmd
}

func (b *benchAMQP) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Int64VarP(&b.messages, "messages", "n", 1000000, "messages to publish")
	fs.DurationVarP(&b.duration, "duration", "d", 0, "publish for so long, instead of --messages (with --rate: what is due in that time)")
	fs.VarP(&b.size, "size", "s", "bytes of each message's body")
	fs.Float64Var(&b.rate, "rate", 0, "messages per second over all publishers (0: as fast as possible)")

	fs.BoolVar(&b.confirms, "confirms", true, "have the broker confirm each message")
	fs.IntVar(&b.inflight, "inflight", 1000, "messages without a confirm at once per publisher")

	fs.StringVarP(&b.queue, "queue", "q", "", "queue to use (default: a new name); deleted afterwards, if there was none of the name")
	fs.IntVar(&b.queues, "queues", 1, "spread the messages over so many queues in turn, named QUEUE-0, QUEUE-1 …")
	addEnum(cmd, b.kind, "queue-type", "", "type of the queues (default: the broker's)")
	fs.BoolVar(&b.durable, "durable", true, "durable queues and persistent messages")
	fs.VarP(b.arguments, "argument", "a", "an argument of the queues; may be repeated")
	fs.BoolVar(&b.keep, "keep", false, "do not delete the queues that were created")

	fs.IntVar(&b.publishers, "publishers", 1, "publishers, each with a connection of its own")
	fs.IntVar(&b.consumers, "consumers", 1, "consumers, each with a connection of its own, which share the queues")
	addEnum(cmd, b.consume, "consume", "", "consume the messages too")
	fs.Lookup("consume").NoOptDefVal = "live"
	fs.IntVar(&b.prefetch, "prefetch", 200, "messages without an acknowledgement at once per consumer and queue (0: no limit)")
	fs.IntVar(&b.ackEvery, "ack-every", 1, "acknowledge so many messages at once")
	fs.BoolVar(&b.autoAck, "auto-ack", false, "consume without acknowledgements")
	fs.StringVar(&b.compare, "compare", "", "URL of another broker to measure in turn")
	fs.BoolVar(&b.json, "json", false, "print the result as JSON")
	cmd.MarkFlagsMutuallyExclusive("messages", "duration")
	cmd.MarkFlagsMutuallyExclusive("ack-every", "auto-ack")
	b.conn.addTo(cmd)
}

// benchGCPercent is how much garbage may gather while an AMQP broker is
// measured, in percent of what is in use.
const benchGCPercent = 400

// check refuses what cannot be measured.
func (b *benchAMQP) check() error {
	if b.duration > 0 {
		b.messages = 0
	}
	limits := []struct {
		name      string
		value     int64
		low, high int64
	}{
		{"messages", b.messages, 0, ledgerMax},
		{"size", int64(b.size), 0, 64 << 20},
		{"inflight", int64(b.inflight), 1, 1 << 20},
		{"queues", int64(b.queues), 1, 1000000},
		{"publishers", int64(b.publishers), 1, 1000},
		{"consumers", int64(b.consumers), 1, 1000},
		{"prefetch", int64(b.prefetch), 0, 65535},
		{"ack-every", int64(b.ackEvery), 1, 65535},
	}
	for _, l := range limits {
		if l.value < l.low || l.value > l.high {
			return fmt.Errorf("--%s must be between %d and %d", l.name, l.low, l.high)
		}
	}
	switch {
	case b.duration < 0 || b.messages == 0 && b.duration == 0:
		return fmt.Errorf("--messages or --duration must be more than 0")
	case b.rate < 0 || b.rate > 1e9:
		return fmt.Errorf("--rate must be between 0 and 1e9")
	case b.consume.value != "none" && b.size < stampBytes:
		return fmt.Errorf("--size must be at least %d with --consume: each message carries its number and time", stampBytes)
	case b.prefetch > 0 && b.ackEvery > b.prefetch:
		return fmt.Errorf("--ack-every must not be more than --prefetch")
	}
	return nil
}

func (b *benchAMQP) run(cmd *cobra.Command, _ []string) error {
	if err := b.check(); err != nil {
		return err
	}
	// The library makes garbage of every message, and the broker may need the
	// cores more than its collection does.
	defer debug.SetGCPercent(debug.SetGCPercent(benchGCPercent))
	if b.compare != "" {
		return b.runCompare(cmd)
	}
	result, err := b.measure(cmd, b.conn.url)
	if err != nil {
		return err
	}
	if b.json {
		err = printJSON(cmd.OutOrStdout(), result)
	} else {
		err = result.print(cmd.OutOrStdout())
	}
	return errors.Join(err, result.verdict())
}

// measure runs once against the broker at url.
func (b *benchAMQP) measure(cmd *cobra.Command, url string) (*amqpResult, error) {
	flags := *b
	flags.conn.url = url
	if _, err := flags.conn.check(); err != nil {
		return nil, err
	}
	return newAMQPRun(&flags, cmd.ErrOrStderr()).do(cmd.Context())
}

// do makes the queues, publishes, consumes and deletes the queues again.
func (r *amqpRun) do(ctx context.Context) (result *amqpResult, err error) {
	if err := r.openQueues(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.closeQueues(ctx)) }()
	defer r.closePublishers()
	if err := r.openPublishers(ctx); err != nil {
		return nil, err
	}
	if r.flags.consume.value == "live" {
		if r.pass, err = r.startPass(ctx); err != nil {
			return nil, err
		}
		defer r.pass.close()
	}
	if err := r.publish(ctx); err != nil {
		return nil, err
	}
	if r.interrupted { // what was not delivered was not lost
		r.pass = nil
		return r.result(), nil
	}
	if r.flags.consume.value == "after" {
		if r.pass, err = r.startPass(ctx); err != nil {
			return nil, err
		}
		defer r.pass.close()
	}
	if r.pass != nil {
		if err := r.finishPass(ctx); err != nil {
			return nil, err
		}
	}
	return r.result(), nil
}
