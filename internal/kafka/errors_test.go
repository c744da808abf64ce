package kafka_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/kafka"
)

// Tests of what clients are told when the broker cannot.

// unlogged lets the broker fail without failing the test.
func unlogged(b *broker.Config, k *kafka.Config) {
	b.Logger, k.Logger = slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
}

// produceOnce sends one produce and returns what it is told.
func produceOnce(t *testing.T, n *node, value string) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	return n.dial(t).ask(requestsFor(t, n, "orders").produce(value), 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// commitOnce commits an offset without a group's members.
func commitOnce(t *testing.T, n *node, group string) int16 {
	t.Helper()
	req := &kmsg.OffsetCommitRequest{Group: group, Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "orders",
		Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}}}}
	return n.dial(t).ask(req, 8).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

func newID(t *testing.T, n *node) *kmsg.InitProducerIDResponse {
	t.Helper()
	return n.dial(t).ask(&kmsg.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1}, 4).(*kmsg.InitProducerIDResponse)
}

// TestFullDiskOnTheWire: a produce that finds no room is KAFKA_STORAGE_ERROR;
// commits, fetches and deletions go on, and so do produces once there is room.
func TestFullDiskOnTheWire(t *testing.T) {
	d := mem.New(mem.Options{FileBytes: 1 << 20})
	n := start(t, unlogged, onDisk(t, d))
	topic := n.topic(t, "orders", 1)
	value := strings.Repeat("x", 50_000)
	d.SetFree(3 << 20)
	stored := 0
	for ; ; stored++ {
		p := produceOnce(t, n, value)
		if p.ErrorCode == 0 && stored < 1000 {
			continue
		}
		if p.ErrorCode != kerr.KafkaStorageError.Code || p.BaseOffset != -1 || p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, "full") {
			t.Fatalf("after %d batches: %v in %+v", stored, kerr.ErrorForCode(p.ErrorCode), p)
		}
		break
	}
	if got := commitOnce(t, n, "g"); got != 0 {
		t.Errorf("a commit: %v", kerr.ErrorForCode(got))
	}
	if got := newID(t, n); got.ErrorCode != 0 {
		t.Errorf("a producer id: %v", kerr.ErrorForCode(got.ErrorCode))
	}
	resp := n.dial(t).ask(requestsFor(t, n, "orders").fetch(int64(stored-1)), 12).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got := values(t, resp.RecordBatches); len(got) != 1 || resp.HighWatermark != int64(stored) {
		t.Errorf("%d records at the end, high watermark %d of %d", len(got), resp.HighWatermark, stored)
	}
	if bounds := topic.Partitions[0].Bounds(); bounds.HighWatermark != int64(stored) {
		t.Errorf("a refused batch is there: %+v", bounds)
	}
	d.SetFree(-1)
	eventually(t, "produces go on", func() bool { return produceOnce(t, n, value).ErrorCode == 0 })
}

// TestAFailedLogOnTheWire: whether a produce whose sync failed is stored is
// known only after the restart. Groups have their coordinator elsewhere, that
// is, here, after it.
func TestAFailedLogOnTheWire(t *testing.T) {
	d := mem.New(mem.Options{FileBytes: 1 << 20})
	n := start(t, unlogged, onDisk(t, d))
	n.topic(t, "orders", 1)
	failed := func() bool {
		d.FailSync(1) // of any file: that of a checkpoint is none of the log's
		p := produceOnce(t, n, "v")
		if p.ErrorCode == 0 {
			return false
		}
		if p.ErrorCode != kerr.KafkaStorageError.Code || p.BaseOffset != -1 {
			t.Fatalf("%v in %+v", kerr.ErrorForCode(p.ErrorCode), p)
		}
		return n.Err() != nil
	}
	eventually(t, "the log fails", failed)
	if !failed() {
		t.Error("a produce after the failure succeeds")
	}
	expectNoCoordinator(t, n)
}

// TestAStoppingBrokerOnTheWire: clients try again, with whatever comes after.
func TestAStoppingBrokerOnTheWire(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if p := produceOnce(t, n, "v"); p.ErrorCode != kerr.NotLeaderForPartition.Code || p.BaseOffset != -1 {
		t.Errorf("%v in %+v", kerr.ErrorForCode(p.ErrorCode), p)
	}
	expectNoCoordinator(t, n)
}

// expectNoCoordinator asks for what a coordinator does.
func expectNoCoordinator(t *testing.T, n *node) {
	t.Helper()
	want := kerr.CoordinatorNotAvailable.Code
	if got := commitOnce(t, n, "g"); got != want {
		t.Errorf("a commit: %v", kerr.ErrorForCode(got))
	}
	if got := newID(t, n); got.ErrorCode != want || got.ProducerID != -1 {
		t.Errorf("a producer id: %+v", got)
	}
	if got := n.dial(t).ask(joinRequest("", 30_000), 3).(*kmsg.JoinGroupResponse); got.ErrorCode != want {
		t.Errorf("a join: %+v", got)
	}
}
