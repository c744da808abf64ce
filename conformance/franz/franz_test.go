// Package franz tests with franz-go: kgo and kadm, which use the newest
// versions of all requests and fetch by topic id. The suite of kgo itself
// stands in package kgosuite.
package franz

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// suite is one broker and an admin client of it.
type suite struct {
	broker *harness.Broker
	admin  *kadm.Client
}

func TestFranz(t *testing.T) { harness.EachShards(t, testFranz) }

func testFranz(t *testing.T, b *harness.Broker) {
	s := &suite{broker: b}
	s.admin = kadm.NewClient(s.client(t))
	cases := map[string]func(*suite, *testing.T){
		"produce/compression":         (*suite).compression,
		"produce/acks":                (*suite).acks,
		"produce/many partitions":     (*suite).manyPartitions,
		"produce/errors":              (*suite).produceErrors,
		"consume/offsets":             (*suite).offsets,
		"consume/recreated topic":     (*suite).recreated,
		"groups/cooperative members":  (*suite).cooperative,
		"groups/static members":       (*suite).static,
		"admin/topics":                (*suite).topics,
		"admin/configs":               (*suite).configs,
		"admin/groups":                (*suite).groups,
		"admin/records":               (*suite).records,
		"admin/cluster":               (*suite).cluster,
		"admin/offset for epoch":      (*suite).offsetForEpoch,
		"admin/commit by one of many": (*suite).manyGroups,
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) { t.Parallel(); run(s, t) })
	}
}

func (s *suite) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.broker.Bootstrap), kgo.ClientID("conformance"),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(250 * time.Millisecond),
		kgo.SessionTimeout(10 * time.Second), kgo.AutoCommitInterval(200 * time.Millisecond),
	}, opts...)...)
	harness.Must(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// topic creates a topic and waits until its partitions have leaders.
func (s *suite) topic(t *testing.T, partitions int32, configs map[string]*string) string {
	t.Helper()
	name := harness.Fresh("franz")
	_, err := s.admin.CreateTopic(harness.Context(t), partitions, 1, configs, name)
	harness.Must(t, err)
	s.awaitTopic(t, name, int(partitions))
	return name
}

func (s *suite) awaitTopic(t *testing.T, name string, partitions int) {
	t.Helper()
	harness.Until(t, "partitions with leaders", func() bool {
		m, err := s.admin.Metadata(harness.Context(t), name)
		harness.Must(t, err)
		return m.Topics[name].Err == nil && len(m.Topics[name].Partitions) == partitions && m.Topics.Error() == nil
	})
}

func numbered(topic string, count int) []*kgo.Record {
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)}
	}
	return records
}

func (s *suite) send(t *testing.T, records []*kgo.Record, opts ...kgo.Opt) {
	t.Helper()
	harness.Must(t, s.client(t, opts...).ProduceSync(harness.Context(t), records...).FirstErr())
}

// take polls count records.
func take(t *testing.T, cl *kgo.Client, count int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	var got []*kgo.Record
	for len(got) < count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), count, err)
		}
		got = append(got, fetches.Records()...)
	}
	return got
}

func (s *suite) readAll(t *testing.T, topic string, count int) []*kgo.Record {
	t.Helper()
	return take(t, s.client(t, kgo.ConsumeTopics(topic)), count)
}

func wantNumbers(t *testing.T, got []*kgo.Record, first int) {
	t.Helper()
	for i, r := range got {
		if string(r.Value) != fmt.Sprint(first+i) || r.Offset != int64(first+i) {
			t.Fatalf("record %d is %q at offset %d, want %d", i, r.Value, r.Offset, first+i)
		}
	}
}

func (s *suite) compression(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	count := harness.Pick(5000, 100000)
	for name, codec := range codecs {
		topic := s.topic(t, 1, nil)
		s.send(t, numbered(topic, count), kgo.ProducerBatchCompression(codec))
		wantNumbers(t, s.readAll(t, topic, count), 0)
		harness.WantCodec(t, s.broker, topic, name)
	}
}

