package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchKafka holds the flags of `waxwing bench kafka`.
type benchKafka struct {
	conn connection
	send sendOptions

	records  int64
	duration time.Duration
	size     sizeValue
	rate     float64

	batchBytes   sizeValue
	batchRecords int
	requestBytes sizeValue
	linger       time.Duration
	inflight     int
	buffered     int

	topic       string
	topics      int
	partitions  int32
	replication int16
	configs     pairsValue
	keep        bool

	producers  int
	consumers  int
	roundRobin bool
	consume    *enumValue
	json       bool
}

func newBenchKafkaCommand() *cobra.Command {
	b := benchKafka{
		send: newSendOptions(), configs: pairsValue{}, size: 1024, batchBytes: 1000000,
		consume: newEnum("none", "live", "after", "both"),
	}
	cmd := &cobra.Command{
		Use:   "kafka",
		Short: "Measure a Kafka broker: throughput, latency, end to end",
		Long: `Produces records through a Kafka client to a topic made for the purpose, and tells
how many were acknowledged per second, how long each took (p50, p99, p99.9, worst)
and how they were batched. It works against Waxwing and any other Kafka cluster, so
the two can be compared with the same client.

Without --rate it produces as fast as it can, and latency counts from the moment
when the client took the record: mostly the wait in its own queue. With --rate each
record is due at a fixed time (in ticks of at most 4,000 a second) and latency counts
from then: a stall of the broker, or of this program, counts against every record
that was due meanwhile. One record per producer and topic is sent before the clock
starts, so that connections and metadata are not measured.

--consume=live reads the records while they are produced and gives the latency from
producing to receiving. --consume=after reads all of them again at the end and gives
the throughput of reading. --consume alone does both. Every acknowledged record must
be read; lost, failed or duplicated ones make the exit code 1.

Progress goes to stderr once a second, the result to stdout.`,
		Example: `  waxwing bench kafka --records 1000000 --size 1024
  waxwing bench kafka --rate 20000 --duration 30s --consume=live
  waxwing bench kafka --partitions 10000 --round-robin --request-bytes 1MB
  waxwing bench kafka -b kafka:9092 --producers 4 --consume --json`,
		Args: cobra.NoArgs,
		RunE: b.run,
	}
	b.addFlags(cmd)
	return cmd
}

func (b *benchKafka) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Int64VarP(&b.records, "records", "n", 1000000, "records to produce")
	fs.DurationVarP(&b.duration, "duration", "d", 0, "produce for so long, instead of --records (with --rate: what is due in that time)")
	fs.VarP(&b.size, "size", "s", "bytes of each record's value")
	fs.Float64Var(&b.rate, "rate", 0, "records per second over all producers (0: as fast as possible)")

	fs.Var(&b.batchBytes, "batch-bytes", "largest batch for one partition")
	fs.IntVar(&b.batchRecords, "batch-records", 0, "about so many records per batch at most; sets --batch-bytes by --size")
	fs.Var(&b.requestBytes, "request-bytes", "largest produce request (0: the client's limit)")
	fs.DurationVar(&b.linger, "linger", 0, "wait so long for a batch to fill")
	fs.IntVar(&b.inflight, "inflight", 5, "requests under way at once per broker (always 5 when idempotent)")
	fs.IntVar(&b.buffered, "buffered", 16384, "records under way at once per producer")

	fs.StringVarP(&b.topic, "topic", "t", "", "topic to use (default: a new name); deleted afterwards if it was created")
	fs.IntVar(&b.topics, "topics", 1, "spread the records over so many topics, named TOPIC-0, TOPIC-1 …")
	fs.Int32VarP(&b.partitions, "partitions", "p", 1, "partitions of each topic")
	fs.Int16Var(&b.replication, "replication-factor", -1, "copies of each partition (-1: the broker's default)")
	fs.VarP(b.configs, "config", "c", "a setting of the created topics; may be repeated")
	fs.BoolVar(&b.keep, "keep", false, "do not delete the topics that were created")

	fs.IntVar(&b.producers, "producers", 1, "producers, each with connections of its own")
	fs.IntVar(&b.consumers, "consumers", 1, "consumers, which share the partitions")
	fs.BoolVar(&b.roundRobin, "round-robin", false, "change the partition with every record, not with every batch")
	addEnum(cmd, b.consume, "consume", "", "read the records too")
	fs.Lookup("consume").NoOptDefVal = "both"
	fs.BoolVar(&b.json, "json", false, "print the result as JSON")
	cmd.MarkFlagsMutuallyExclusive("records", "duration")
	cmd.MarkFlagsMutuallyExclusive("batch-bytes", "batch-records")
	b.send.addTo(cmd)
	b.conn.addTo(cmd)
}

