// Package sarama tests with IBM/sarama, at the oldest protocol version that
// Kafka 4 still serves, at sarama's default, and at its newest.
package sarama

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// suite is one broker seen through one protocol version.
type suite struct {
	broker    *harness.Broker
	bootstrap []string
	version   sarama.KafkaVersion
}

func TestSarama(t *testing.T) {
	b := harness.StartBroker(t)
	versions := map[string]sarama.KafkaVersion{
		"oldest":  sarama.V2_1_0_0,
		"default": sarama.DefaultVersion,
		"newest":  sarama.MaxVersion,
	}
	cases := map[string]func(*suite, *testing.T){
		"acks":        (*suite).acks,
		"compression": (*suite).compression,
		"shapes":      (*suite).shapes,
		"errors":      (*suite).errors,
		"offsets":     (*suite).offsets,
		"group":       (*suite).group,
		"topics":      (*suite).topics,
		"configs":     (*suite).configs,
		"groups":      (*suite).groups,
		"records":     (*suite).records,
	}
	for version, v := range versions {
		s := &suite{broker: b, bootstrap: []string{b.Bootstrap}, version: v}
		for name, run := range cases {
			t.Run(version+"/"+name, func(t *testing.T) { t.Parallel(); run(s, t) })
		}
	}
}

func (s *suite) config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = s.version
	c.ClientID = "conformance"
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = 250 * time.Millisecond
	c.Consumer.Group.Session.Timeout = 10 * time.Second
	c.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	c.Metadata.RefreshFrequency = time.Second
	return c
}

func (s *suite) admin(t *testing.T) sarama.ClusterAdmin {
	admin, err := sarama.NewClusterAdmin(s.bootstrap, s.config())
	harness.Must(t, err)
	t.Cleanup(func() { admin.Close() })
	return admin
}

// topic creates a topic and waits until its partitions have leaders.
func (s *suite) topic(t *testing.T, partitions int32, configs map[string]*string) string {
	t.Helper()
	name, admin := harness.Fresh("sarama"), s.admin(t)
	harness.Must(t, admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs}, false))
	harness.Until(t, "leaders", func() bool { return leaders(t, admin, name) == int(partitions) })
	return name
}

func leaders(t *testing.T, admin sarama.ClusterAdmin, topic string) int {
	found, err := admin.DescribeTopics([]string{topic})
	harness.Must(t, err)
	count := 0
	for _, p := range found[0].Partitions {
		if p.Err == sarama.ErrNoError && p.Leader >= 0 {
			count++
		}
	}
	return count
}

func numbered(topic string, count int) []*sarama.ProducerMessage {
	messages := make([]*sarama.ProducerMessage, count)
	for i := range messages {
		messages[i] = &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(i))}
	}
	return messages
}

func (s *suite) send(t *testing.T, config *sarama.Config, messages []*sarama.ProducerMessage) {
	t.Helper()
	producer, err := sarama.NewSyncProducer(s.bootstrap, config)
	harness.Must(t, err)
	defer producer.Close()
	harness.Must(t, producer.SendMessages(messages))
}

// read consumes count messages of partition 0 from an offset on.
func (s *suite) read(t *testing.T, topic string, from int64, count int) []*sarama.ConsumerMessage {
	t.Helper()
	consumer, err := sarama.NewConsumer(s.bootstrap, s.config())
	harness.Must(t, err)
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, from)
	harness.Must(t, err)
	defer partition.Close()
	var got []*sarama.ConsumerMessage
	timeout := time.After(25 * time.Second)
	for len(got) < count {
		select {
		case m := <-partition.Messages():
			got = append(got, m)
		case <-timeout:
			t.Fatalf("%d of %d messages within 25 s", len(got), count)
		}
	}
	return got
}

func wantNumbers(t *testing.T, got []*sarama.ConsumerMessage, first int) {
	t.Helper()
	for i, m := range got {
		if string(m.Value) != fmt.Sprint(first+i) || m.Offset != int64(first+i) {
			t.Fatalf("message %d is %q at offset %d, want %d", i, m.Value, m.Offset, first+i)
		}
	}
}

func (s *suite) acks(t *testing.T) {
	for _, acks := range []sarama.RequiredAcks{sarama.NoResponse, sarama.WaitForLocal, sarama.WaitForAll} {
		topic, config := s.topic(t, 1, nil), s.config()
		config.Producer.Idempotent = false
		config.Producer.RequiredAcks = acks
		s.send(t, config, numbered(topic, 100))
		wantNumbers(t, s.read(t, topic, sarama.OffsetOldest, 100), 0)
	}
}

func (s *suite) compression(t *testing.T) {
	for codec := sarama.CompressionNone; codec <= sarama.CompressionZSTD; codec++ {
		topic, config := s.topic(t, 1, nil), s.config()
		config.Producer.Compression = codec
		s.send(t, config, numbered(topic, 300))
		s.send(t, config, numbered(topic, 1))
		got := s.read(t, topic, sarama.OffsetOldest, 301)
		wantNumbers(t, got[:300], 0)
		if got[300].Offset != 300 {
			t.Errorf("%v: the last message is at offset %d", codec, got[300].Offset)
		}
		harness.WantCodec(t, s.broker, topic, codec.String())
	}
}

func (s *suite) shapes(t *testing.T) {
	topic, stamp := s.topic(t, 1, nil), time.UnixMilli(1600000000123)
	s.send(t, s.config(), []*sarama.ProducerMessage{
		{Topic: topic, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder("v"), Headers: []sarama.RecordHeader{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte("2")}}},
		{Topic: topic, Key: sarama.StringEncoder("gone"), Timestamp: stamp},
	})
	got := s.read(t, topic, sarama.OffsetOldest, 2)
	if len(got[0].Headers) != 2 || string(got[0].Headers[1].Value) != "2" {
		t.Errorf("headers came back as %v", got[0].Headers)
	}
	if string(got[1].Key) != "gone" || len(got[1].Value) != 0 || !got[1].Timestamp.Equal(stamp) {
		t.Errorf("the tombstone came back as %q: %q at %v", got[1].Key, got[1].Value, got[1].Timestamp)
	}
}