func (s *suite) acks(t *testing.T) {
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		topic := s.topic(t, 1, nil)
		s.send(t, numbered(topic, 500), kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
		wantNumbers(t, s.readAll(t, topic, 500), 0)
	}
}

func (s *suite) manyPartitions(t *testing.T) {
	partitions := harness.Pick(100, 1000)
	topic := s.topic(t, int32(partitions), nil)
	records := numbered(topic, partitions*20)
	for i, r := range records {
		r.Partition = int32(i % partitions)
	}
	s.send(t, records, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	next := map[int32]int64{}
	for _, r := range s.readAll(t, topic, len(records)) {
		if r.Offset != next[r.Partition] || string(r.Value) != fmt.Sprint(int(r.Offset)*partitions+int(r.Partition)) {
			t.Fatalf("partition %d has %q at offset %d", r.Partition, r.Value, r.Offset)
		}
		next[r.Partition]++
	}
}

func (s *suite) produceErrors(t *testing.T) {
	limit := "5000"
	topic := s.topic(t, 1, map[string]*string{"max.message.bytes": &limit})
	cl := s.client(t, kgo.UnknownTopicRetries(1), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for want, r := range map[error]*kgo.Record{
		kerr.MessageTooLarge:         {Topic: topic, Value: make([]byte, 6000)},
		kerr.UnknownTopicOrPartition: {Topic: harness.Fresh("franz-none")},
		kerr.InvalidTopicException:   {Topic: "bad name"},
	} {
		if err := cl.ProduceSync(harness.Context(t), r).FirstErr(); !errors.Is(err, want) {
			t.Errorf("producing to %s: got %v, want %v", r.Topic, err, want)
		}
	}
	wantNumbers(t, func() []*kgo.Record { s.send(t, numbered(topic, 1)); return s.readAll(t, topic, 1) }(), 0)
}

func (s *suite) offsets(t *testing.T) {
	topic, base := s.topic(t, 1, nil), time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	records := numbered(topic, 20)
	for i, r := range records {
		r.Timestamp = base.Add(time.Duration(i) * time.Second)
	}
	s.send(t, records)
	for name, want := range map[string]struct {
		at    kgo.Offset
		first int
	}{
		"an offset":      {kgo.NewOffset().At(15), 15},
		"a time":         {kgo.NewOffset().AfterMilli(base.Add(6500 * time.Millisecond).UnixMilli()), 7},
		"before the end": {kgo.NewOffset().AtEnd().Relative(-3), 17},
		"out of range":   {kgo.NewOffset().At(5000), 0},
	} {
		cl := s.client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: want.at}}))
		got := take(t, cl, 20-want.first)
		t.Run(name, func(t *testing.T) { wantNumbers(t, got, want.first) })
	}
}

// recreated deletes and makes a topic again under a producer and a consumer.
func (s *suite) recreated(t *testing.T) {
	topic := s.topic(t, 1, nil)
	s.send(t, numbered(topic, 5))
	consumer := s.client(t, kgo.ConsumeTopics(topic), kgo.MetadataMaxAge(time.Second), kgo.ConsiderMissingTopicDeletedAfter(time.Second))
	wantNumbers(t, take(t, consumer, 5), 0)
	before := s.topicID(t, topic)
	_, err := s.admin.DeleteTopic(harness.Context(t), topic)
	harness.Must(t, err)
	harness.Until(t, "it can be made again", func() bool {
		_, err := s.admin.CreateTopic(harness.Context(t), 1, 1, nil, topic)
		return err == nil
	})
	harness.Until(t, "a new id", func() bool { return s.topicID(t, topic) != before })
	s.awaitTopic(t, topic, 1)
	s.send(t, numbered(topic, 3))
	wantNumbers(t, s.readAll(t, topic, 3), 0)
}

func (s *suite) topicID(t *testing.T, topic string) kadm.TopicID {
	m, err := s.admin.Metadata(harness.Context(t), topic)
	harness.Must(t, err)
	return m.Topics[topic].ID
}
