package sarama

import (
	"errors"
	"testing"

	"github.com/IBM/sarama"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func (s *suite) topics(t *testing.T) {
	admin, topic := s.admin(t), s.topic(t, 2, nil)
	err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	if !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		t.Errorf("creating it twice: %v", err)
	}
	listed, err := admin.ListTopics()
	harness.Must(t, err)
	if listed[topic].NumPartitions != 2 {
		t.Errorf("listed as %+v", listed[topic])
	}
	harness.Must(t, admin.CreatePartitions(topic, 4, nil, false))
	harness.Until(t, "four partitions", func() bool { return leaders(t, admin, topic) == 4 })
	if err := admin.CreatePartitions(topic, 3, nil, false); !errors.Is(err, sarama.ErrInvalidPartitions) {
		t.Errorf("taking partitions away: %v", err)
	}
	brokers, controller, err := admin.DescribeCluster()
	harness.Must(t, err)
	if len(brokers) != 1 || brokers[0].ID() != controller || brokers[0].Addr() != s.bootstrap[0] {
		t.Errorf("the cluster is %v with controller %d", brokers, controller)
	}
	harness.Must(t, admin.DeleteTopic(topic))
	harness.Until(t, "it is gone", func() bool { return leaders(t, admin, topic) == 0 })
	if err := admin.DeleteTopic(topic); !errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
		t.Errorf("deleting it twice: %v", err)
	}
}

func (s *suite) configs(t *testing.T) {
	admin, retention := s.admin(t), "123456"
	topic := s.topic(t, 1, map[string]*string{"retention.ms": &retention})
	value := func(name string) string {
		resource := &sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}}
		found, err := admin.DescribeConfigs([]*sarama.ConfigResource{resource}, sarama.DescribeConfigsOptions{IncludeSynonyms: true})
		harness.Must(t, err)
		if len(found) != 1 || found[0].ErrorCode != sarama.ErrNoError || len(found[0].Configs) != 1 {
			t.Fatalf("%s is described as %+v", name, found)
		}
		return found[0].Configs[0].Value
	}
	if got := value("retention.ms"); got != "123456" {
		t.Errorf("retention.ms is %s", got)
	}
	limit := "777"
	harness.Must(t, admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.bytes": &limit}, false))
	harness.Until(t, "all replaced", func() bool { return value("retention.bytes") == "777" && value("retention.ms") == "604800000" })
	if s.version.IsAtLeast(sarama.V2_3_0_0) {
		harness.Must(t, admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
			"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &retention},
		}, false))
		harness.Until(t, "one added", func() bool { return value("retention.bytes") == "777" && value("retention.ms") == "123456" })
	}
}

func (s *suite) groups(t *testing.T) {
	admin, topic, group := s.admin(t), s.topic(t, 1, nil), harness.Fresh("sarama-group")
	s.send(t, s.config(), numbered(topic, 5))
	m := s.join(t, group, topic, sarama.NewBalanceStrategyRange())
	harness.Until(t, "it has seen all", func() bool { _, n := owned(m); return n == 5 })
	described, err := admin.DescribeConsumerGroups([]string{group})
	harness.Must(t, err)
	if described[0].State != "Stable" || len(described[0].Members) != 1 {
		t.Errorf("the group is %+v", described[0])
	}
	listed, err := admin.ListConsumerGroups()
	harness.Must(t, err)
	if listed[group] != "consumer" {
		t.Errorf("the group is listed as %q", listed[group])
	}
	harness.Must(t, m.group.Close())
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	harness.Must(t, err)
	if got := offsets.GetBlock(topic, 0); got == nil || got.Offset != 5 {
		t.Errorf("committed %+v", got)
	}
	if s.version.IsAtLeast(sarama.V2_4_0_0) {
		harness.Must(t, admin.DeleteConsumerGroupOffset(group, topic, 0))
	}
	harness.Until(t, "the group can be deleted", func() bool { return admin.DeleteConsumerGroup(group) == nil })
	if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrGroupIDNotFound) {
		t.Errorf("deleting it twice: %v", err)
	}
}

func (s *suite) records(t *testing.T) {
	admin, topic := s.admin(t), s.topic(t, 1, nil)
	s.send(t, s.config(), numbered(topic, 10))
	harness.Must(t, admin.DeleteRecords(topic, map[int32]int64{0: 6}))
	wantNumbers(t, s.read(t, topic, sarama.OffsetOldest, 4), 6)
	_, controller, err := admin.DescribeCluster()
	harness.Must(t, err)
	dirs, err := admin.DescribeLogDirs([]int32{controller})
	harness.Must(t, err)
	found := false
	for _, dir := range dirs[controller] {
		for _, d := range dir.Topics {
			found = found || d.Topic == topic && d.Partitions[0].Size > 0
		}
	}
	if !found {
		t.Error("the topic is in no log directory")
	}
}
