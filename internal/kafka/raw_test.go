package kafka_test

import (
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

// fetch makes a request for partition 0 without a session.
func (a *asker) fetch(offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = 1<<20, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
	req.Topics = []kmsg.FetchRequestTopic{{Topic: a.topic.Name, TopicID: a.topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return req
}
