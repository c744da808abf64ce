package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// The tests of this file use franz-go as anybody would.

func context30(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// consume reads until it has n records.
func consume(t testing.TB, c *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx := context30(t)
	var records []*kgo.Record
	for len(records) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(records), n, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func TestProduceAndConsume(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			n := start(t, shards(3))
			n.topic(t, "orders", 5)
			producer := n.client(t, kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic("orders"))
			const total = 5000
			var mu sync.Mutex
			sent := map[string]int64{} // value → partition and offset
			for i := range total {
				r := &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%100), Value: fmt.Appendf(nil, "v%d %s", i, strings.Repeat("x", i%200)), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}}}
				producer.Produce(context.Background(), r, func(r *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					sent[string(r.Value)] = int64(r.Partition)<<32 | r.Offset
				})
			}
			if err := producer.Flush(context30(t)); err != nil {
				t.Fatal(err)
			}
			consumer := n.client(t, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			next := map[int32]int64{}
			for _, r := range consume(t, consumer, total) {
				if at, ok := sent[string(r.Value)]; !ok || at != int64(r.Partition)<<32|r.Offset {
					t.Fatalf("%q is at partition %d offset %d, not where it was sent", r.Value, r.Partition, r.Offset)
				}
				if r.Offset != next[r.Partition] {
					t.Fatalf("partition %d: offset %d after %d", r.Partition, r.Offset, next[r.Partition]-1)
				}
				next[r.Partition]++
				delete(sent, string(r.Value))
			}
			if len(sent) != 0 {
				t.Errorf("%d records were not consumed", len(sent))
			}
		})
	}
}

