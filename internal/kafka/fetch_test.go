package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// fetchOf makes a request of partitions 0 to n-1 of topics, from offset 0.
func fetchOf(n int, topics ...*broker.Topic) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.SessionEpoch = 1<<20, -1
	for _, topic := range topics {
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID = topic.Name, topic.ID
		for i := range n {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.PartitionMaxBytes = int32(i), 1<<20
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// put appends one batch to each partition of a topic.
func put(t testing.TB, n *node, topic *broker.Topic, values ...string) {
	t.Helper()
	for _, p := range topic.Partitions {
		putBatch(t, n, p, batch(t, values...))
	}
}

func putBatch(t testing.TB, n *node, p *broker.Partition, b []byte) {
	t.Helper()
	h, err := record.ReadHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	n.Append(context.Background(), &broker.AppendRequest{
		Items: []broker.AppendItem{{Partition: p, Batch: b, Header: h}},
		Done:  func(r *broker.AppendRequest) { done <- r.Items[0].Err },
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// values are the values of the records in b.
func values(t testing.TB, b []byte) []string {
	t.Helper()
	var all []string
	for one := range record.Batches(b) {
		if !record.VerifyCRC(one) {
			t.Error("a batch fails its checksum")
		}
		if err := record.Iterate(one, func(r record.Record) bool {
			all = append(all, string(r.Value))
			return true
		}); err != nil {
			t.Error(err)
		}
	}
	return all
}

// TestFetchVersions compares what is encoded by hand with what kmsg reads.
func TestFetchVersions(t *testing.T) {
	n := start(t)
	one, two := n.topic(t, "one", 2), n.topic(t, "two", 2)
	put(t, n, one, "a", "b")
	put(t, n, two, "c")
	conn := n.dial(t)
	for v := int16(4); v <= 18; v++ {
		for isolation := range int8(2) {
			req := fetchOf(3, one, two)
			req.IsolationLevel = isolation
			resp := conn.ask(req, v).(*kmsg.FetchResponse)
			if len(resp.Topics) != 2 {
				t.Fatalf("version %d: %d topics", v, len(resp.Topics))
			}
			for i, rt := range resp.Topics {
				topic := []*broker.Topic{one, two}[i]
				if v < 13 && rt.Topic != topic.Name || v >= 13 && rt.TopicID != topic.ID {
					t.Errorf("version %d: topic %q %x", v, rt.Topic, rt.TopicID)
				}
				for k, p := range rt.Partitions {
					want := [][]string{{"a", "b"}, {"c"}}[i]
					if k == 2 {
						if p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
							t.Errorf("version %d: partition 2: %+v", v, p)
						}
						continue
					}
					if got := values(t, p.RecordBatches); !slices.Equal(got, want) || p.ErrorCode != 0 || p.Partition != int32(k) ||
						p.HighWatermark != int64(len(want)) || p.LastStableOffset != int64(len(want)) || v >= 5 && p.LogStartOffset != 0 || p.PreferredReadReplica != -1 {
						t.Errorf("version %d: %q in %+v", v, got, p)
					}
					if (p.AbortedTransactions != nil) != (isolation == 1) {
						t.Errorf("version %d, isolation %d: aborted transactions %v", v, isolation, p.AbortedTransactions)
					}
				}
			}
		}
	}
}

func TestFetchErrors(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	for range 5 {
		put(t, n, topic, "a", "b")
	}
	ctx := context.Background()
	if _, err := n.DeleteRecords(ctx, topic.Partitions[0], 4); err != nil {
		t.Fatal(err)
	}
	epoch := topic.Partitions[0].Bounds().Epoch
	for _, c := range []struct {
		name    string
		version int16
		change  func(*kmsg.FetchRequest, *kmsg.FetchRequestTopicPartition)
		want    *kerr.Error
	}{
		{"below the log start", 11, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 3 }, kerr.OffsetOutOfRange},
		{"negative", 4, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -1 }, kerr.OffsetOutOfRange},
		{"above the high watermark", 18, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 11 }, kerr.OffsetOutOfRange},
		{"an old leader epoch", 9, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch - 1 }, kerr.FencedLeaderEpoch},
		{"an old leader epoch", 17, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch - 1 }, kerr.FencedLeaderEpoch},
		{"a later leader epoch", 12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch + 1 }, kerr.UnknownLeaderEpoch},
		{"an unknown topic", 12, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].Topic = "none" }, kerr.UnknownTopicOrPartition},
		{"an unknown id", 13, func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].TopicID[3]++ }, kerr.UnknownTopicID},
	} {
		req := fetchOf(1, topic)
		req.MaxWaitMillis, req.MinBytes = 20_000, 1 // an error does not wait
		p := &req.Topics[0].Partitions[0]
		p.FetchOffset = 4
		c.change(req, p)
		resp := n.dial(t).ask(req, c.version).(*kmsg.FetchResponse)
		got := resp.Topics[0].Partitions[0]
		if got.ErrorCode != c.want.Code || got.HighWatermark != -1 || len(got.RecordBatches) != 0 {
			t.Errorf("%s: %+v, want %v", c.name, got, c.want)
		}
		if c.version >= 16 && c.want == kerr.FencedLeaderEpoch {
			if got.CurrentLeader.LeaderID != 1 || got.CurrentLeader.LeaderEpoch != epoch || len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != 1 {
				t.Errorf("%s: leader %+v, brokers %+v", c.name, got.CurrentLeader, resp.Brokers)
			}
		}
	}

	// An epoch that ended before the client's position.
	req := fetchOf(1, topic)
	p := &req.Topics[0].Partitions[0]
	p.FetchOffset, p.LastFetchedEpoch = 6, epoch-1
	got := n.dial(t).ask(req, 12).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got.ErrorCode != 0 || got.DivergingEpoch.EndOffset != 4 || len(got.RecordBatches) != 0 {
		t.Errorf("diverging: %+v", got)
	}
}

