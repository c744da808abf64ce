// Package kafka is a bus over the Kafka protocol, by franz-go, for Waxwing and
// for Apache Kafka from 2.5 on.
//
// A message is a record as CloudEvents' Kafka binding describes it, in binary
// mode:
//
//	Topic        the topic
//	Key          the key; an empty one is a null key
//	ID           header ce_id, with ce_specversion "1.0" beside it
//	Source       header ce_source
//	Type         header ce_type
//	Time         header ce_time, RFC 3339 with up to nine digits of a second
//	ContentType  header content-type
//	Headers      further headers, behind those
//	Body         the value; a nil one is a null value, a tombstone where a topic is compacted
//
// What is empty has no header, so that a message is a valid CloudEvent if it has
// ID, Source and Type. Reading is lenient: the first header of each of these
// names is the attribute, one that is not there is empty, and whatever else there
// is is in Headers. The record's own timestamp is the time of sending.
//
// A key's partition is the one that the Java client chooses, by murmur2.
package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/bus"
)

const (
	metadataWait = 250 * time.Millisecond // between two looks at a topic that is just being made
	metadataAge  = 30 * time.Second       // after which topics and partitions that are new are noticed
)

// Option changes a Bus.
type Option func(*config)

type config struct {
	kgo         []kgo.Opt
	create      bool
	commitEvery time.Duration
	laneLimit   int
	heldBytes   int64
}

// Client adds options of franz-go to the clients of the bus: TLS, SASL, a client
// id, a logger, sizes. They go last, so that they can override what the bus
// chooses; those on which its promises rest (acks, flushing, commits, rebalances)
// should be left alone.
func Client(opts ...kgo.Opt) Option {
	return func(c *config) { c.kgo = append(c.kgo, opts...) }
}

// NoTopicCreation leaves topics that do not exist alone. By default the first
// message and the first subscription ask the broker to create the topic as its
// own settings say, which it does if auto.create.topics.enable is on.
func NoTopicCreation() Option {
	return func(c *config) { c.create = false }
}

// CommitEvery sets how often a subscription commits the offsets of what was
// handled, 250 ms by default. It also does so when it loses a partition and when
// it ends.
func CommitEvery(d time.Duration) Option {
	return func(c *config) { c.commitEvery = d }
}

// Limits bounds what a subscription holds while its handlers are busy: messages of
// one partition, 1000 by default, and bytes of all of them, 64 MiB by default.
// It can be exceeded by what one answer of the broker holds. Behind a message that
// fails again and again the others of its partition go on up to that limit.
func Limits(perPartition int, bytes int64) Option {
	return func(c *config) { c.laneLimit, c.heldBytes = max(perPartition, 1), max(bytes, 1) }
}

// Bus is a bus.Bus over Kafka. Its methods may be called by several goroutines.
type Bus struct {
	cfg      config
	common   []kgo.Opt // of both kinds of client
	producer *producer

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // of Publish; added to under mu, before closed
}

var _ bus.Bus = (*Bus)(nil)

// New makes a bus that finds the cluster by some of its brokers, each a
// host:port. It connects when it is first used; the error is of the options.
func New(brokers []string, opts ...Option) (*Bus, error) {
	b := &Bus{cfg: config{create: true, commitEvery: 250 * time.Millisecond, laneLimit: 1000, heldBytes: 64 << 20}}
	for _, o := range opts {
		o(&b.cfg)
	}
	b.common = []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(metadataWait), kgo.MetadataMaxAge(metadataAge)}
	if b.cfg.create {
		b.common = append(b.common, kgo.AllowAutoTopicCreation())
	}
	var err error
	b.producer, err = newProducer(b.options(producerOptions()...))
	return b, err
}

// options are those of one kind of client.
func (b *Bus) options(own ...kgo.Opt) []kgo.Opt {
	return append(append(b.common[:len(b.common):len(b.common)], own...), b.cfg.kgo...)
}

// System is "kafka".
func (b *Bus) System() string { return "kafka" }

// Publish is bus.Publisher's. A message counts as failed when the broker has
// refused it, when it was not acknowledged for 30 s (kgo.RecordDeliveryTimeout),
// or when ctx ends. It may then be in the topic nevertheless, and in rare cases
// one that is durable is there twice.
func (b *Bus) Publish(ctx context.Context, msgs []bus.Message) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return kgo.ErrClientClosed
	}
	b.calls.Add(1)
	b.mu.Unlock()
	defer b.calls.Done()
	return b.producer.publish(ctx, msgs)
}

// Close waits for calls of Publish and ends the bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if closed {
		return nil
	}
	b.calls.Wait()
	b.producer.close()
	return nil
}
