package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sendOptions are the producer flags that `produce` and `bench kafka` share.
type sendOptions struct {
	acks        *enumValue
	compression *enumValue
	idempotent  bool
}

func newSendOptions() sendOptions {
	return sendOptions{
		acks:        newEnum("all", "1", "0"),
		compression: newEnum("none", "gzip", "snappy", "lz4", "zstd"),
	}
}

// addTo adds the flags to cmd.
func (o *sendOptions) addTo(cmd *cobra.Command) {
	addEnum(cmd, o.acks, "acks", "", "who must have a record before it counts as sent")
	addEnum(cmd, o.compression, "compression", "z", "how batches are compressed")
	cmd.Flags().BoolVar(&o.idempotent, "idempotent", true, "let the broker drop retried duplicates (needs --acks all)")
}

// check settles the flags. Without --acks all the producer is not idempotent;
// to ask for both by name is an error.
func (o *sendOptions) check(cmd *cobra.Command) error {
	if o.acks.value == "all" {
		return nil
	}
	if o.idempotent && cmd.Flags().Changed("idempotent") {
		return fmt.Errorf("--idempotent needs --acks all")
	}
	o.idempotent = false
	return nil
}

// options returns the flags for the client, once they are checked.
func (o *sendOptions) options() []kgo.Opt {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	options := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[o.compression.value]),
		kgo.RequiredAcks(acks[o.acks.value]),
	}
	if !o.idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	return options
}

// noPartition in a record's Partition leaves the choice to its key.
const noPartition = -1

// chosenPartitioner sends a record to the partition that it names. Records
// with noPartition go where Kafka's Java client would send them: by the murmur2
// hash of the key, and without a key to one partition per batch.
type chosenPartitioner struct{ byKey kgo.Partitioner }

func newChosenPartitioner() kgo.Partitioner {
	return chosenPartitioner{kgo.StickyKeyPartitioner(nil)}
}

func (p chosenPartitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return chosenTopicPartitioner{p.byKey.ForTopic(topic)}
}

type chosenTopicPartitioner struct{ kgo.TopicPartitioner }

func (p chosenTopicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != noPartition || p.TopicPartitioner.RequiresConsistency(r)
}

func (p chosenTopicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition != noPartition {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

// OnNewBatch tells the key partitioner to move on to another partition.
func (p chosenTopicPartitioner) OnNewBatch() {
	if sticky, ok := p.TopicPartitioner.(kgo.TopicPartitionerOnNewBatch); ok {
		sticky.OnNewBatch()
	}
}