// check refuses what cannot be measured.
func (b *benchKafka) check(cmd *cobra.Command) error {
	if b.duration > 0 {
		b.records = 0
	}
	limits := []struct {
		name      string
		value     int64
		low, high int64
	}{
		{"records", b.records, 0, ledgerMax},
		{"size", int64(b.size), 0, 64 << 20},
		{"batch-records", int64(b.batchRecords), 0, 1 << 20},
		{"inflight", int64(b.inflight), 1, 1000},
		{"buffered", int64(b.buffered), 1, 1 << 20},
		{"topics", int64(b.topics), 1, 10000},
		{"partitions", int64(b.partitions), 1, 100000},
		{"producers", int64(b.producers), 1, 1000},
		{"consumers", int64(b.consumers), 1, 1000},
	}
	for _, l := range limits {
		if l.value < l.low || l.value > l.high {
			return fmt.Errorf("--%s must be between %d and %d", l.name, l.low, l.high)
		}
	}
	switch {
	case b.duration < 0 || b.records == 0 && b.duration == 0:
		return fmt.Errorf("--records or --duration must be more than 0")
	case b.rate < 0 || b.rate > 1e9:
		return fmt.Errorf("--rate must be between 0 and 1e9")
	case b.consume.value != "none" && b.size < stampBytes:
		return fmt.Errorf("--size must be at least %d with --consume: each record carries its number and time", stampBytes)
	case cmd.Flags().Changed("inflight") && b.send.idempotent:
		return fmt.Errorf("--inflight needs --idempotent=false: idempotent producers have 5 requests under way")
	}
	return b.checkBatch()
}

// checkBatch settles --batch-bytes.
func (b *benchKafka) checkBatch() error {
	if b.batchRecords > 0 {
		b.batchBytes = sizeValue(batchBytesFor(b.batchRecords, int(b.size)))
	}
	if b.batchBytes < 512 || b.batchBytes > 64<<20 {
		return fmt.Errorf("a batch must be between 512 and %d bytes, not %d", 64<<20, b.batchBytes)
	}
	if b.requestBytes != 0 && b.requestBytes < b.batchBytes {
		b.batchBytes = b.requestBytes
	}
	if need := batchBytesFor(1, int(b.size)); int64(b.batchBytes) < need {
		return fmt.Errorf("a batch of %d bytes is too small for a record of %d", b.batchBytes, b.size)
	}
	return nil
}

// batchBytesFor is how many bytes a batch of n records with values of size
// bytes takes: 65 of header, and for each record its length, attributes,
// timestamp and offset deltas, key length, value length and header count
// around the value, all with the longest variable-length numbers that occur.
func batchBytesFor(n, size int) int64 {
	const header, around = 65, 5 + 1 + 3 + 3 + 1 + 5 + 1
	return header + int64(n)*int64(size+around)
}

// producerOptions are the client options that the flags ask for.
func (b *benchKafka) producerOptions() []kgo.Opt {
	partitioner := kgo.StickyPartitioner()
	if b.roundRobin {
		partitioner = kgo.RoundRobinPartitioner()
	}
	options := append(b.send.options(),
		kgo.RecordPartitioner(partitioner),
		kgo.ProducerLinger(b.linger),
		kgo.ProducerBatchMaxBytes(int32(b.batchBytes)),
		kgo.MaxBufferedRecords(2*b.buffered),
	)
	if !b.send.idempotent {
		options = append(options, kgo.MaxProduceRequestsInflightPerBroker(b.inflight))
	}
	if b.requestBytes > 0 {
		options = append(options, kgo.BrokerMaxWriteBytes(int32(max(b.requestBytes, 1024))))
	}
	return options
}

func (b *benchKafka) run(cmd *cobra.Command, _ []string) error {
	if err := errors.Join(b.send.check(cmd), b.check(cmd)); err != nil {
		return err
	}
	run := newBenchRun(b, cmd.ErrOrStderr())
	result, err := run.do(cmd.Context(), b.producerOptions())
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

// do makes the topics, produces, consumes and deletes the topics again.
func (r *benchRun) do(ctx context.Context, options []kgo.Opt) (result *benchResult, err error) {
	if err := r.openTopics(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.closeTopics(ctx)) }()
	defer r.closeProducers()
	if err := r.openProducers(ctx, options); err != nil {
		return nil, err
	}
	mode := r.flags.consume.value
	if mode == "live" || mode == "both" {
		if r.live, err = r.startPass(ctx); err != nil {
			return nil, err
		}
		defer r.live.close()
	}
	if err := r.produce(ctx); err != nil {
		return nil, err
	}
	if r.interrupted { // what was not read was not lost
		r.live = nil
		return r.result(), nil
	}
	if r.live != nil {
		if err := r.finishPass(ctx, r.live); err != nil {
			return nil, err
		}
	}
	if mode == "after" || mode == "both" {
		if r.after, err = r.startPass(ctx); err != nil {
			return nil, err
		}
		if err := r.finishPass(ctx, r.after); err != nil {
			return nil, err
		}
	}
	return r.result(), nil
}
