package kafka_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// TestOffsetForLeaderEpoch asks about epochs before and after a restart, which
// begins a new one.
func TestOffsetForLeaderEpoch(t *testing.T) {
	d := mem.New(mem.Options{FileBytes: 1 << 20})
	var old int32
	t.Run("before", func(t *testing.T) {
		n := start(t, onDisk(t, d))
		topic := n.topic(t, "orders", 1)
		put(t, n, topic, "0", "1", "2")
		old = topic.Partitions[0].Bounds().Epoch
	})
	n := start(t, onDisk(t, d))
	topic, ok := n.Topic("orders")
	if !ok {
		t.Fatal("the topic is not there after the restart")
	}
	put(t, n, topic, "3", "4")
	now := topic.Partitions[0].Bounds().Epoch
	if now <= old {
		t.Fatalf("epoch %d after a restart of epoch %d", now, old)
	}
	conn := n.dial(t)
	for _, c := range []struct {
		name           string
		topic          string
		partition      int32
		current, asked int32
		epoch          int32
		end            int64
		want           *kerr.Error
	}{
		{"the old epoch", "orders", 0, now, old, old, 3, nil},
		{"the old epoch, of a client that says no current one", "orders", 0, -1, old, old, 3, nil},
		{"the current epoch", "orders", 0, now, now, now, 5, nil},
		{"a future epoch", "orders", 0, now, now + 1, -1, -1, nil},
		{"no epoch", "orders", 0, now, -1, -1, -1, nil},
		{"a fenced client", "orders", 0, old, old, -1, -1, kerr.FencedLeaderEpoch},
		{"a client that knows a later epoch", "orders", 0, now + 1, old, -1, -1, kerr.UnknownLeaderEpoch},
		{"an unknown topic", "none", 0, -1, old, -1, -1, kerr.UnknownTopicOrPartition},
		{"an unknown partition", "orders", 1, -1, old, -1, -1, kerr.UnknownTopicOrPartition},
	} {
		for version := int16(2); version <= 4; version++ {
			req := &kmsg.OffsetForLeaderEpochRequest{Topics: []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: c.topic,
				Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{Partition: c.partition, CurrentLeaderEpoch: c.current, LeaderEpoch: c.asked}}}}}
			got := conn.ask(req, version).(*kmsg.OffsetForLeaderEpochResponse).Topics[0]
			p := got.Partitions[0]
			want := int16(0)
			if c.want != nil {
				want = c.want.Code
			}
			if p.ErrorCode != want || p.LeaderEpoch != c.epoch || p.EndOffset != c.end || got.Topic != c.topic || p.Partition != c.partition {
				t.Errorf("%s, version %d: %v in %+v", c.name, version, kerr.ErrorForCode(p.ErrorCode), got)
			}
		}
	}
}