// TestFetchReturnsWholeBatches: the offset may lie within a batch, and no limit
// keeps the first batch back.
func TestFetchReturnsWholeBatches(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 2)
	for i := range 10 {
		put(t, n, topic, fmt.Sprintf("%da", i), fmt.Sprintf("%db", i))
	}
	conn := n.dial(t)
	get := func(offset int64, partitionMax, max int32) (first, second []string) {
		t.Helper()
		req := fetchOf(2, topic)
		req.MaxBytes = max
		req.Topics[0].Partitions[0].FetchOffset, req.Topics[0].Partitions[0].PartitionMaxBytes = offset, partitionMax
		req.Topics[0].Partitions[1].FetchOffset = 20
		parts := conn.ask(req, 11).(*kmsg.FetchResponse).Topics[0].Partitions
		return values(t, parts[0].RecordBatches), values(t, parts[1].RecordBatches)
	}
	if got, _ := get(17, 1<<20, 1<<20); !slices.Equal(got, []string{"8a", "8b", "9a", "9b"}) {
		t.Errorf("from within a batch: %q", got)
	}
	for _, limit := range []int32{0, 1, -5} {
		if got, _ := get(18, limit, 1<<20); !slices.Equal(got, []string{"9a", "9b"}) {
			t.Errorf("with partition_max_bytes=%d: %q", limit, got)
		}
		if got, _ := get(4, 1<<20, limit); !slices.Equal(got, []string{"2a", "2b"}) {
			t.Errorf("with max_bytes=%d: %q", limit, got)
		}
	}
	size := int32(len(batch(t, "0a", "0b")))
	if got, _ := get(0, 3*size+1, 1<<20); len(got) != 6 {
		t.Errorf("with room for three and a bit: %q", got)
	}
}

