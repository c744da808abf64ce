package kafka_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// countIn counts the bytes that connections have taken in.
func countIn(n *atomic.Int64) option {
	return func(_ *broker.Config, c *kafka.Config) { c.Metrics.BytesIn = func(b int64) { n.Add(b) } }
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: " + what)
		}
	}
}

func TestAtAStopWhatWasTakenIsAnswered(t *testing.T) {
	var in atomic.Int64
	n := start(t, countIn(&in))
	n.topic(t, "orders", 1)
	n.topic(t, "idle", 1)
	orders, idle := requestsFor(t, n, "orders"), requestsFor(t, n, "idle")
	producer, consumer, idler := n.dial(t), n.dial(t), n.dial(t)
	var ids []int32
	var sent int64
	for range 50 {
		ids = append(ids, producer.send(orders.produce("v"), 9))
		sent += int64(len(encode(orders.last, 9, 1)))
	}
	wait := idle.fetch(0)
	wait.MaxWaitMillis, wait.MinBytes = 60_000, 1
	id := consumer.send(wait, 12)
	sent += int64(len(encode(wait, 12, 1)))
	eventually(t, "everything is taken", func() bool { return in.Load() == sent })
	begun := time.Now()
	n.stop()
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("the stop took %v", took)
	}
	for i, id := range ids {
		resp := producer.receive(orders.last, id).(*kmsg.ProduceResponse)
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("produce %d: %+v", i, p)
		}
	}
	producer.closed()
	if resp := consumer.receive(wait, id).(*kmsg.FetchResponse); resp.ErrorCode != 0 || len(resp.Topics[0].Partitions[0].RecordBatches) != 0 {
		t.Errorf("the fetch that waited: %+v", resp)
	}
	consumer.closed()
	idler.closed()
}

func TestDrainEndsConnections(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	conn.ask(&kmsg.ApiVersionsRequest{}, 0)
	if err := n.server.Drain(context30(t)); err != nil {
		t.Error(err)
	}
	conn.closed()
}

// TestRepliesKeepTheirOrder mixes requests that wait with some that do not.
func TestRepliesKeepTheirOrder(t *testing.T) {
	n := start(t, shards(3))
	n.topic(t, "orders", 1)
	a := requestsFor(t, n, "orders")
	conn := n.dial(t)
	type sent struct {
		req kmsg.Request
		id  int32
	}
	var all []sent
	send := func(req kmsg.Request, version int16) {
		all = append(all, sent{req, conn.send(req, version)})
	}
	for i := range 40 {
		send(a.produce(fmt.Sprint(i)), 9)
		send(a.produce(fmt.Sprint(i)), 11)
		fetch := a.fetch(int64(2*i + 2))
		fetch.MaxWaitMillis, fetch.MinBytes = 20, 1
		send(fetch, 11)
		send(&kmsg.HeartbeatRequest{Group: "g", MemberID: "m"}, 4)
		send(&kmsg.MetadataRequest{}, 1)
	}
	for _, s := range all {
		conn.receive(s.req, s.id)
	}
}

// stall makes the broker's disk wait at each sync from hold on until release,
// which is called at the end of the test if it was not before.
func stall(t testing.TB) (disk option, hold, release func()) {
	var stalled atomic.Bool
	proceed := make(chan struct{})
	release = sync.OnceFunc(func() { close(proceed) })
	d := mem.New(mem.Options{FileBytes: 8 << 20, BeforeSync: func(string) {
		if stalled.Load() {
			<-proceed
		}
	}})
	return onDisk(t, d), func() { t.Cleanup(release); stalled.Store(true) }, release
}

// TestProducesDoNotWaitForEachOther: while a produce is not durable yet the
// next ones of its connection are read, and one sync carries them all.
func TestProducesDoNotWaitForEachOther(t *testing.T) {
	var in atomic.Int64
	disk, hold, release := stall(t)
	n := start(t, countIn(&in), disk)
	n.topic(t, "orders", 1)
	conn, a := n.dial(t), requestsFor(t, n, "orders")
	before := n.Stats().Slots
	hold()
	const total = 40
	sent := int64(0)
	for range total {
		conn.send(a.produce("v"), 9)
		sent += int64(len(encode(a.last, 9, 1)))
	}
	eventually(t, "all are read", func() bool { return in.Load() == sent })
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.br.Peek(1); !isTimeout(err) {
		t.Fatalf("answered before it is durable: %v", err)
	}
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	release()
	for i := range int32(total) {
		if p := conn.receive(a.last, i+1).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("produce %d: %+v", i, p)
		}
	}
	if slots := n.Stats().Slots - before; slots > 2 {
		t.Errorf("%d syncs for %d produces; the first takes one, all others one more", slots, total)
	}
}