func (s *suite) errors(t *testing.T) {
	limit := "5000"
	topic := s.topic(t, 1, map[string]*string{"max.message.bytes": &limit})
	producer, err := sarama.NewSyncProducer(s.bootstrap, s.config())
	harness.Must(t, err)
	defer producer.Close()
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 6000))})
	if !errors.Is(err, sarama.ErrMessageSizeTooLarge) {
		t.Errorf("sending too large a message: %v", err)
	}
	consumer, err := sarama.NewConsumer(s.bootstrap, s.config())
	harness.Must(t, err)
	defer consumer.Close()
	if _, err := consumer.ConsumePartition(topic, 0, 1000); !errors.Is(err, sarama.ErrOffsetOutOfRange) {
		t.Errorf("consuming from beyond the end: %v", err)
	}
	if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: "bad name", Value: sarama.StringEncoder("x")}); !errors.Is(err, sarama.ErrInvalidTopic) {
		t.Errorf("sending to an invalid topic: %v", err)
	}
}

func (s *suite) offsets(t *testing.T) {
	topic := s.topic(t, 1, nil)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i, m := range numbered(topic, 5) {
		m.Timestamp = base.Add(time.Duration(i) * time.Second)
		s.send(t, s.config(), []*sarama.ProducerMessage{m})
	}
	client, err := sarama.NewClient(s.bootstrap, s.config())
	harness.Must(t, err)
	defer client.Close()
	for at, want := range map[int64]int64{
		sarama.OffsetOldest: 0, sarama.OffsetNewest: 5, base.Add(1500 * time.Millisecond).UnixMilli(): 2, base.Add(2 * time.Hour).UnixMilli(): -1,
	} {
		if got, err := client.GetOffset(topic, 0, at); err != nil || got != want {
			t.Errorf("offset at %d is %d, %v, want %d", at, got, err, want)
		}
	}
	wantNumbers(t, s.read(t, topic, 3, 2), 3)
	s.offsetManager(t, client, topic)
}

// offsetManager commits without a group's members.
func (s *suite) offsetManager(t *testing.T, client sarama.Client, topic string) {
	group := harness.Fresh("sarama-group")
	for _, want := range []int64{sarama.OffsetOldest, 3} {
		manager, err := sarama.NewOffsetManagerFromClient(group, client)
		harness.Must(t, err)
		partition, err := manager.ManagePartition(topic, 0)
		harness.Must(t, err)
		offset, metadata := partition.NextOffset()
		if offset != want || (want == 3) != (metadata == "note") {
			t.Errorf("next offset is %d, %q, want %d", offset, metadata, want)
		}
		partition.MarkOffset(3, "note")
		manager.Commit()
		harness.Must(t, partition.Close())
		harness.Must(t, manager.Close())
	}
}

// member is a sarama.ConsumerGroupHandler that notes what it owns and sees.
type member struct {
	mu    sync.Mutex
	owns  map[int32]bool
	seen  map[string]bool
	group sarama.ConsumerGroup
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owns = map[int32]bool{}
	for _, partitions := range session.Claims() {
		for _, p := range partitions {
			m.owns[p] = true
		}
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owns = nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.mu.Lock()
		m.seen[fmt.Sprint(message.Partition, ":", message.Offset)] = true
		m.mu.Unlock()
		session.MarkMessage(message, "")
	}
	return nil
}

func (s *suite) join(t *testing.T, group, topic string, strategy sarama.BalanceStrategy) *member {
	config := s.config()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	g, err := sarama.NewConsumerGroup(s.bootstrap, group, config)
	harness.Must(t, err)
	m := &member{group: g, seen: map[string]bool{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for g.Consume(t.Context(), []string{topic}, m) == nil && t.Context().Err() == nil {
		}
	}()
	t.Cleanup(func() { g.Close(); <-done })
	return m
}

// owned returns how many partitions each member owns, and how many messages
// they have seen together.
func owned(members ...*member) (counts []int, seen int) {
	all := map[string]bool{}
	for _, m := range members {
		m.mu.Lock()
		counts = append(counts, len(m.owns))
		for place := range m.seen {
			all[place] = true
		}
		m.mu.Unlock()
	}
	return counts, len(all)
}

func (s *suite) group(t *testing.T) {
	for _, strategy := range []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange(), sarama.NewBalanceStrategySticky()} {
		topic, group := s.topic(t, 4, nil), harness.Fresh("sarama-group")
		first := s.join(t, group, topic, strategy)
		harness.Until(t, "the first owns all", func() bool { c, _ := owned(first); return c[0] == 4 })
		s.send(t, s.config(), numbered(topic, 40))
		second := s.join(t, group, topic, strategy)
		harness.Until(t, "two share", func() bool { c, _ := owned(first, second); return c[0] == 2 && c[1] == 2 })
		s.send(t, s.config(), numbered(topic, 40))
		harness.Until(t, "all was seen", func() bool { _, n := owned(first, second); return n == 80 })
		harness.Must(t, first.group.Close())
		harness.Until(t, "the second owns all", func() bool { c, _ := owned(second); return c[0] == 4 })
		s.send(t, s.config(), numbered(topic, 40))
		harness.Until(t, "all was seen", func() bool { _, n := owned(first, second); return n == 120 })
	}
}