// TestFetchIsFair: with room for one batch only, all partitions get their turn.
func TestFetchIsFair(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 4)
	put(t, n, topic, "a")
	conn := n.dial(t)
	served := map[int32]int{}
	for range 8 {
		req := fetchOf(4, topic)
		req.MaxBytes = 1
		for i, p := range conn.ask(req, 11).(*kmsg.FetchResponse).Topics[0].Partitions {
			if p.Partition != int32(i) {
				t.Fatalf("partition %d at place %d", p.Partition, i)
			}
			if len(p.RecordBatches) > 0 {
				served[p.Partition]++
			}
		}
	}
	if len(served) != 4 {
		t.Errorf("served: %v", served)
	}
}

// TestLongPoll: a fetch that waits is answered as soon as there is enough.
func TestLongPoll(t *testing.T) {
	n := start(t, shards(3))
	topic := n.topic(t, "orders", 3)
	conn := n.dial(t)
	one := int32(len(batch(t, "a")))

	req := fetchOf(3, topic)
	req.MaxWaitMillis, req.MinBytes = 20_000, 1
	begun := time.Now()
	id := conn.send(req, 12)
	putBatch(t, n, topic.Partitions[2], batch(t, "a"))
	resp := conn.receive(req, id).(*kmsg.FetchResponse)
	if got := values(t, resp.Topics[0].Partitions[2].RecordBatches); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q", got)
	}

	req.MinBytes = 4 * one
	id = conn.send(req, 12)
	for range 3 {
		putBatch(t, n, topic.Partitions[0], batch(t, "b"))
	}
	conn.receive(req, id)

	// Less than enough comes when the time is over.
	req.MaxWaitMillis, req.MinBytes = 30, 100*one
	resp = conn.ask(req, 12).(*kmsg.FetchResponse)
	if got := values(t, resp.Topics[0].Partitions[0].RecordBatches); len(got) != 3 {
		t.Errorf("got %q", got)
	}

	// A deletion and a moved log start wake it too.
	req.MaxWaitMillis = 20_000
	id = conn.send(req, 12)
	if err := n.DeleteTopic(context.Background(), topic.ID); err != nil {
		t.Fatal(err)
	}
	if p := conn.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[1]; p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("after the deletion: %+v", p)
	}
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %v: something waited for its time to be over", took)
	}
}