// TestWhatFollowsAProduceSeesIt: what follows a produce on its
// connection sees it, though many are under way at once.
func TestWhatFollowsAProduceSeesIt(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1)
	a := requestsFor(t, n, "orders")
	conn := n.dial(t)
	for i := range 20 {
		list := &kmsg.ListOffsetsRequest{ReplicaID: -1, Topics: []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -1}}}}}
		first := conn.send(a.produce("v"), 9)
		produce := a.last
		id := conn.send(list, 5)
		conn.receive(produce, first)
		if got := conn.receive(list, id).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset; got != int64(i+1) {
			t.Fatalf("after %d records the end is %d", i+1, got)
		}
	}
}

// TestAWaitingRequestDoesNotStopOthers: while a join and a fetch wait, a
// produce on the same connection is carried out.
func TestAWaitingRequestDoesNotStopOthers(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	n.topic(t, "idle", 1)
	conn, other := n.dial(t), n.dial(t)

	// A group with a member that does not rejoin keeps the second waiting.
	first := joinRequest("", 30_000)
	first.SetVersion(3)
	other.ask(first, 3)
	conn.send(joinRequest("", 30_000), 3)
	wait := requestsFor(t, n, "idle").fetch(0)
	wait.MaxWaitMillis, wait.MinBytes = 30_000, 1
	conn.send(wait, 11)
	conn.send(requestsFor(t, n, "orders").produce("v"), 9)
	eventually(t, "the produce is durable", func() bool { return topic.Partitions[0].Bounds().HighWatermark == 1 })
}

func joinRequest(member string, timeout int32) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = "g", timeout, timeout
	req.MemberID, req.ProtocolType = member, "consumer"
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("meta")}}
	return req
}

// TestALostConnectionEndsItsWaits: a join and a fetch that wait do not keep
// the connection of a client that is gone.
func TestALostConnectionEndsItsWaits(t *testing.T) {
	var open atomic.Int64
	n := start(t, func(_ *broker.Config, c *kafka.Config) {
		c.Metrics.Connections = func(d int) { open.Add(int64(d)) }
	})
	n.topic(t, "idle", 1)
	staying := n.dial(t)
	first := joinRequest("", 60_000)
	staying.ask(first, 3)
	leaving := n.dial(t)
	leaving.send(joinRequest("", 60_000), 3)
	wait := requestsFor(t, n, "idle").fetch(0)
	wait.MaxWaitMillis, wait.MinBytes = 60_000, 1
	leaving.send(wait, 11)
	eventually(t, "both are connected", func() bool { return open.Load() == 2 })
	leaving.Close()
	eventually(t, "the connection is over", func() bool { return open.Load() == 1 })
}

func TestAcks(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	a := requestsFor(t, n, "orders")

	for _, acks := range []int16{1, -1} {
		req := a.produce("v")
		req.Acks = acks
		if p := n.dial(t).ask(req, 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Errorf("acks=%d: %+v", acks, p)
		}
	}
	for _, acks := range []int16{2, -2, 100} {
		req := a.produce("v")
		req.Acks = acks
		if p := n.dial(t).ask(req, 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != kerr.InvalidRequiredAcks.Code || p.BaseOffset != -1 {
			t.Errorf("acks=%d: %+v", acks, p)
		}
	}

	// acks=0: no response; the next response is that of the next request.
	conn := n.dial(t)
	for range 10 {
		req := a.produce("v")
		req.Acks = 0
		conn.send(req, 9)
	}
	meta := &kmsg.MetadataRequest{}
	conn.ask(meta, 1)
	if high := topic.Partitions[0].Bounds().HighWatermark; high != 12 {
		t.Errorf("high watermark %d, want 12", high)
	}

	// An error has nothing but the end of the connection to show itself.
	for name, change := range map[string]func(*kmsg.ProduceRequest){
		"unknown partition": func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = 7 },
		"bad checksum":      func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Records[20]++ },
	} {
		conn := n.dial(t)
		req := a.produce("v")
		req.Acks = 0
		change(req)
		conn.send(req, 9)
		t.Log(name)
		conn.closed()
	}
}

