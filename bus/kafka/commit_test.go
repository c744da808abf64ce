package kafka

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestStaleCommit: what has been given up since a commit was put together is not
// committed.
func TestStaleCommit(t *testing.T) {
	s := &session{parts: map[topicPartition]*partition{{"a", 1}: {}, {"b", 0}: {}}}
	request := func(parts ...topicPartition) *kmsg.OffsetCommitRequest {
		req := kmsg.NewPtrOffsetCommitRequest()
		for _, p := range parts {
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic = p.topic
			part := kmsg.NewOffsetCommitRequestTopicPartition()
			part.Partition = p.partition
			topic.Partitions = append(topic.Partitions, part)
			req.Topics = append(req.Topics, topic)
		}
		return req
	}
	req := request(topicPartition{"a", 0}, topicPartition{"a", 1}, topicPartition{"b", 0}, topicPartition{"c", 0})
	if err := s.stillOurs(req); err != nil || len(req.Topics) != 2 || req.Topics[0].Partitions[0].Partition != 1 || req.Topics[1].Topic != "b" {
		t.Error(req.Topics, err)
	}
	if err := s.stillOurs(request(topicPartition{"c", 0})); !errors.Is(err, errNotOurs) {
		t.Error(err)
	}
}
