package franz

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

type ctx = context.Context

func (s *suite) topics(t *testing.T) {
	c, topic := harness.Context(t), s.topic(t, 2, nil)
	if _, err := s.admin.CreateTopic(c, 2, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("creating it twice: %v", err)
	}
	updated, err := s.admin.UpdatePartitions(c, 4, topic)
	harness.Must(t, errors.Join(err, updated.Error()))
	s.awaitTopic(t, topic, 4)
	updated, err = s.admin.UpdatePartitions(c, 3, topic)
	harness.Must(t, err)
	if !errors.Is(updated.Error(), kerr.InvalidPartitions) {
		t.Errorf("taking partitions away: %v", updated.Error())
	}
	listed, err := s.admin.ListTopics(c)
	harness.Must(t, err)
	if !listed.Has(topic) {
		t.Error("it is not listed")
	}
	_, err = s.admin.DeleteTopic(c, topic)
	harness.Must(t, err)
	harness.Until(t, "it is gone", func() bool {
		listed, err := s.admin.ListTopics(c)
		harness.Must(t, err)
		return !listed.Has(topic)
	})
	if _, err := s.admin.DeleteTopic(c, topic); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("deleting it twice: %v", err)
	}
}

func (s *suite) configs(t *testing.T) {
	c, topic := harness.Context(t), s.topic(t, 1, map[string]*string{"retention.ms": kadm.StringPtr("123456")})
	value := func(key string) string {
		found, err := s.admin.DescribeTopicConfigs(c, topic)
		harness.Must(t, err)
		for _, config := range found[0].Configs {
			if config.Key == key {
				return config.MaybeValue()
			}
		}
		return "none"
	}
	if got := value("retention.ms"); got != "123456" {
		t.Errorf("retention.ms is %s", got)
	}
	changes := []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("5000")},
		{Op: kadm.DeleteConfig, Name: "retention.ms"},
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("delete")},
	}
	altered, err := s.admin.AlterTopicConfigs(c, changes, topic)
	harness.Must(t, errors.Join(err, altered[0].Err))
	harness.Until(t, "the new values", func() bool {
		return value("max.message.bytes") == "5000" && value("retention.ms") == "604800000" && value("cleanup.policy") == "delete"
	})
	altered, err = s.admin.AlterTopicConfigs(c, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("soon")}}, topic)
	harness.Must(t, err)
	if !errors.Is(altered[0].Err, kerr.InvalidConfig) {
		t.Errorf("a bad value: %v", altered[0].Err)
	}
}

func (s *suite) groups(t *testing.T) {
	c, topic, group := harness.Context(t), s.topic(t, 2, nil), harness.Fresh("franz-group")
	s.send(t, numbered(topic, 10))
	m := s.join(t, group, topic)
	harness.Until(t, "all was seen", func() bool { _, _, _, seen := state(m); return seen == 10 })
	described, err := s.admin.DescribeGroups(c, group)
	harness.Must(t, errors.Join(err, described.Error()))
	if g := described[group]; g.State != "Stable" || g.Protocol != "cooperative-sticky" || len(g.Members) != 1 {
		t.Errorf("the group is %+v", g)
	}
	listed, err := s.admin.ListGroups(c, "Stable")
	harness.Must(t, err)
	if _, ok := listed[group]; !ok {
		t.Error("it is not listed as stable")
	}
	harness.Until(t, "the commit", func() bool { return s.committed(t, group, topic) == 10 })
	lag, err := s.admin.Lag(c, group)
	harness.Must(t, errors.Join(err, lag.Error()))
	if got := lag[group].Lag.Total(); got != 0 {
		t.Errorf("lag is %d", got)
	}
	deleted, err := s.admin.DeleteGroups(c, group)
	harness.Must(t, err)
	if !errors.Is(deleted.Error(), kerr.NonEmptyGroup) {
		t.Errorf("deleting a group with a member: %v", deleted.Error())
	}
	m.stop()
	s.moveGroup(t, topic, group)
	deleted, err = s.admin.DeleteGroups(c, group)
	harness.Must(t, errors.Join(err, deleted.Error()))
}

// moveGroup sets and deletes the offsets of an empty group.
func (s *suite) moveGroup(t *testing.T, topic, group string) {
	c := harness.Context(t)
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 1, -1)
	offsets.AddOffset(topic, 1, 2, -1)
	harness.Until(t, "a commit from outside", func() bool { return s.admin.CommitAllOffsets(c, group, offsets) == nil })
	if got := s.committed(t, group, topic); got != 3 {
		t.Errorf("committed %d, want 3", got)
	}
	var both kadm.TopicsSet
	both.Add(topic, 0, 1)
	deleted, err := s.admin.DeleteOffsets(c, group, both)
	harness.Must(t, errors.Join(err, deleted.Error()))
	if got := s.committed(t, group, topic); got != 0 {
		t.Errorf("committed %d after they were deleted", got)
	}
}

// committed is the sum of the offsets that a group has committed for a topic.
func (s *suite) committed(t *testing.T, group, topic string) (sum int64) {
	fetched, err := s.admin.FetchOffsets(harness.Context(t), group)
	harness.Must(t, errors.Join(err, fetched.Error()))
	for _, o := range fetched.Offsets()[topic] {
		sum += o.At
	}
	return sum
}