// TestLimitsDoNotMakeAFetchWait: what a limit cuts off would not come by
// waiting, and nobody can get more than max_bytes.
func TestLimitsDoNotMakeAFetchWait(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	for range 10 {
		put(t, n, topic, strings.Repeat("x", 600))
	}
	conn := n.dial(t)
	for name, limit := range map[string]func(*kmsg.FetchRequest){
		"a partition's limit below min_bytes": func(r *kmsg.FetchRequest) { r.MinBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 2000, 2000 },
		"max_bytes below min_bytes":           func(r *kmsg.FetchRequest) { r.MinBytes, r.MaxBytes = 1<<20, 2000 },
	} {
		req := fetchOf(1, topic)
		req.MaxWaitMillis = 30_000
		limit(req)
		begun := time.Now()
		resp := conn.ask(req, 12).(*kmsg.FetchResponse)
		if got := values(t, resp.Topics[0].Partitions[0].RecordBatches); len(got) == 0 {
			t.Errorf("%s: nothing was returned", name)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestLongPollIsAnsweredWhenTheLogStartMoves(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	put(t, n, topic, "a", "b")
	conn := n.dial(t)
	req := fetchOf(1, topic)
	req.MaxWaitMillis, req.MinBytes = 20_000, 1<<20
	id := conn.send(req, 12)
	if _, err := n.DeleteRecords(context.Background(), topic.Partitions[0], 2); err != nil {
		t.Fatal(err)
	}
	if p := conn.receive(req, id).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Errorf("got %+v", p)
	}
}

// TestFetchSession follows one session of KIP-227.
func TestFetchSession(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			n := start(t)
			topic := n.topic(t, "orders", 3)
			conn := n.dial(t)
			ask := func(req *kmsg.FetchRequest) *kmsg.FetchResponse {
				t.Helper()
				return conn.ask(req, version).(*kmsg.FetchResponse)
			}
			indexes := func(resp *kmsg.FetchResponse) (got []int32) {
				for _, rt := range resp.Topics {
					for _, p := range rt.Partitions {
						got = append(got, p.Partition)
					}
				}
				slices.Sort(got)
				return got
			}
			next := int32(0)
			incremental := func(id int32, topics ...*broker.Topic) *kmsg.FetchRequest {
				next++
				req := fetchOf(0, topics...)
				req.SessionID, req.SessionEpoch = id, next
				return req
			}

			req := fetchOf(2, topic)
			req.SessionEpoch = 0
			resp := ask(req)
			id := resp.SessionID
			if id == 0 || resp.ErrorCode != 0 || len(indexes(resp)) != 2 {
				t.Fatalf("a new session: %+v", resp)
			}
			if resp = ask(incremental(id)); resp.SessionID != id || len(indexes(resp)) != 0 {
				t.Errorf("nothing is new: %+v", resp)
			}
			put(t, n, topic, "a")
			if resp = ask(incremental(id)); !slices.Equal(indexes(resp), []int32{0, 1}) {
				t.Errorf("two partitions have records: %v", indexes(resp))
			}
			// Partition 0 moves on, 2 is added; 1 is said again.
			req = incremental(id)
			add := fetchOf(3, topic).Topics[0]
			add.Partitions[0].FetchOffset = 1
			add.Partitions = []kmsg.FetchRequestTopicPartition{add.Partitions[0], add.Partitions[2]}
			req.Topics = append(req.Topics, add)
			if resp = ask(req); !slices.Equal(indexes(resp), []int32{1, 2}) {
				t.Errorf("after a change: %v", indexes(resp))
			}
			// 1 and 2 are forgotten.
			req = incremental(id)
			forget := kmsg.NewFetchRequestForgottenTopic()
			forget.Topic, forget.TopicID, forget.Partitions = topic.Name, topic.ID, []int32{1, 2}
			req.ForgottenTopics = append(req.ForgottenTopics, forget)
			if resp = ask(req); len(indexes(resp)) != 0 {
				t.Errorf("after forgetting: %v", indexes(resp))
			}
			put(t, n, topic, "b")
			if resp = ask(incremental(id)); !slices.Equal(indexes(resp), []int32{0}) || !slices.Equal(values(t, resp.Topics[0].Partitions[0].RecordBatches), []string{"b"}) {
				t.Errorf("only partition 0 is left: %+v", resp)
			}

			wrong := incremental(id)
			wrong.SessionEpoch += 5
			if resp = ask(wrong); resp.ErrorCode != kerr.InvalidFetchSessionEpoch.Code || resp.SessionID != 0 {
				t.Errorf("a wrong epoch: %+v", resp)
			}
			wrong.SessionID = id + 1
			if resp = ask(wrong); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
				t.Errorf("a wrong id: %+v", resp)
			}
			// Epoch -1 ends the session.
			last := fetchOf(1, topic)
			last.SessionID = id
			if resp = ask(last); resp.SessionID != 0 || len(indexes(resp)) != 1 {
				t.Errorf("the last fetch: %+v", resp)
			}
			if resp = ask(incremental(id)); resp.ErrorCode != kerr.FetchSessionIDNotFound.Code {
				t.Errorf("after the end: %+v", resp)
			}
		})
	}
}