func TestAutoCreationThroughAClient(t *testing.T) {
	n := start(t, setting("num.partitions", "4"))
	c := n.client(t, kgo.AllowAutoTopicCreation())
	if err := c.ProduceSync(context30(t), &kgo.Record{Topic: "new", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if topic, ok := n.Topic("new"); !ok || len(topic.Partitions) != 4 {
		t.Errorf("got %+v, %v", topic, ok)
	}

	off := start(t, setting("auto.create.topics.enable", "false"))
	c = off.client(t, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	err := c.ProduceSync(context30(t), &kgo.Record{Topic: "new", Value: []byte("v")}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("got %v", err)
	}
}

// TestGroup has members come and go; every record is consumed, and what was
// committed is not consumed again.
func TestGroup(t *testing.T) {
	for _, balancer := range []kgo.GroupBalancer{kgo.RangeBalancer(), kgo.CooperativeStickyBalancer()} {
		t.Run(balancer.ProtocolName(), func(t *testing.T) {
			n := start(t, shards(3))
			n.topic(t, "orders", 8)
			producer := n.client(t, kgo.DefaultProduceTopic("orders"))
			produce := func(from, to int) {
				for i := from; i < to; i++ {
					producer.Produce(context.Background(), kgo.StringRecord(fmt.Sprint(i)), func(_ *kgo.Record, err error) {
						if err != nil {
							t.Error(err)
						}
					})
				}
				if err := producer.Flush(context30(t)); err != nil {
					t.Fatal(err)
				}
			}
			var mu sync.Mutex
			got := map[string]int{}
			member := func() (leave func()) {
				c := n.client(t, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("g"), kgo.Balancers(balancer),
					kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100*time.Millisecond),
					kgo.BlockRebalanceOnPoll(), kgo.DisableAutoCommit())
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan struct{})
				go func() {
					defer close(done)
					for ctx.Err() == nil {
						fetches := c.PollFetches(ctx)
						records := fetches.Records()
						if len(records) > 0 {
							if err := c.CommitRecords(context.Background(), records...); err != nil {
								t.Error(err)
							}
							mu.Lock()
							for _, r := range records {
								got[string(r.Value)]++
							}
							mu.Unlock()
						}
						c.AllowRebalance()
					}
				}()
				return func() { cancel(); <-done; c.Close() }
			}
			wait := func(total int) {
				t.Helper()
				deadline := time.Now().Add(30 * time.Second)
				for {
					mu.Lock()
					have := len(got)
					mu.Unlock()
					if have == total {
						return
					}
					if time.Now().After(deadline) {
						t.Fatalf("%d of %d records", have, total)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			leaveA := member()
			produce(0, 500)
			wait(500)
			leaveB := member()
			produce(500, 1000)
			wait(1000)
			leaveA()
			produce(1000, 1500)
			wait(1500)
			leaveB()
			mu.Lock()
			defer mu.Unlock()
			for v, times := range got {
				if times != 1 {
					t.Errorf("record %s was consumed %d times", v, times)
				}
			}
		})
	}
}

func TestAdministration(t *testing.T) {
	n := start(t, shards(3))
	ctx := context30(t)
	client := n.client(t)
	adm := kadm.NewClient(client)

	created, err := adm.CreateTopic(ctx, 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("5000")}, "orders")
	if err != nil || created.NumPartitions != 3 || *created.Configs["retention.ms"].Value != "5000" {
		t.Fatalf("CreateTopic: %+v, %v", created, err)
	}
	if _, err := adm.CreateTopic(ctx, 3, 1, nil, "orders"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("a second time: %v", err)
	}
	if parts, err := adm.CreatePartitions(ctx, 2, "orders"); err != nil || parts.Error() != nil {
		t.Errorf("CreatePartitions: %v, %v", err, parts.Error())
	}
	if details, err := adm.ListTopics(ctx); err != nil || len(details["orders"].Partitions) != 5 {
		t.Errorf("ListTopics: %+v, %v", details, err)
	}

	for i := range 10 {
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: "orders", Partition: 0, Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	ends, err := adm.ListEndOffsets(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total != 10 {
		t.Errorf("end offsets add up to %d", total)
	}
	full := kadm.Offset{Topic: "orders", Partition: 0, At: -1}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			full.Partition, full.At = o.Partition, o.Offset
		}
	})
	deleted, err := adm.DeleteRecords(ctx, kadm.Offsets{"orders": {full.Partition: full}})
	if low, ok := deleted.Lookup("orders", full.Partition); err != nil || !ok || low.LowWatermark != full.At {
		t.Errorf("DeleteRecords: %+v, %v", deleted, err)
	}

	if resp, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: kadm.StringPtr("2000")}}, "orders"); err != nil || resp[0].Err != nil {
		t.Errorf("AlterTopicConfigs: %+v, %v", resp, err)
	}
	if resp, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")}}, "orders"); err != nil || !errors.Is(resp[0].Err, kerr.InvalidConfig) || !strings.Contains(resp[0].ErrMessage, "compaction is not in this version") {
		t.Errorf("cleanup.policy=compact: %+v, %v", resp, err)
	}
	configs, err := adm.DescribeTopicConfigs(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"max.message.bytes": "2000", "retention.ms": "5000", "cleanup.policy": "delete"}
	for _, c := range configs[0].Configs {
		if v, ok := want[c.Key]; ok && c.MaybeValue() != v {
			t.Errorf("%s is %s, want %s", c.Key, c.MaybeValue(), v)
		}
	}

	if err := adm.CommitAllOffsets(ctx, "g", kadm.Offsets{"orders": {0: {Topic: "orders", Partition: 0, At: 7, Metadata: "m"}}}); err != nil {
		t.Errorf("CommitAllOffsets: %v", err)
	}
	fetched, err := adm.FetchOffsets(ctx, "g")
	if o, ok := fetched.Lookup("orders", 0); err != nil || !ok || o.At != 7 || o.Metadata != "m" {
		t.Errorf("FetchOffsets: %+v, %v", fetched, err)
	}
	groups, err := adm.ListGroups(ctx)
	if err != nil || !slices.Equal(groups.Groups(), []string{"g"}) {
		t.Errorf("ListGroups: %+v, %v", groups, err)
	}
	described, err := adm.DescribeGroups(ctx, "g", "none")
	if err != nil || described["g"].State != "Empty" || described["none"].State != "Dead" {
		t.Errorf("DescribeGroups: %+v, %v", described, err)
	}
	if removed, err := adm.DeleteGroups(ctx, "g"); err != nil || removed["g"].Err != nil {
		t.Errorf("DeleteGroups: %+v, %v", removed, err)
	}

	meta, err := adm.Metadata(ctx)
	if err != nil || meta.Controller != 1 || len(meta.Brokers) != 1 || meta.Cluster != n.ClusterID() {
		t.Errorf("Metadata: %+v, %v", meta, err)
	}
	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil || len(dirs[1]) != 1 {
		t.Errorf("DescribeAllLogDirs: %+v, %v", dirs, err)
	}
	if gone, err := adm.DeleteTopics(ctx, "orders"); err != nil || gone["orders"].Err != nil {
		t.Errorf("DeleteTopics: %+v, %v", gone, err)
	}
	if _, ok := n.Topic("orders"); ok {
		t.Error("the topic is still there")
	}
}

