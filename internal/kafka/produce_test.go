package kafka_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// TestIdempotence: a batch that is sent again is not stored again, and gets the
// offset that it had.
func TestIdempotence(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	a, conn := requestsFor(t, n, "orders"), n.dial(t)
	id := conn.ask(&kmsg.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1}, 4).(*kmsg.InitProducerIDResponse).ProducerID
	send := func(epoch int16, sequence int32, values ...string) kmsg.ProduceResponseTopicPartition {
		t.Helper()
		spec := record.BatchSpec{Producer: &record.Producer{ID: id, Epoch: epoch, Sequence: sequence}}
		for _, v := range values {
			spec.Records = append(spec.Records, record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(v)})
		}
		return conn.ask(a.produceBatch(record.Append(nil, spec)), 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	}
	for i := range int32(6) {
		if p := send(0, 2*i, "a", "b"); p.ErrorCode != 0 || p.BaseOffset != int64(2*i) {
			t.Fatalf("batch %d: %+v", i, p)
		}
	}
	for i := int32(1); i < 6; i++ {
		if p := send(0, 2*i, "a", "b"); p.ErrorCode != 0 || p.BaseOffset != int64(2*i) {
			t.Errorf("batch %d again: %+v", i, p)
		}
	}
	if p := send(0, 14, "a"); p.ErrorCode != kerr.OutOfOrderSequenceNumber.Code || p.BaseOffset != -1 {
		t.Errorf("a gap: %+v", p)
	}
	if p := send(1, 0, "a"); p.ErrorCode != 0 {
		t.Errorf("a new epoch: %+v", p)
	}
	if p := send(0, 12, "a"); p.ErrorCode != kerr.InvalidProducerEpoch.Code {
		t.Errorf("an old epoch: %+v", p)
	}
	if high := topic.Partitions[0].Bounds().HighWatermark; high != 13 {
		t.Errorf("high watermark %d, want 13", high)
	}
}

func TestLogAppendTime(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1, "message.timestamp.type", "LogAppendTime")
	a, conn := requestsFor(t, n, "orders"), n.dial(t)
	before := time.Now().UnixMilli()
	b := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: 5, Value: []byte("a")}, {Timestamp: 7, Value: []byte("b")}}})
	p := conn.ask(a.produceBatch(b), 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LogAppendTime < before || p.LogAppendTime > time.Now().UnixMilli() {
		t.Fatalf("got %+v", p)
	}
	batches := conn.ask(a.fetch(0), 12).(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
	if !record.VerifyCRC(batches) {
		t.Error("the batch fails its checksum")
	}
	if err := record.Iterate(batches, func(r record.Record) bool {
		if r.Timestamp != p.LogAppendTime {
			t.Errorf("offset %d has timestamp %d, want %d", r.Offset, r.Timestamp, p.LogAppendTime)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
}

// TestTimestampBounds names the record that is at fault.
func TestTimestampBounds(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1, "message.timestamp.before.max.ms", "60000")
	a := requestsFor(t, n, "orders")
	now := time.Now().UnixMilli()
	for _, ts := range []int64{now - 100_000, now + 2*3_600_000} {
		b := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: now}, {Timestamp: ts}}})
		p := n.dial(t).ask(a.produceBatch(b), 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if p.ErrorCode != kerr.InvalidTimestamp.Code || len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 {
			t.Errorf("%d ms from now: %+v", ts-now, p)
		}
	}
}

// TestOnePartitionsFaultIsItsOwn: the others are stored.
func TestOnePartitionsFaultIsItsOwn(t *testing.T) {
	n := start(t, shards(3))
	topic := n.topic(t, "orders", 4)
	req := requestsFor(t, n, "orders").produce("v")
	first := req.Topics[0].Partitions[0]
	req.Topics[0].Partitions = nil
	for i := range int32(6) {
		first.Partition, first.Records = i, batch(t, "v")
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, first)
	}
	req.Topics[0].Partitions[2].Records[25]++
	var codes []int16
	for _, p := range n.dial(t).ask(req, 13).(*kmsg.ProduceResponse).Topics[0].Partitions {
		codes = append(codes, p.ErrorCode)
	}
	unknown := kerr.UnknownTopicOrPartition.Code
	if !slices.Equal(codes, []int16{0, 0, kerr.CorruptMessage.Code, 0, unknown, unknown}) {
		t.Errorf("got %v", codes)
	}
	for i, p := range topic.Partitions {
		if want := map[int]int64{2: 0}; p.Bounds().HighWatermark != 1 && i != 2 || i == 2 && p.Bounds().HighWatermark != want[2] {
			t.Errorf("partition %d: %+v", i, p.Bounds())
		}
	}
}

// TestManyRequestsBeforeTheFirstResponseIsRead: requests beyond the limit
// wait in the socket.
func TestManyRequestsBeforeTheFirstResponseIsRead(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	conn, a := n.dial(t), requestsFor(t, n, "orders")
	const total = 3000
	frame := encode(a.produce("v"), 9, 0)
	sent := make(chan error, 1)
	go func() {
		for i := range total {
			frame[11], frame[10] = byte(i), byte(i>>8)
			if _, err := conn.Write(frame); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for i := range int32(total) {
		resp := conn.receive(a.last, i).(*kmsg.ProduceResponse)
		if p := resp.Topics[0].Partitions[0]; p.BaseOffset != int64(i) {
			t.Fatalf("request %d got offset %d", i, p.BaseOffset)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestFetchesDoNotTakeMemory: records go from the files to the socket.
func TestFetchesDoNotTakeMemory(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	values := slices.Repeat([]string{fmt.Sprintf("%10000d", 1)}, 50)
	for range 16 {
		put(t, n, topic, values...)
	}
	conn := n.dial(t)
	req := requestsFor(t, n, "orders").fetch(0)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 8<<20, 8<<20
	frame := encode(req, 12, 1)
	buf := make([]byte, 64<<10)
	fetch := func() (total int) {
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		for want := 4; total < want; {
			k, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if total == 0 {
				want = 4 + (int(buf[0])<<24 | int(buf[1])<<16 | int(buf[2])<<8 | int(buf[3]))
			}
			total += k
		}
		return total
	}
	fetch()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const times = 20
	total := 0
	for range times {
		total += fetch()
	}
	runtime.ReadMemStats(&after)
	if total < times*7<<20 {
		t.Fatalf("%d bytes were fetched", total)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(total)/20 {
		t.Errorf("%d bytes of records took %d bytes of memory", total, took)
	}
}
