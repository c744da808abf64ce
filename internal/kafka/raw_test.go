package kafka_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// asker makes requests about one topic.
type asker struct {
	t     testing.TB
	topic *broker.Topic
	last  kmsg.Request
}

func requestsFor(t testing.TB, n *node, name string) *asker {
	topic, ok := n.Topic(name)
	if !ok {
		t.Fatalf("no topic %s", name)
	}
	return &asker{t: t, topic: topic}
}

// produce makes a request with one batch for partition 0.
func (a *asker) produce(values ...string) *kmsg.ProduceRequest {
	return a.produceBatch(batch(a.t, values...))
}

func (a *asker) produceBatch(b []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks = -1
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: a.topic.Name, TopicID: a.topic.ID, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b}}}}
	req.SetVersion(9)
	a.last = req
	return req
}

// produceWide makes a request with a batch of 1 MB for each of the partitions
// from 0 on, and what is left of size for the last.
func (a *asker) produceWide(size int) *kmsg.ProduceRequest {
	const each = 1_000_000
	req := a.produce("")
	var parts []kmsg.ProduceRequestTopicPartition
	for ; size > 0; size -= each {
		value := strings.Repeat("x", min(size, each))
		parts = append(parts, kmsg.ProduceRequestTopicPartition{Partition: int32(len(parts)), Records: batch(a.t, value)})
	}
	req.Topics[0].Partitions = parts
	return req
}

// fetch makes a request for partition 0 without a session.
func (a *asker) fetch(offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: a.topic.Name, TopicID: a.topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return req
}