// manyGroups fetches the offsets of several groups in one request.
func (s *suite) manyGroups(t *testing.T) {
	c, topic := harness.Context(t), s.topic(t, 1, nil)
	names := []string{harness.Fresh("franz-group"), harness.Fresh("franz-group"), harness.Fresh("nobody")}
	for i, name := range names[:2] {
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: topic, At: int64(i + 1), LeaderEpoch: -1, Metadata: "note, ü"})
		harness.Must(t, s.admin.CommitAllOffsets(c, name, offsets))
	}
	fetched := s.admin.FetchManyOffsets(c, names...)
	for i, name := range names {
		harness.Must(t, fetched[name].Err)
		got := fetched[name].Fetched[topic][0]
		if i < 2 && (got.At != int64(i+1) || got.Metadata != "note, ü") {
			t.Errorf("%s: %+v", name, got)
		}
		if i == 2 && len(fetched[name].Fetched) != 0 {
			t.Errorf("an unknown group has offsets %+v", fetched[name].Fetched)
		}
	}
}

func (s *suite) records(t *testing.T) {
	c, topic := harness.Context(t), s.topic(t, 1, nil)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i, late := range []int{0, 5000, 2000, 9000, 1000} {
		r := numbered(topic, i+1)[i]
		r.Timestamp = base.Add(time.Duration(late) * time.Millisecond)
		s.send(t, []*kgo.Record{r})
	}
	at := func(listed kadm.ListedOffsets, err error) int64 {
		t.Helper()
		harness.Must(t, errors.Join(err, listed.Error()))
		o, _ := listed.Lookup(topic, 0)
		return o.Offset
	}
	for i, pair := range [][2]int64{
		{at(s.admin.ListStartOffsets(c, topic)), 0},
		{at(s.admin.ListEndOffsets(c, topic)), 5},
		{at(s.admin.ListCommittedOffsets(c, topic)), 5},
		{at(s.admin.ListMaxTimestampOffsets(c, topic)), 3},
		{at(s.admin.ListOffsetsAfterMilli(c, base.Add(time.Second).UnixMilli(), topic)), 1},
		{at(s.admin.ListOffsetsAfterMilli(c, base.Add(time.Minute).UnixMilli(), topic)), 5}, // kadm turns none into the end
	} {
		if pair[0] != pair[1] {
			t.Errorf("query %d gives %d, want %d", i, pair[0], pair[1])
		}
	}
	var before kadm.Offsets
	before.AddOffset(topic, 0, 3, -1)
	deleted, err := s.admin.DeleteRecords(c, before)
	harness.Must(t, errors.Join(err, deleted.Error()))
	if got := at(s.admin.ListStartOffsets(c, topic)); got != 3 {
		t.Errorf("the log starts at %d, want 3", got)
	}
	wantNumbers(t, s.readAll(t, topic, 2), 3)
}

func (s *suite) cluster(t *testing.T) {
	c, topic := harness.Context(t), s.topic(t, 1, nil)
	s.send(t, numbered(topic, 3))
	m, err := s.admin.BrokerMetadata(c)
	harness.Must(t, err)
	if m.Cluster == "" || len(m.Brokers) != 1 || m.Brokers[0].NodeID != m.Controller {
		t.Errorf("the cluster is %+v", m)
	}
	var set kadm.TopicsSet
	set.Add(topic, 0)
	dirs, err := s.admin.DescribeAllLogDirs(c, set)
	harness.Must(t, err)
	found := false
	dirs[m.Controller].EachPartition(func(p kadm.DescribedLogDirPartition) { found = found || p.Topic == topic && p.Size > 0 })
	if !found {
		t.Error("the topic is in no log directory")
	}
	producers, err := s.admin.DescribeProducers(c, set)
	harness.Must(t, err)
	producers.EachPartition(func(p kadm.DescribedProducersPartition) {
		harness.Must(t, p.Err)
		if len(p.ActiveProducers) != 1 {
			t.Errorf("%d producers", len(p.ActiveProducers))
		}
	})
	versions, err := s.admin.ApiVersions(c)
	harness.Must(t, err)
	node := versions[m.Controller]
	if _, most, ok := node.KeyVersions(0); !ok || most != 13 {
		t.Errorf("Produce is served up to %d", most)
	}
	configs, err := s.admin.DescribeBrokerConfigs(c, m.Controller)
	harness.Must(t, errors.Join(err, configs[0].Err))
}

func (s *suite) offsetForEpoch(t *testing.T) {
	c, topic := harness.Context(t), s.topic(t, 1, nil)
	s.send(t, numbered(topic, 7))
	epoch := s.readAll(t, topic, 7)[6].LeaderEpoch
	var ask kadm.OffsetForLeaderEpochRequest
	ask.Add(topic, 0, epoch)
	found, err := s.admin.OffsetForLeaderEpoch(c, ask)
	harness.Must(t, err)
	if got := found[topic][0]; got.Err != nil || got.EndOffset != 7 || got.LeaderEpoch != epoch {
		t.Errorf("the end of epoch %d is %+v", epoch, got)
	}
}