// TestTheIDOfATopicThatWasDeleted is unknown to every request that names topics
// by id, also when there is a topic of that name again, whose id they know.
func TestTheIDOfATopicThatWasDeleted(t *testing.T) {
	n := start(t, shards(3))
	conn := n.dial(t)
	fetched := func(resp kmsg.Response) (int16, [16]byte, int) {
		rt := resp.(*kmsg.FetchResponse).Topics[0]
		return rt.Partitions[0].ErrorCode, rt.TopicID, len(values(t, rt.Partitions[0].RecordBatches))
	}
	// ask names topic by id. It returns codes by request, whose answers name
	// it too, how many records were fetched and which offset was committed.
	ask := func(topic *broker.Topic) (codes map[string]int16, records int, committed int64) {
		t.Helper()
		codes = map[string]int16{}
		note := func(what string, code int16, id [16]byte) {
			t.Helper()
			if codes[what] = code; id != topic.ID {
				t.Errorf("%s: the answer is about %x, want %x", what, id, topic.ID)
			}
		}
		a := &asker{t: t, topic: topic}
		p := conn.ask(a.produce("v"), 13).(*kmsg.ProduceResponse).Topics[0]
		note("produce 13", p.Partitions[0].ErrorCode, p.TopicID)
		for v := int16(13); v <= 18; v++ {
			var code int16
			var id [16]byte
			code, id, records = fetched(conn.ask(a.fetch(0), v))
			note(fmt.Sprint("fetch ", v), code, id)
		}
		offsets := conn.ask(&kmsg.OffsetFetchRequest{Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1,
			Topics: []kmsg.OffsetFetchRequestGroupTopic{{TopicID: topic.ID, Partitions: []int32{0}}}}}}, 10).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0]
		note("offset fetch 10", offsets.Partitions[0].ErrorCode, offsets.TopicID)
		committed = offsets.Partitions[0].Offset
		commit := conn.ask(&kmsg.OffsetCommitRequest{Group: "g", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{
			{TopicID: topic.ID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1, LeaderEpoch: -1}}}}}, 10).(*kmsg.OffsetCommitResponse).Topics[0]
		note("offset commit 10", commit.Partitions[0].ErrorCode, commit.TopicID)
		for _, v := range []int16{12, 13} {
			m := conn.ask(&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{TopicID: topic.ID}}}, v).(*kmsg.MetadataResponse).Topics[0]
			note(fmt.Sprint("metadata ", v), m.ErrorCode, m.TopicID)
		}
		return codes, records, committed
	}
	all := func(codes map[string]int16, want int16) {
		t.Helper()
		for what, got := range codes {
			if got != want {
				t.Errorf("%s: error %d, want %d", what, got, want)
			}
		}
	}

	old := n.topic(t, "orders", 1)
	codes, records, committed := ask(old)
	if all(codes, 0); len(codes) != 11 || records != 1 || committed != -1 {
		t.Fatalf("%v, %d records, offset %d", codes, records, committed)
	}
	session := fetchOf(1, old)
	session.SessionEpoch = 0
	if session.SessionID = conn.ask(session, 13).(*kmsg.FetchResponse).SessionID; session.SessionID == 0 {
		t.Fatal("there is no session")
	}

	if err := n.DeleteTopic(context30(t), old.ID); err != nil {
		t.Fatal(err)
	}
	codes, _, _ = ask(old)
	all(codes, kerr.UnknownTopicID.Code)

	again := n.topic(t, "orders", 1)
	codes, _, _ = ask(old)
	all(codes, kerr.UnknownTopicID.Code)
	session.SessionEpoch, session.Topics = 1, nil
	if code, id, _ := fetched(conn.ask(session, 13)); code != kerr.UnknownTopicID.Code || id != old.ID {
		t.Errorf("in a session: error %d about %x", code, id)
	}
	codes, records, committed = ask(again)
	if all(codes, 0); records != 1 || committed != -1 {
		t.Errorf("the new topic has %d records and a committed offset %d; it was to begin empty", records, committed)
	}
}

func TestATopicThatIsCreatedAgainIsAnotherOne(t *testing.T) {
	n := start(t)
	first := n.topic(t, "orders", 1)
	c := n.client(t, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	p := n.client(t, kgo.DefaultProduceTopic("orders"))
	if err := p.ProduceSync(context30(t), kgo.StringRecord("old")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	consume(t, c, 1)
	if err := n.DeleteTopic(context.Background(), first.ID); err != nil {
		t.Fatal(err)
	}
	if n.topic(t, "orders", 1).ID == first.ID {
		t.Fatal("the new topic has the old id")
	}
	again := n.client(t, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	p = n.client(t, kgo.DefaultProduceTopic("orders"))
	if err := p.ProduceSync(context30(t), kgo.StringRecord("new")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if r := consume(t, again, 1)[0]; string(r.Value) != "new" || r.Offset != 0 {
		t.Errorf("got %q at %d", r.Value, r.Offset)
	}
}

// TestAClientThatLogsIn is told that nobody does here; without SaslHandshake
// it would see its connection end, and dial again.
func TestAClientThatLogsIn(t *testing.T) {
	n := start(t)
	c := n.client(t, kgo.SASL(plain.Auth{User: "u", Pass: "p"}.AsMechanism()))
	if err := c.Ping(context30(t)); !errors.Is(err, kerr.IllegalSaslState) {
		t.Errorf("got %v", err)
	}
}