func TestProduceErrors(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 1, "max.message.bytes", "500", "message.timestamp.before.max.ms", "60000")
	a := requestsFor(t, n, "orders")
	for _, c := range []struct {
		name    string
		version int16
		change  func(*kmsg.ProduceRequest)
		want    *kerr.Error
	}{
		{"unknown topic", 9, func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "none" }, kerr.UnknownTopicOrPartition},
		{"unknown topic id", 13, func(r *kmsg.ProduceRequest) { r.Topics[0].TopicID[0]++ }, kerr.UnknownTopicID},
		{"unknown partition", 13, func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = 1 }, kerr.UnknownTopicOrPartition},
		{"negative partition", 3, func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = -1 }, kerr.UnknownTopicOrPartition},
		{"no batch", 9, func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Records = nil }, kerr.InvalidRecord},
		{"two batches", 9, func(r *kmsg.ProduceRequest) {
			p := &r.Topics[0].Partitions[0]
			p.Records = append(p.Records, p.Records...)
		}, kerr.InvalidRecord},
		{"half a batch", 9, func(r *kmsg.ProduceRequest) {
			p := &r.Topics[0].Partitions[0]
			p.Records = p.Records[:len(p.Records)-1]
		}, kerr.CorruptMessage},
		{"magic 1", 9, func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Records[16] = 1 }, kerr.InvalidRecord},
		{"bad checksum", 9, func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Records[20]++ }, kerr.CorruptMessage},
		{"too large", 9, func(r *kmsg.ProduceRequest) {
			r.Topics[0].Partitions[0].Records = batch(t, fmt.Sprintf("%500d", 1))
		}, kerr.MessageTooLarge},
		{"codec 5", 9, func(r *kmsg.ProduceRequest) { patch(r, 22, 5) }, kerr.UnsupportedCompressionType},
		{"codec 7", 3, func(r *kmsg.ProduceRequest) { patch(r, 22, 7) }, kerr.UnsupportedCompressionType},
		{"zstd in version 6", 6, zstd, kerr.UnsupportedCompressionType},
		{"a codec that is not that of the records", 9, func(r *kmsg.ProduceRequest) { patch(r, 22, 4) }, kerr.InvalidRecord},
		{"fewer records than it says", 9, func(r *kmsg.ProduceRequest) { patch(r, 60, 2) }, kerr.InvalidRecord},
		{"more records than it says", 9, func(r *kmsg.ProduceRequest) {
			r.Topics[0].Partitions[0].Records = batch(t, "a", "b")
			patch(r, 60, 1)
		}, kerr.InvalidRecord},
		{"fewer records than count and last offset say", 9, func(r *kmsg.ProduceRequest) { patch(r, 26, 1); patch(r, 60, 2) }, kerr.InvalidRecord},
		{"a transactional id", 9, func(r *kmsg.ProduceRequest) { r.TransactionID = kmsg.StringPtr("t") }, kerr.TransactionalIDAuthorizationFailed},
	} {
		req := a.produce("v")
		c.change(req)
		p := n.dial(t).ask(req, c.version).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if p.ErrorCode != c.want.Code || p.BaseOffset != -1 || p.LogStartOffset != -1 && c.version >= 5 || c.version >= 8 && p.ErrorMessage == nil {
			t.Errorf("%s: got %v in %+v, want %v", c.name, kerr.ErrorForCode(p.ErrorCode), p, c.want)
		}
	}
	req := a.produce("v")
	zstd(req)
	if p := n.dial(t).ask(req, 7).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != 0 {
		t.Errorf("zstd in version 7: %+v", p)
	}
}

