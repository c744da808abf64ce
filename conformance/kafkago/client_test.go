package kafkago

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func (s *suite) connTopics(t *testing.T) {
	conn, err := kafka.Dial("tcp", s.broker.Bootstrap)
	harness.Must(t, err)
	defer conn.Close()
	controller, err := conn.Controller()
	harness.Must(t, err)
	if fmt.Sprint(controller.Port) != port(t, s.broker.Bootstrap) {
		t.Errorf("the controller is at %v", controller)
	}
	versions, err := conn.ApiVersions()
	harness.Must(t, err)
	if len(versions) < 20 {
		t.Errorf("only %d APIs", len(versions))
	}
	name := harness.Fresh("kgo-conn")
	harness.Must(t, conn.CreateTopics(kafka.TopicConfig{Topic: name, NumPartitions: 2, ReplicationFactor: 1}))
	harness.Until(t, "two partitions", func() bool {
		partitions, err := conn.ReadPartitions(name)
		return err == nil && len(partitions) == 2
	})
	harness.Must(t, conn.DeleteTopics(name))
	harness.Until(t, "it is gone", func() bool {
		all, err := conn.ReadPartitions() // asking for it by name would create it
		harness.Must(t, err)
		return !slices.ContainsFunc(all, func(p kafka.Partition) bool { return p.Topic == name })
	})
}

func (s *suite) connBatches(t *testing.T) {
	topic := s.topic(t, 1)
	conn := s.dialLeader(t, topic)
	for range 3 {
		_, err := conn.WriteCompressedMessages(kafka.Snappy.Codec(), numbered(10)...)
		harness.Must(t, err)
	}
	first, last, err := conn.ReadOffsets()
	harness.Must(t, err)
	if first != 0 || last != 30 {
		t.Errorf("offsets %d to %d", first, last)
	}
	if _, err := conn.Seek(17, kafka.SeekAbsolute); err != nil {
		t.Fatal(err)
	}
	batch := conn.ReadBatch(1, 1e6)
	if batch.HighWaterMark() != 30 {
		t.Errorf("high watermark %d", batch.HighWaterMark())
	}
	for want := int64(17); want < 20; want++ {
		m, err := batch.ReadMessage()
		harness.Must(t, err)
		if m.Offset != want || string(m.Value) != fmt.Sprint(want%10) {
			t.Errorf("offset %d is %q", m.Offset, m.Value)
		}
	}
	if err := batch.Close(); err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func (s *suite) clientTopics(t *testing.T) {
	ctx, topic := harness.Context(t), s.topic(t, 2)
	res, err := s.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	harness.Must(t, err)
	if !errors.Is(res.Errors[topic], kafka.TopicAlreadyExists) {
		t.Errorf("creating it twice: %v", res.Errors[topic])
	}
	grown, err := s.client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}}})
	harness.Must(t, err)
	harness.Must(t, grown.Errors[topic])
	harness.Until(t, "four partitions", func() bool { return s.partitions(t, topic) == 4 })
	deleted, err := s.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	harness.Must(t, err)
	harness.Must(t, deleted.Errors[topic])
	harness.Until(t, "it is gone", func() bool { return s.partitions(t, topic) == 0 })
}

func (s *suite) clientConfigs(t *testing.T) {
	ctx := harness.Context(t)
	topic := s.topic(t, 1, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "123456"})
	value := func(key string) string {
		res, err := s.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key}},
		}})
		harness.Must(t, err)
		harness.Must(t, res.Resources[0].Error)
		return res.Resources[0].ConfigEntries[0].ConfigValue
	}
	if got := value("retention.ms"); got != "123456" {
		t.Errorf("retention.ms is %s", got)
	}
	changed, err := s.client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{
			{Name: "retention.bytes", Value: "777", ConfigOperation: kafka.ConfigOperationSet},
		}},
	}})
	harness.Must(t, err)
	harness.Must(t, changed.Resources[0].Error)
	harness.Until(t, "the new value", func() bool { return value("retention.bytes") == "777" })
	replaced, err := s.client.AlterConfigs(ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "99999"}}},
	}})
	harness.Must(t, err)
	for _, err := range replaced.Errors {
		harness.Must(t, err)
	}
	harness.Until(t, "all replaced", func() bool { return value("retention.ms") == "99999" && value("retention.bytes") == "-1" })
}

func (s *suite) clientOffsets(t *testing.T) {
	ctx, topic := harness.Context(t), s.topic(t, 1)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i, m := range numbered(5) {
		m.Time = base.Add(time.Duration(i) * time.Second)
		write(t, s.writer(topic), m)
	}
	res, err := s.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0), kafka.TimeOffsetOf(0, base.Add(1500*time.Millisecond))},
	}})
	harness.Must(t, err)
	got := res.Topics[topic][0]
	if got.Error != nil || got.FirstOffset != 0 || got.LastOffset != 5 {
		t.Errorf("offsets are %+v", got)
	}
	if _, ok := got.Offsets[2]; !ok {
		t.Errorf("offset by time is %v, want 2", got.Offsets)
	}
}

func (s *suite) clientGroups(t *testing.T) {
	ctx, topic, group := harness.Context(t), s.topic(t, 1), harness.Fresh("kgo-group")
	write(t, s.writer(topic), numbered(5)...)
	r := s.reader(t, kafka.ReaderConfig{Topic: topic, GroupID: group, StartOffset: kafka.FirstOffset})
	take(t, r, 5)
	described, err := s.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	harness.Must(t, err)
	if g := described.Groups[0]; g.Error != nil || g.GroupState != "Stable" || len(g.Members) != 1 {
		t.Errorf("the group is %+v", g)
	}
	listed, err := s.client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	harness.Must(t, err)
	found := false
	for _, g := range listed.Groups {
		found = found || g.GroupID == group && g.ProtocolType == "consumer"
	}
	if !found {
		t.Errorf("the group is not among the %d listed", len(listed.Groups))
	}
	harness.Must(t, r.Close())
	s.groupOffsets(t, topic, group)
	deleted, err := s.client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	harness.Must(t, err)
	harness.Must(t, deleted.Errors[group])
}

// groupOffsets reads, sets and deletes the committed offset, which is 5.
func (s *suite) groupOffsets(t *testing.T, topic, group string) {
	ctx := harness.Context(t)
	committed := func() int64 {
		res, err := s.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
		harness.Must(t, err)
		harness.Must(t, res.Topics[topic][0].Error)
		return res.Topics[topic][0].CommittedOffset
	}
	if got := committed(); got != 5 {
		t.Errorf("committed %d, want 5", got)
	}
	res, err := s.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 2}}}})
	harness.Must(t, err)
	harness.Must(t, res.Topics[topic][0].Error)
	if got := committed(); got != 2 {
		t.Errorf("committed %d, want 2", got)
	}
	deleted, err := s.client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	harness.Must(t, err)
	harness.Must(t, deleted.Topics[topic][0].Error)
	if got := committed(); got != -1 {
		t.Errorf("committed %d after it was deleted", got)
	}
}
