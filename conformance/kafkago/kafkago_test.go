// Package kafkago tests with segmentio/kafka-go, the client whose requests
// have the oldest versions.
package kafkago

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// suite is one broker and what the cases share.
type suite struct {
	broker *harness.Broker
	client *kafka.Client
}

func TestKafkaGo(t *testing.T) {
	b := harness.StartBroker(t)
	s := &suite{broker: b, client: &kafka.Client{Addr: kafka.TCP(b.Bootstrap), Timeout: 20 * time.Second}}
	cases := map[string]func(*suite, *testing.T){
		"writer/acks":             (*suite).acks,
		"writer/compression":      (*suite).compression,
		"writer/shapes":           (*suite).shapes,
		"writer/balancers":        (*suite).balancers,
		"writer/auto-creation":    (*suite).autoCreation,
		"writer/errors":           (*suite).writerErrors,
		"reader/offsets":          (*suite).readerOffsets,
		"reader/group":            (*suite).readerGroup,
		"reader/group rebalances": (*suite).readerRebalances,
		"conn/topics":             (*suite).connTopics,
		"conn/batches":            (*suite).connBatches,
		"client/topics":           (*suite).clientTopics,
		"client/configs":          (*suite).clientConfigs,
		"client/offsets":          (*suite).clientOffsets,
		"client/groups":           (*suite).clientGroups,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(s, t) })
	}
}

// topic creates a topic and waits until its partitions have leaders.
func (s *suite) topic(t *testing.T, partitions int, configs ...kafka.ConfigEntry) string {
	t.Helper()
	name := harness.Fresh("kgo")
	res, err := s.client.CreateTopics(harness.Context(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs},
	}})
	harness.Must(t, err)
	harness.Must(t, res.Errors[name])
	harness.Until(t, "leaders", func() bool { return s.partitions(t, name) == partitions })
	return name
}

// partitions counts the partitions of a topic that have a leader.
func (s *suite) partitions(t *testing.T, topic string) int {
	res, err := s.client.Metadata(harness.Context(t), &kafka.MetadataRequest{Topics: []string{topic}})
	harness.Must(t, err)
	count := 0
	for _, p := range res.Topics[0].Partitions {
		if p.Error == nil && p.Leader.Port != 0 {
			count++
		}
	}
	return count
}

func (s *suite) writer(topic string) *kafka.Writer {
	return &kafka.Writer{
		Addr: kafka.TCP(s.broker.Bootstrap), Topic: topic,
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond,
	}
}

// write sends the messages and closes the writer.
func write(t *testing.T, w *kafka.Writer, messages ...kafka.Message) {
	t.Helper()
	harness.Must(t, w.WriteMessages(harness.Context(t), messages...))
	harness.Must(t, w.Close())
}

func (s *suite) reader(t *testing.T, config kafka.ReaderConfig) *kafka.Reader {
	config.Brokers = []string{s.broker.Bootstrap}
	config.MaxWait = 200 * time.Millisecond
	config.HeartbeatInterval = 250 * time.Millisecond
	config.SessionTimeout = 10 * time.Second
	config.RebalanceTimeout = 10 * time.Second
	config.PartitionWatchInterval = 500 * time.Millisecond
	config.WatchPartitionChanges = config.GroupID != ""
	config.JoinGroupBackoff = 200 * time.Millisecond
	r := kafka.NewReader(config)
	t.Cleanup(func() { r.Close() })
	return r
}

// take reads count messages, in order of arrival.
func take(t *testing.T, r *kafka.Reader, count int) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []kafka.Message
	for len(got) < count {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(got), count, err)
		}
		got = append(got, m)
	}
	return got
}

// readAll reads count messages of partition 0 from the beginning.
func (s *suite) readAll(t *testing.T, topic string, count int) []kafka.Message {
	t.Helper()
	return take(t, s.reader(t, kafka.ReaderConfig{Topic: topic, MaxBytes: 10e6}), count)
}

func (s *suite) dialLeader(t *testing.T, topic string) *kafka.Conn {
	t.Helper()
	conn, err := kafka.DialLeader(harness.Context(t), "tcp", s.broker.Bootstrap, topic, 0)
	harness.Must(t, err)
	t.Cleanup(func() { conn.Close() })
	harness.Must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	return conn
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	harness.Must(t, err)
	return p
}