// zstd makes the batch of a request one that is compressed with zstd.
func zstd(r *kmsg.ProduceRequest) {
	r.Topics[0].Partitions[0].Records = record.Append(nil, record.BatchSpec{Codec: record.Zstd,
		Records: []record.Record{{Timestamp: time.Now().UnixMilli(), Value: []byte("v")}}})
}

// patch changes one byte of the batch of a request, and the checksum.
func patch(r *kmsg.ProduceRequest, at int, to byte) {
	b := r.Topics[0].Partitions[0].Records
	b[at] = to
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// TestBadInput sends what no client would. The connection ends, with one line
// in the log at most; others go on.
func TestBadInput(t *testing.T) {
	n := start(t, setting("socket.request.max.bytes", "1000000"))
	n.topic(t, "orders", 1)
	bystander := n.dial(t)
	frame := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	head := func(key, version int16, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		return frame(append(append(b, 0, 0, 0, 1, 0xff, 0xff), rest...)...)
	}
	for name, input := range map[string][]byte{
		"text":                        []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"a length of 2 GiB":           {0x7f, 0xff, 0xff, 0xff, 0, 0},
		"a negative length":           {0xff, 0xff, 0xff, 0xff},
		"a length of 0":               frame(),
		"a length of 7":               frame(1, 2, 3, 4, 5, 6, 7),
		"one byte above the limit":    binary.BigEndian.AppendUint32(nil, 1_000_001),
		"an unknown API":              head(1000, 0),
		"a negative API":              head(-1, 0),
		"an API that is not served":   head(kmsg.SASLAuthenticate.Int16(), 1),
		"a version that is too old":   head(kmsg.Produce.Int16(), 2),
		"a version that is too new":   head(kmsg.Metadata.Int16(), 99),
		"a negative version":          head(kmsg.Metadata.Int16(), -1),
		"a client id that is not all": frame(0, 3, 0, 1, 0, 0, 0, 1, 0, 50, 'a'),
		"a body that is not all":      head(kmsg.Heartbeat.Int16(), 0, 0, 5, 'a'),
		"an array that is not there":  head(kmsg.Metadata.Int16(), 0, 0, 0xff, 0xff, 0xff),
		"2^32 tags":                   head(kmsg.ListGroups.Int16(), 3, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"a produce that is not all":   head(kmsg.Produce.Int16(), 9, 0, 0xff, 0xff, 0, 0, 0, 1, 2),
	} {
		conn := n.dial(t)
		if _, err := conn.Write(input); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { conn.t = t; conn.closed() })
	}

	// Half a frame, and then nothing more.
	conn := n.dial(t)
	if _, err := conn.Write(encode(&kmsg.MetadataRequest{}, 1, 1)[:9]); err != nil {
		t.Fatal(err)
	}
	conn.Close()

	if resp := bystander.ask(&kmsg.MetadataRequest{}, 0).(*kmsg.MetadataResponse); len(resp.Topics) != 1 {
		t.Errorf("the bystander got %+v", resp)
	}
}

func TestAnUnknownVersionOfApiVersionsIsAnsweredInVersion0(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	// Nothing after the correlation id can be understood.
	if _, err := conn.Write([]byte{0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 7, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	resp := conn.receive(&kmsg.ApiVersionsRequest{}, 7).(*kmsg.ApiVersionsResponse)
	if resp.ErrorCode != kerr.UnsupportedVersion.Code || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 4 {
		t.Errorf("got %+v", resp)
	}
	// The connection goes on.
	again := conn.ask(&kmsg.ApiVersionsRequest{ClientSoftwareName: "x", ClientSoftwareVersion: "1"}, 4).(*kmsg.ApiVersionsResponse)
	if again.ErrorCode != 0 || len(again.FinalizedFeatures) != 1 || again.FinalizedFeatures[0].Name != "metadata.version" {
		t.Fatalf("got %+v", again)
	}
	const kafka40 = 25 // 4.0-IV3
	if f := again.FinalizedFeatures[0]; f.MinVersionLevel != kafka40 || f.MaxVersionLevel != kafka40 {
		t.Errorf("the level that is finalized is %d to %d, want %d", f.MinVersionLevel, f.MaxVersionLevel, kafka40)
	}
	bad := conn.ask(&kmsg.ApiVersionsRequest{ClientSoftwareName: "-x", ClientSoftwareVersion: ""}, 3).(*kmsg.ApiVersionsResponse)
	if bad.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("got %+v", bad)
	}
}

// TestManyElements: 100,000 elements in a request are answered one by one; a
// few more than the limit end the connection.
func TestManyElements(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "none"
	topic.Partitions = make([]kmsg.ListOffsetsRequestTopicPartition, 100_000)
	for i := range topic.Partitions {
		topic.Partitions[i].Partition = int32(i)
	}
	req.Topics = append(req.Topics, topic)
	resp := conn.ask(req, 5).(*kmsg.ListOffsetsResponse)
	if parts := resp.Topics[0].Partitions; len(parts) != 100_000 || parts[99_999].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("%d partitions", len(parts))
	}
	req.Topics = append(req.Topics, topic, topic)
	conn.send(req, 5)
	conn.closed()
}

// TestSilentFramesDoNotKeepOthersFromWorking: lengths alone take no memory.
func TestSilentFramesDoNotKeepOthersFromWorking(t *testing.T) {
	n := start(t, func(_ *broker.Config, c *kafka.Config) { c.MemoryMax = 8 << 20 })
	n.topic(t, "orders", 1)
	for range 40 {
		// 40 × 100 MB are announced, 40 × 10 bytes are sent.
		conn := n.dial(t)
		if _, err := conn.Write([]byte{6, 0, 0, 0, 0, 0, 0, 9, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	conn := n.dial(t)
	a := requestsFor(t, n, "orders")
	for range 20 {
		if p := conn.ask(a.produce("v"), 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
			t.Fatalf("%+v", p)
		}
	}
}

func TestLargeFrames(t *testing.T) {
	n := start(t)
	n.topic(t, "orders", 100)
	conn := n.dial(t)
	a := requestsFor(t, n, "orders")
	for _, size := range []int{100, 200_000, 3_000_000, 20_000_000, 90_000_000, 100} {
		for _, p := range conn.ask(a.produceWide(size), 9).(*kmsg.ProduceResponse).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				t.Fatalf("%d bytes: %+v", size, p)
			}
		}
	}
	// Only a produce may be as large as that.
	big := conn.send(&kmsg.DescribeGroupsRequest{Groups: []string{fmt.Sprintf("%*d", 30_000, 1)}}, 0)
	conn.receive(&kmsg.DescribeGroupsRequest{}, big)
	names := make([]string, 300)
	for i := range names {
		names[i] = fmt.Sprintf("%*d", 30_000, i)
	}
	if _, err := conn.Write(encode(&kmsg.DescribeGroupsRequest{Groups: names}, 0, 1)); err == nil {
		conn.closed()
	}
}

// TestAClientThatDoesNotReadHoldsLittle: what is answered and not read waits as
// requests in the socket, not as responses in memory.
func TestAClientThatDoesNotReadHoldsLittle(t *testing.T) {
	var in atomic.Int64
	n := start(t, countIn(&in))
	for i := range 200 {
		n.topic(t, fmt.Sprintf("topic-%d", i), 50)
	}
	frame := encode(&kmsg.MetadataRequest{}, 12, 1)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const clients, each = 4, 300
	for range clients {
		conn := n.dial(t)
		if _, err := conn.Write(bytes.Repeat(frame, each)); err != nil {
			t.Fatal(err)
		}
	}
	// All would be 360 MB of responses. Wait until the server takes no more.
	last := int64(-1)
	eventually(t, "the server stops reading", func() bool {
		now := in.Load()
		still := now == last && now > 0
		last = now
		time.Sleep(200 * time.Millisecond)
		return still
	})
	if taken := last / int64(len(frame)); taken > clients*40 {
		t.Errorf("%d of %d requests were taken", taken, clients*each)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if took := int64(after.HeapAlloc) - int64(before.HeapAlloc); took > 64<<20 {
		t.Errorf("%d MiB of memory", took>>20)
	}
	if resp := n.dial(t).ask(&kmsg.MetadataRequest{}, 12).(*kmsg.MetadataResponse); len(resp.Topics) != 200 {
		t.Errorf("a bystander got %d topics", len(resp.Topics))
	}
}