func TestASessionDoesNotChangeFromNamesToIDs(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 1)
	conn := n.dial(t)
	req := fetchOf(1, topic)
	req.SessionEpoch = 0
	id := conn.ask(req, 12).(*kmsg.FetchResponse).SessionID
	next := fetchOf(0)
	next.SessionID, next.SessionEpoch = id, 1
	if resp := conn.ask(next, 13).(*kmsg.FetchResponse); resp.ErrorCode != kerr.FetchSessionTopicIDError.Code {
		t.Errorf("got %+v", resp)
	}
}

// TestASessionSeesATopicCome: what was an error is told again when it is none.
func TestASessionSeesATopicCome(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	req := fetchOf(1, &broker.Topic{Name: "later"})
	req.SessionEpoch = 0
	resp := conn.ask(req, 12).(*kmsg.FetchResponse)
	if resp.Topics[0].Partitions[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Fatalf("got %+v", resp)
	}
	n.topic(t, "later", 1)
	next := fetchOf(0)
	next.SessionID, next.SessionEpoch = resp.SessionID, 1
	resp = conn.ask(next, 12).(*kmsg.FetchResponse)
	if len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 0 || resp.Topics[0].Partitions[0].HighWatermark != 0 {
		t.Errorf("got %+v", resp)
	}
}

// TestSessionsAreBounded: clients that open one for each fetch do not take
// those of others, and are served without one.
func TestSessionsAreBounded(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	n := start(t, setting("max.incremental.fetch.session.cache.slots", "10"), func(_ *broker.Config, c *kafka.Config) {
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	topic := n.topic(t, "orders", 1)
	put(t, n, topic, "a")
	conn := n.dial(t)
	open := func() int32 {
		t.Helper()
		req := fetchOf(1, topic)
		req.SessionEpoch = 0
		resp := conn.ask(req, 12).(*kmsg.FetchResponse)
		if resp.ErrorCode != 0 || len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Fatalf("got %+v", resp)
		}
		return resp.SessionID
	}
	good := open()
	with := 0
	for range 50 {
		if open() != 0 {
			with++
		}
	}
	if with != 9 {
		t.Errorf("%d of 50 fetches got a session, 9 were free", with)
	}
	next := fetchOf(0)
	next.SessionID, next.SessionEpoch = good, 1
	if resp := conn.ask(next, 12).(*kmsg.FetchResponse); resp.ErrorCode != 0 {
		t.Errorf("the session that is used: %+v", resp)
	}
	// Those that nobody has used for a while make room.
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	next.SessionEpoch = 2
	conn.ask(next, 12)
	mu.Lock()
	now = now.Add(90 * time.Second)
	mu.Unlock()
	for range 20 {
		open()
	}
	next.SessionEpoch = 3
	if resp := conn.ask(next, 12).(*kmsg.FetchResponse); resp.ErrorCode != 0 {
		t.Errorf("the session that is used: %+v", resp)
	}
}

// TestZstdNeedsFetch10: older clients are told, and the other partitions come.
func TestZstdNeedsFetch10(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "orders", 2)
	put(t, n, topic, "plain")
	zstd := record.Append(nil, record.BatchSpec{Codec: record.Zstd, Records: []record.Record{{Timestamp: 1, Value: []byte("packed")}}})
	putBatch(t, n, topic.Partitions[1], zstd)
	conn := n.dial(t)
	for v := int16(4); v <= 11; v++ {
		parts := conn.ask(fetchOf(2, topic), v).(*kmsg.FetchResponse).Topics[0].Partitions
		if got := values(t, parts[0].RecordBatches); !slices.Equal(got, []string{"plain"}) {
			t.Errorf("version %d: partition 0: %q", v, got)
		}
		if v < 10 {
			if parts[1].ErrorCode != kerr.UnsupportedCompressionType.Code || len(parts[1].RecordBatches) != 0 {
				t.Errorf("version %d: partition 1: %+v", v, parts[1])
			}
		} else if got := values(t, parts[1].RecordBatches); !slices.Equal(got, []string{"plain", "packed"}) {
			t.Errorf("version %d: partition 1: %q", v, got)
		}
	}
}
