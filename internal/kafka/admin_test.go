package kafka_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/kafka"
	"github.com/waxwing-mq/waxwing/internal/record"
)

func newTopic(name string, partitions int32, replicas int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for i := 0; i < len(configs); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	return t
}

func assigned(replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := newTopic("assigned", -1, -1)
	for i, r := range replicas {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return t
}

func TestCreateTopics(t *testing.T) {
	n := start(t, setting("num.partitions", "3"))
	n.topic(t, "there", 1)
	conn := n.dial(t)
	gap := assigned([]int32{1}, []int32{1})
	gap.ReplicaAssignment[1].Partition = 2
	both := assigned([]int32{1})
	both.NumPartitions = 1
	null := newTopic("null", 1, 1, "retention.ms", "")
	null.Configs[0].Value = nil
	for _, c := range []struct {
		name       string
		topic      kmsg.CreateTopicsRequestTopic
		want       *kerr.Error
		partitions int32
	}{
		{"plain", newTopic("a", 2, 1), nil, 2},
		{"defaults", newTopic("b", -1, -1), nil, 3},
		{"an assignment", assigned([]int32{1}, []int32{1}), nil, 2},
		{"a name that is taken", newTopic("there", 1, 1), kerr.TopicAlreadyExists, 0},
		{"no name", newTopic("", 1, 1), kerr.InvalidTopicException, 0},
		{"a bad name", newTopic("a/b", 1, 1), kerr.InvalidTopicException, 0},
		{"two dots", newTopic("..", 1, 1), kerr.InvalidTopicException, 0},
		{"a long name", newTopic(strings.Repeat("x", 250), 1, 1), kerr.InvalidTopicException, 0},
		{"no partitions", newTopic("c", 0, 1), kerr.InvalidPartitions, 0},
		{"-2 partitions", newTopic("c", -2, 1), kerr.InvalidPartitions, 0},
		{"too many partitions", newTopic("c", 1<<30, 1), kerr.InvalidPartitions, 0},
		{"two replicas", newTopic("c", 1, 2), kerr.InvalidReplicationFactor, 0},
		{"no replicas", newTopic("c", 1, 0), kerr.InvalidReplicationFactor, 0},
		{"an unknown setting", newTopic("c", 1, 1, "retention", "1"), kerr.InvalidConfig, 0},
		{"a bad value", newTopic("c", 1, 1, "retention.ms", "x"), kerr.InvalidConfig, 0},
		{"compaction", newTopic("c", 1, 1, "cleanup.policy", "compact"), kerr.InvalidConfig, 0},
		{"null", null, kerr.InvalidConfig, 0},
		{"another node", assigned([]int32{2}), kerr.InvalidReplicaAssignment, 0},
		{"two nodes", assigned([]int32{1, 2}), kerr.InvalidReplicaAssignment, 0},
		{"a gap", gap, kerr.InvalidReplicaAssignment, 0},
		{"both ways", both, kerr.InvalidRequest, 0},
	} {
		for _, validateOnly := range []bool{true, false} {
			req := &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{c.topic}, ValidateOnly: validateOnly}
			got := conn.ask(req, 7).(*kmsg.CreateTopicsResponse).Topics[0]
			if c.want != nil {
				if got.ErrorCode != c.want.Code || got.ErrorMessage == nil || got.NumPartitions != -1 {
					t.Errorf("%s: %v in %+v, want %v", c.name, kerr.ErrorForCode(got.ErrorCode), got, c.want)
				}
				continue
			}
			if got.ErrorCode != 0 || got.NumPartitions != c.partitions || got.ReplicationFactor != 1 || len(got.Configs) < 20 {
				t.Errorf("%s: %+v", c.name, got)
			}
			made, ok := n.Topic(c.topic.Topic)
			if ok == validateOnly || ok && (len(made.Partitions) != int(c.partitions) || made.ID != got.TopicID) {
				t.Errorf("%s: validate only %v, but there: %v", c.name, validateOnly, ok)
			}
		}
	}
	twice := &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{newTopic("twice", 1, 1), newTopic("twice", 1, 1), newTopic("once", 1, 1)}}
	got := conn.ask(twice, 7).(*kmsg.CreateTopicsResponse).Topics
	if got[0].ErrorCode != kerr.InvalidRequest.Code || got[1].ErrorCode != kerr.InvalidRequest.Code || got[2].ErrorCode != 0 {
		t.Errorf("the same name twice: %+v", got)
	}
}

func TestTheReplicationFactorCanBeClamped(t *testing.T) {
	n := start(t, func(_ *broker.Config, c *kafka.Config) { c.ClampReplicationFactor = true })
	req := &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{newTopic("a", 1, 3)}}
	if got := n.dial(t).ask(req, 7).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 0 || got.ReplicationFactor != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestDeleteTopics(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	a, b := n.topic(t, "a", 1), n.topic(t, "b", 1)
	req := &kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{
		{Topic: kmsg.StringPtr("a")}, {TopicID: b.ID}, {Topic: kmsg.StringPtr("none")}, {TopicID: [16]byte{1}}, {}, {Topic: kmsg.StringPtr("a"), TopicID: a.ID},
	}}
	var codes []int16
	for _, rt := range conn.ask(req, 6).(*kmsg.DeleteTopicsResponse).Topics {
		codes = append(codes, rt.ErrorCode)
	}
	want := []int16{0, 0, kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code, kerr.InvalidRequest.Code, kerr.InvalidRequest.Code}
	if !slices.Equal(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
	if len(n.Topics()) != 0 {
		t.Errorf("left: %v", n.Topics())
	}

	off := start(t, setting("delete.topic.enable", "false"))
	off.topic(t, "a", 1)
	conn = off.dial(t)
	for version, want := range map[int16]*kerr.Error{2: kerr.InvalidRequest, 5: kerr.TopicDeletionDisabled} {
		got := conn.ask(&kmsg.DeleteTopicsRequest{TopicNames: []string{"a"}}, version).(*kmsg.DeleteTopicsResponse).Topics[0]
		if got.ErrorCode != want.Code {
			t.Errorf("version %d: %v", version, kerr.ErrorForCode(got.ErrorCode))
		}
	}
}

func TestCreatePartitions(t *testing.T) {
	n := start(t)
	n.topic(t, "a", 2)
	conn := n.dial(t)
	for _, c := range []struct {
		topic      string
		count      int32
		assignment [][]int32
		want       *kerr.Error
	}{
		{"none", 5, nil, kerr.UnknownTopicOrPartition},
		{"a", 1, nil, kerr.InvalidPartitions},
		{"a", 2, nil, kerr.InvalidPartitions},
		{"a", 4, [][]int32{{1}}, kerr.InvalidReplicaAssignment},
		{"a", 4, [][]int32{{1}, {9}}, kerr.InvalidReplicaAssignment},
		{"a", 4, [][]int32{{1}, {1}}, nil},
		{"a", 5, nil, nil},
	} {
		rt := kmsg.CreatePartitionsRequestTopic{Topic: c.topic, Count: c.count}
		for _, r := range c.assignment {
			rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: r})
		}
		req := &kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{rt}}
		for _, req.ValidateOnly = range []bool{true, false} {
			resp := conn.ask(req, 3).(*kmsg.CreatePartitionsResponse)
			want := int16(0)
			if c.want != nil {
				want = c.want.Code
			}
			if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != want {
				t.Errorf("%s to %d: %+v, want %v", c.topic, c.count, resp.Topics, c.want)
			}
		}
	}
	if topic, _ := n.Topic("a"); len(topic.Partitions) != 5 {
		t.Errorf("%d partitions", len(topic.Partitions))
	}
}

func TestDeleteRecords(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "a", 1)
	put(t, n, topic, "0", "1", "2", "3", "4")
	conn := n.dial(t)
	for _, c := range []struct {
		partition int32
		offset    int64
		low       int64
		want      *kerr.Error
	}{
		{0, 6, -1, kerr.OffsetOutOfRange},
		{0, -2, -1, kerr.OffsetOutOfRange},
		{1, 0, -1, kerr.UnknownTopicOrPartition},
		{0, 2, 2, nil},
		{0, 1, 2, nil},
		{0, -1, 5, nil},
	} {
		req := &kmsg.DeleteRecordsRequest{Topics: []kmsg.DeleteRecordsRequestTopic{{Topic: "a", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: c.partition, Offset: c.offset}}}}}
		got := conn.ask(req, 2).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		if got.LowWatermark != c.low || c.want == nil && got.ErrorCode != 0 || c.want != nil && got.ErrorCode != c.want.Code {
			t.Errorf("to %d: %+v, want %v", c.offset, got, c.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	n := start(t, setting("num.partitions", "2"))
	n.topic(t, "a", 1)
	b := n.topic(t, "b", 3)
	conn := n.dial(t)
	ask := func(version int16, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
		t.Helper()
		return conn.ask(req, version).(*kmsg.MetadataResponse)
	}
	named := func(names ...string) (topics []kmsg.MetadataRequestTopic) {
		for _, name := range names {
			topics = append(topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(name)})
		}
		return topics
	}
	for version := int16(0); version <= 13; version++ {
		resp := ask(version, &kmsg.MetadataRequest{})
		if len(resp.Topics) != 2 || *resp.Topics[1].Topic != "b" || len(resp.Topics[1].Partitions) != 3 || len(resp.Brokers) != 1 || version >= 1 && resp.ControllerID != 1 {
			t.Errorf("version %d: all: %+v", version, resp)
		}
		if p := resp.Topics[1].Partitions[2]; p.Leader != 1 || p.Partition != 2 || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || version >= 7 && p.LeaderEpoch != b.Partitions[2].Bounds().Epoch {
			t.Errorf("version %d: %+v", version, p)
		}
		if resp = ask(version, &kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{}}); version >= 1 && len(resp.Topics) != 0 || version == 0 && len(resp.Topics) != 2 {
			t.Errorf("version %d: no topics: %+v", version, resp.Topics)
		}
	}

	resp := ask(9, &kmsg.MetadataRequest{Topics: named("b", "none", "b", "a/b")})
	if len(resp.Topics) != 3 || resp.Topics[0].ErrorCode != 0 || resp.Topics[1].ErrorCode != kerr.UnknownTopicOrPartition.Code || resp.Topics[2].ErrorCode != kerr.InvalidTopicException.Code {
		t.Errorf("got %+v", resp.Topics)
	}
	if resp.AuthorizedOperations != -1<<31 || resp.Topics[0].AuthorizedOperations != -1<<31 {
		t.Errorf("operations that were not asked for: %d, %d", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}
	resp = ask(9, &kmsg.MetadataRequest{Topics: named("b"), IncludeClusterAuthorizedOperations: true, IncludeTopicAuthorizedOperations: true})
	if resp.AuthorizedOperations != 0x1fa0 || resp.Topics[0].AuthorizedOperations != 0xdf8 {
		t.Errorf("operations: %x, %x", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}

	resp = ask(12, &kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{TopicID: b.ID}, {TopicID: [16]byte{9}}}})
	if *resp.Topics[0].Topic != "b" || resp.Topics[1].ErrorCode != kerr.UnknownTopicID.Code || resp.Topics[1].Topic != nil {
		t.Errorf("by id: %+v", resp.Topics)
	}

	if _, ok := n.Topic("none"); ok {
		t.Error("created without leave")
	}
	resp = ask(9, &kmsg.MetadataRequest{Topics: named("none", "x y"), AllowAutoTopicCreation: true})
	if resp.Topics[0].ErrorCode != 0 || len(resp.Topics[0].Partitions) != 2 || resp.Topics[1].ErrorCode != kerr.InvalidTopicException.Code {
		t.Errorf("created: %+v", resp.Topics)
	}
	if resp = ask(3, &kmsg.MetadataRequest{Topics: named("old")}); resp.Topics[0].ErrorCode != 0 {
		t.Errorf("before version 4 creation is always allowed: %+v", resp.Topics)
	}
}

func TestDescribeTopicPartitionsPages(t *testing.T) {
	n := start(t, setting("max.request.partition.size.limit", "4"))
	n.topic(t, "a", 3)
	n.topic(t, "b", 5)
	n.topic(t, "c", 1)
	conn := n.dial(t)
	var got []string
	req := &kmsg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 100}
	for pages := 0; ; pages++ {
		resp := conn.ask(req, 0).(*kmsg.DescribeTopicPartitionsResponse)
		in := 0
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				got = append(got, fmt.Sprint(*rt.Topic, p.Partition))
				in++
			}
		}
		if in > 4 || pages > 5 {
			t.Fatalf("page %d has %d partitions", pages, in)
		}
		if resp.NextCursor == nil {
			break
		}
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
	}
	if want := []string{"a0", "a1", "a2", "b0", "b1", "b2", "b3", "b4", "c0"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	one := &kmsg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 2, Topics: []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "none"}, {Topic: "c"}, {Topic: "a/b"}}}
	resp := conn.ask(one, 0).(*kmsg.DescribeTopicPartitionsResponse)
	wrong, c, none := resp.Topics[0], resp.Topics[1], resp.Topics[2]
	if len(resp.Topics) != 3 || *wrong.Topic != "a/b" || wrong.ErrorCode != kerr.InvalidTopicException.Code ||
		*c.Topic != "c" || c.ErrorCode != 0 || *none.Topic != "none" || none.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("got %+v", resp.Topics)
	}
	of, _ := n.Topic("c")
	if p := c.Partitions[0]; c.TopicID != of.ID || c.IsInternal || c.AuthorizedOperations != 0xdf8 || p.ErrorCode != 0 || p.LeaderID != 1 ||
		p.LeaderEpoch != of.Partitions[0].Bounds().Epoch || !slices.Equal(p.Replicas, []int32{1}) || !slices.Equal(p.ISR, []int32{1}) || len(p.OfflineReplicas) != 0 {
		t.Errorf("c: %+v", c)
	}
}

// TestACursorIntoADeletedTopic goes on with the one after it.
func TestACursorIntoADeletedTopic(t *testing.T) {
	n := start(t)
	for _, name := range []string{"a", "b", "c"} {
		n.topic(t, name, 3)
	}
	conn := n.dial(t)
	req := &kmsg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 4}
	cursor := conn.ask(req, 0).(*kmsg.DescribeTopicPartitionsResponse).NextCursor
	if cursor == nil || cursor.Topic != "b" || cursor.Partition != 1 {
		t.Fatalf("got %+v", cursor)
	}
	b, _ := n.Topic("b")
	if err := n.DeleteTopic(context30(t), b.ID); err != nil {
		t.Fatal(err)
	}
	req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: cursor.Topic, Partition: cursor.Partition}
	resp := conn.ask(req, 0).(*kmsg.DescribeTopicPartitionsResponse)
	if len(resp.Topics) != 1 || *resp.Topics[0].Topic != "c" || len(resp.Topics[0].Partitions) != 3 || resp.NextCursor != nil {
		t.Errorf("got %+v", resp)
	}
}

func TestDescribeLogDirs(t *testing.T) {
	n := start(t, func(_ *broker.Config, c *kafka.Config) {
		c.LogDir, c.Disk = "there", func() (int64, int64) { return 1000, 600 }
	})
	topic := n.topic(t, "a", 2)
	putBatch(t, n, topic.Partitions[1], batch(t, "v"))
	conn := n.dial(t)
	for version := int16(1); version <= 5; version++ {
		req := &kmsg.DescribeLogDirsRequest{Topics: []kmsg.DescribeLogDirsRequestTopic{{Topic: "a", Partitions: []int32{1, 7}}, {Topic: "none", Partitions: []int32{0}}}}
		dirs := conn.ask(req, version).(*kmsg.DescribeLogDirsResponse).Dirs
		if len(dirs) != 1 || dirs[0].ErrorCode != 0 || dirs[0].Dir != "there" || version >= 4 && (dirs[0].TotalBytes != 1000 || dirs[0].UsableBytes != 600) {
			t.Fatalf("version %d: %+v", version, dirs)
		}
		if of := dirs[0].Topics; len(of) != 1 || of[0].Topic != "a" || len(of[0].Partitions) != 1 || of[0].Partitions[0].Partition != 1 ||
			of[0].Partitions[0].Size != int64(len(batch(t, "v"))) || of[0].Partitions[0].IsFuture {
			t.Errorf("version %d: %+v", version, of)
		}
	}
}

// TestWhereTheNodeIs: every response that says so gives the advertised host
// and port, and the node's id.
func TestWhereTheNodeIs(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "a", 1)
	conn := n.dial(t)
	check := func(what string, id int32, host string, port int32) {
		t.Helper()
		if at := net.JoinHostPort(host, strconv.Itoa(int(port))); at != n.addr || id != 1 {
			t.Errorf("%s: node %d at %s, want 1 at %s", what, id, at, n.addr)
		}
	}
	for version := int16(0); version <= 13; version++ {
		b := conn.ask(&kmsg.MetadataRequest{}, version).(*kmsg.MetadataResponse).Brokers[0]
		check(fmt.Sprint("Metadata ", version), b.NodeID, b.Host, b.Port)
	}
	for version := int16(0); version <= 2; version++ {
		resp := conn.ask(&kmsg.DescribeClusterRequest{EndpointType: 1}, version).(*kmsg.DescribeClusterResponse)
		check(fmt.Sprint("DescribeCluster ", version), resp.Brokers[0].NodeID, resp.Brokers[0].Host, resp.Brokers[0].Port)
		if resp.ControllerID != 1 || resp.ClusterID != n.ClusterID() || len(resp.Brokers) != 1 {
			t.Errorf("got %+v", resp)
		}
	}
	for version := int16(0); version <= 6; version++ {
		req := &kmsg.FindCoordinatorRequest{CoordinatorKey: "g", CoordinatorKeys: []string{"g"}}
		resp := conn.ask(req, version).(*kmsg.FindCoordinatorResponse)
		if version >= 4 {
			check(fmt.Sprint("FindCoordinator ", version), resp.Coordinators[0].NodeID, resp.Coordinators[0].Host, resp.Coordinators[0].Port)
		} else {
			check(fmt.Sprint("FindCoordinator ", version), resp.NodeID, resp.Host, resp.Port)
		}
	}
	for version := int16(16); version <= 18; version++ {
		req := fetchOf(1, topic)
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = topic.Partitions[0].Bounds().Epoch - 1
		resp := conn.ask(req, version).(*kmsg.FetchResponse)
		if len(resp.Brokers) != 1 {
			t.Fatalf("Fetch %d: %+v", version, resp)
		}
		check(fmt.Sprint("Fetch ", version), resp.Brokers[0].NodeID, resp.Brokers[0].Host, resp.Brokers[0].Port)
	}
	// A produce has nothing to say: its request knows no leader epoch, so
	// that no leader is ever another than its client thinks.
	for version := int16(10); version <= 13; version++ {
		for _, name := range []string{"a", "none"} {
			req := &kmsg.ProduceRequest{Acks: -1, Topics: []kmsg.ProduceRequestTopic{{Topic: name, TopicID: [16]byte{1},
				Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: batch(t, "v")}, {Partition: 7, Records: batch(t, "v")}}}}}
			if name == "a" {
				req.Topics[0].TopicID = topic.ID
			}
			resp := conn.ask(req, version).(*kmsg.ProduceResponse)
			if len(resp.Brokers) != 0 {
				t.Errorf("Produce %d: %+v", version, resp.Brokers)
			}
			for _, p := range resp.Topics[0].Partitions {
				if p.CurrentLeader.LeaderID != -1 || p.CurrentLeader.LeaderEpoch != -1 {
					t.Errorf("Produce %d: %+v", version, p)
				}
			}
		}
	}
}

func TestListOffsets(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "a", 1)
	for i, ts := range []int64{100, 300, 200, 400, 250} {
		b := record.Append(nil, record.BatchSpec{Records: []record.Record{{Timestamp: ts, Value: fmt.Append(nil, i)}, {Timestamp: ts + 1, Value: fmt.Append(nil, i)}}})
		putBatch(t, n, topic.Partitions[0], b)
	}
	if _, err := n.DeleteRecords(context.Background(), topic.Partitions[0], 1); err != nil {
		t.Fatal(err)
	}
	epoch := topic.Partitions[0].Bounds().Epoch
	conn := n.dial(t)
	for _, c := range []struct {
		timestamp int64
		version   int16
		offset    int64
		found     int64 // timestamp
		want      *kerr.Error
	}{
		{-1, 1, 10, -1, nil},
		{-2, 1, 1, -1, nil},
		{-2, 5, 1, -1, nil},
		{-1, 11, 10, -1, nil},
		{0, 5, 1, 101, nil},
		{101, 5, 1, 101, nil},
		{102, 5, 2, 300, nil},
		{301, 5, 3, 301, nil},
		{302, 5, 6, 400, nil},
		{402, 5, -1, -1, nil},
		{-3, 7, 7, 401, nil},
		{-3, 6, -1, -1, kerr.UnsupportedVersion},
		{-4, 8, 1, -1, nil},
		{-4, 7, -1, -1, kerr.UnsupportedVersion},
		{-5, 9, -1, -1, nil},
		{-6, 11, -1, -1, nil},
		{-6, 10, -1, -1, kerr.UnsupportedVersion},
		{-7, 11, -1, -1, kerr.UnsupportedVersion},
	} {
		for isolation := range int8(2) {
			req := kmsg.NewPtrListOffsetsRequest()
			req.IsolationLevel = isolation
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = c.timestamp
			req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "a", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			got := conn.ask(req, c.version).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
			if got.Offset != c.offset || got.Timestamp != c.found || c.want == nil && got.ErrorCode != 0 || c.want != nil && got.ErrorCode != c.want.Code {
				t.Errorf("timestamp %d, version %d: %+v, want offset %d, timestamp %d, %v", c.timestamp, c.version, got, c.offset, c.found, c.want)
			}
			if c.offset >= 0 && c.version >= 4 && got.LeaderEpoch != epoch {
				t.Errorf("timestamp %d, version %d: leader epoch %d, want %d", c.timestamp, c.version, got.LeaderEpoch, epoch)
			}
		}
	}
	req := kmsg.NewPtrListOffsetsRequest()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp = -1
	fenced := p
	fenced.CurrentLeaderEpoch = epoch + 1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "a", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p, p}}, {Topic: "none", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	got := conn.ask(req, 4).(*kmsg.ListOffsetsResponse).Topics
	if got[0].Partitions[0].ErrorCode != kerr.InvalidRequest.Code || got[1].Partitions[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("twice, and unknown: %+v", got)
	}
	n.topic(t, "empty", 1)
	for _, timestamp := range []int64{-1, -2} {
		p.Timestamp = timestamp
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "empty", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		if got := conn.ask(req, 4).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; got.Offset != 0 || got.LeaderEpoch != epoch {
			t.Errorf("timestamp %d of an empty partition: %+v", timestamp, got)
		}
	}
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "a", Partitions: []kmsg.ListOffsetsRequestTopicPartition{fenced}}}
	if got := conn.ask(req, 4).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; got.ErrorCode != kerr.UnknownLeaderEpoch.Code {
		t.Errorf("a later epoch: %+v", got)
	}
}

// TestFewSearchByTimeAtATime: searches decompress batches; when there are many
// they wait for each other, and other requests do not.
func TestFewSearchByTimeAtATime(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "a", 1)
	put(t, n, topic, "v")
	ask := func(timestamp int64) *kmsg.ListOffsetsRequest {
		req := kmsg.NewPtrListOffsetsRequest()
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = timestamp
		req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "a", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		return req
	}
	release := n.server.HoldSearches()
	conns := map[*raw]int32{}
	for _, timestamp := range []int64{0, -3} {
		conn := n.dial(t)
		conns[conn] = conn.send(ask(timestamp), 7)
	}
	for _, timestamp := range []int64{-1, -2} {
		n.dial(t).ask(ask(timestamp), 7)
	}
	for conn := range conns {
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := conn.br.Peek(1); !isTimeout(err) {
			t.Errorf("a search did not wait: %v", err)
		}
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	release()
	for conn, id := range conns {
		req := ask(0)
		req.SetVersion(7)
		if p := conn.receive(req, id).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || p.Offset != 0 {
			t.Errorf("got %+v", p)
		}
	}
}

func TestConfigs(t *testing.T) {
	n := start(t, setting("log.retention.hours", "2"))
	n.topic(t, "a", 1, "retention.bytes", "77")
	conn := n.dial(t)
	describe := func(kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsResponseResource {
		t.Helper()
		req := &kmsg.DescribeConfigsRequest{IncludeSynonyms: true, Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}}
		return conn.ask(req, 4).(*kmsg.DescribeConfigsResponse).Resources[0]
	}
	value := func(kind kmsg.ConfigResourceType, name, key string) string {
		t.Helper()
		r := describe(kind, name, key)
		if len(r.Configs) != 1 {
			t.Fatalf("%s of %q: %+v", key, name, r)
		}
		if v := r.Configs[0].Value; v != nil {
			return fmt.Sprint(*v, " ", r.Configs[0].Source, " ", len(r.Configs[0].ConfigSynonyms))
		}
		return "null"
	}
	const topic, node = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	check := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	check(value(topic, "a", "retention.bytes"), "77 DYNAMIC_TOPIC_CONFIG 2")
	check(value(topic, "a", "retention.ms"), "7200000 STATIC_BROKER_CONFIG 2")
	check(value(topic, "a", "segment.bytes"), "1073741824 DEFAULT_CONFIG 1")
	check(value(node, "1", "log.retention.hours"), "2 STATIC_BROKER_CONFIG 2")
	check(value(node, "1", "log.retention.ms"), "null")
	check(value(node, "1", "node.id"), "1 STATIC_BROKER_CONFIG 1")

	for _, c := range []struct {
		kind kmsg.ConfigResourceType
		name string
		want *kerr.Error
	}{
		{topic, "none", kerr.UnknownTopicOrPartition}, {topic, "a b", kerr.InvalidTopicException},
		{node, "2", kerr.InvalidRequest}, {node, "x", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", kerr.InvalidRequest}, {kmsg.ConfigResourceTypeGroupConfig, "g", kerr.InvalidRequest},
	} {
		if r := describe(c.kind, c.name); r.ErrorCode != c.want.Code || r.ErrorMessage == nil {
			t.Errorf("%v %q: %+v", c.kind, c.name, r)
		}
	}

	const set, remove, add, subtract = 0, 1, 2, 3
	alter := func(kind kmsg.ConfigResourceType, name string, validateOnly bool, op kmsg.IncrementalAlterConfigOp, key, value string) *kerr.Error {
		t.Helper()
		req := &kmsg.IncrementalAlterConfigsRequest{ValidateOnly: validateOnly, Resources: []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kind, ResourceName: name, Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Op: op, Value: &value}}}}}
		r := conn.ask(req, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		if r.ErrorCode == 0 {
			return nil
		}
		return kerr.TypedErrorForCode(r.ErrorCode)
	}
	for _, c := range []struct {
		kind         kmsg.ConfigResourceType
		name         string
		validateOnly bool
		op           kmsg.IncrementalAlterConfigOp
		key, value   string
		want         *kerr.Error
	}{
		{topic, "a", true, set, "retention.ms", "5", nil}, // changes nothing
		{topic, "a", false, set, "max.message.bytes", "5000", nil},
		{topic, "a", false, remove, "retention.bytes", "", nil},
		{topic, "a", false, add, "cleanup.policy", "delete", nil},
		{topic, "a", false, add, "cleanup.policy", "compact", kerr.InvalidConfig},
		{topic, "a", false, subtract, "retention.ms", "1", kerr.InvalidConfig},
		{topic, "a", false, add, "none", "1", kerr.InvalidConfig},
		{topic, "a", false, set, "none", "1", kerr.InvalidConfig},
		{topic, "a", false, 9, "cleanup.policy", "delete", kerr.InvalidRequest},
		{topic, "b", false, set, "retention.ms", "1", kerr.UnknownTopicOrPartition},
		{node, "1", false, set, "log.retention.ms", "9000", nil},
		{node, "", false, set, "max.connections", "7", nil},
		{node, "3", false, set, "message.max.bytes", "7", kerr.InvalidRequest},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", false, set, "root", "DEBUG", kerr.InvalidRequest},
	} {
		if got := alter(c.kind, c.name, c.validateOnly, c.op, c.key, c.value); got != c.want {
			t.Errorf("%v %q: op %d %s=%s: %v, want %v", c.kind, c.name, c.op, c.key, c.value, got, c.want)
		}
	}
	check(value(topic, "a", "max.message.bytes"), "5000 DYNAMIC_TOPIC_CONFIG 2")
	check(value(topic, "a", "retention.bytes"), "-1 DEFAULT_CONFIG 1")
	check(value(topic, "a", "retention.ms"), "9000 DYNAMIC_BROKER_CONFIG 3")
	if r := describe(node, ""); len(r.Configs) != 2 {
		t.Errorf("dynamic settings: %+v", r.Configs)
	}
	if n.Settings().ConnectionsMax != 7 || n.Settings().Topic.RetentionTime != 9*time.Second {
		t.Errorf("in force: %+v", n.Settings())
	}

	// AlterConfigs replaces everything.
	five := "5"
	req := &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: topic, ResourceName: "a", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.bytes", Value: &five}}}}}
	if r := conn.ask(req, 2).(*kmsg.AlterConfigsResponse).Resources[0]; r.ErrorCode != 0 {
		t.Errorf("AlterConfigs: %+v", r)
	}
	check(value(topic, "a", "max.message.bytes"), "1048588 DEFAULT_CONFIG 1")
	check(value(topic, "a", "retention.bytes"), "5 DYNAMIC_TOPIC_CONFIG 2")
	req.Resources[0].Configs[0].Value = nil
	if r := conn.ask(req, 2).(*kmsg.AlterConfigsResponse).Resources[0]; r.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("null: %+v", r)
	}
}

// TestConfigsAreRefusedAsInKafka: what Apache Kafka 4.4.0 answered to the same
// changes, each by itself, and how it then showed the topic's value. Where
// this broker differs on purpose, Kafka's answer stands beside.
func TestConfigsAreRefusedAsInKafka(t *testing.T) {
	const topic, node = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	const set, remove, add, subtract = 0, 1, 2, 3
	n := start(t)
	n.topic(t, "a", 1)
	conn := n.dial(t)
	alter := func(kind kmsg.ConfigResourceType, name string, op kmsg.IncrementalAlterConfigOp, key, value string) string {
		t.Helper()
		req := &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kind, ResourceName: name, Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Op: op, Value: &value}}}}}
		r := conn.ask(req, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		if (r.ErrorCode == 0) != (r.ErrorMessage == nil) {
			t.Errorf("op %d %s=%s: error %d without a text, or the reverse", op, key, value, r.ErrorCode)
		}
		return kafka.ErrorName(r.ErrorCode)
	}
	const ok, config, request = "NONE", "INVALID_CONFIG", "INVALID_REQUEST"
	for _, c := range []struct {
		op               kmsg.IncrementalAlterConfigOp
		key, value, want string
		shown            string
	}{
		{set, "retention.ms", " 5 ", ok, "5"}, {set, "retention.ms", "+6", ok, "6"}, {set, "retention.ms", "5.0", config, "6"},
		{set, "retention.ms", "", config, "6"}, {set, "retention.ms", "-2", config, "6"}, {set, "retention.ms", "0", ok, "0"},
		{set, "retention.bytes", "-2", ok, "-2"}, {set, "retention.bytes", "0", ok, "0"},
		{set, "preallocate", "TRUE", ok, "true"}, {set, "preallocate", "yes", config, "true"}, {set, "preallocate", "1", config, "true"},
		{set, "min.cleanable.dirty.ratio", "1.01", config, "0.5"}, {set, "min.cleanable.dirty.ratio", " 0.4 ", ok, "0.4"},
		{set, "min.cleanable.dirty.ratio", "NaN", config, "0.4"}, // Kafka takes it, and compacts never
		{set, "message.timestamp.type", " CreateTime ", ok, "CreateTime"}, {set, "message.timestamp.type", "createtime", config, "CreateTime"},
		{set, "compression.gzip.level", "0", config, "-1"}, {set, "compression.gzip.level", "10", config, "-1"}, {set, "compression.gzip.level", "9", ok, "9"},
		{set, "compression.lz4.level", "0", config, "9"}, {set, "compression.lz4.level", "18", config, "9"}, {set, "compression.lz4.level", "17", ok, "17"},
		{set, "compression.zstd.level", "23", config, "3"}, {set, "compression.zstd.level", "-131073", config, "3"},
		{set, "segment.bytes", "1048575", config, "1073741824"}, {set, "segment.bytes", "1048576", ok, "1048576"},
		{set, "segment.ms", "0", config, "604800000"}, {set, "segment.index.bytes", "3", config, "10485760"},
		{set, "flush.messages", "0", config, "9223372036854775807"}, {set, "index.interval.bytes", "-1", config, "4096"},
		{set, "leader.replication.throttled.replicas", "x", config, ""}, {set, "leader.replication.throttled.replicas", "*", ok, "*"},
		{set, "leader.replication.throttled.replicas", "*,0:1", config, "*"}, {set, "leader.replication.throttled.replicas", "0:1,0:1", ok, "0:1,0:1"},
		{add, "leader.replication.throttled.replicas", "5:1,0:1", ok, "0:1,0:1,5:1"}, {add, "leader.replication.throttled.replicas", "7:1", ok, "0:1,0:1,5:1,7:1"},
		{add, "leader.replication.throttled.replicas", "x", config, "0:1,0:1,5:1,7:1"}, {subtract, "leader.replication.throttled.replicas", "7:1", ok, "0:1,0:1,5:1"},
		{subtract, "leader.replication.throttled.replicas", "9:9", ok, "0:1,0:1,5:1"}, {set, "leader.replication.throttled.replicas", "", ok, ""},
		{set, "cleanup.policy", "", ok, ""}, {set, "cleanup.policy", "delete,delete", ok, "delete"}, {set, "cleanup.policy", " delete ", ok, "delete"},
		{set, "cleanup.policy", "delete,", config, "delete"}, {set, "cleanup.policy", "DELETE", config, "delete"}, {add, "cleanup.policy", "delete", ok, "delete"},
		{add, "retention.ms", "5", config, "0"}, {subtract, "retention.ms", "5", config, "0"},
		{set, "min.compaction.lag.ms", "100", ok, "100"}, {set, "max.compaction.lag.ms", "50", config, "9223372036854775807"}, {remove, "min.compaction.lag.ms", "", ok, "0"},
		{set, "local.retention.ms", "-3", config, "-2"}, {set, "remote.log.delete.on.disable", "false", ok, "false"},
		{set, "no.such", "5", config, "none"}, {add, "no.such", "5", config, "none"}, {subtract, "no.such", "5", config, "none"}, {remove, "no.such", "", ok, "none"}, {set, "", "5", config, "none"},
		{9, "cleanup.policy", "delete", request, "delete"}, // Kafka: UNKNOWN_SERVER_ERROR
	} {
		if got := alter(topic, "a", c.op, c.key, c.value); got != c.want {
			t.Errorf("op %d %s=%q: %s, want %s", c.op, c.key, c.value, got, c.want)
		}
		req := &kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: topic, ResourceName: "a", ConfigNames: []string{c.key}}}}
		shown := "none"
		if configs := conn.ask(req, 4).(*kmsg.DescribeConfigsResponse).Resources[0].Configs; len(configs) == 1 {
			shown = *configs[0].Value
		}
		if shown != c.shown {
			t.Errorf("op %d %s=%q: shown as %q, want %q", c.op, c.key, c.value, shown, c.shown)
		}
	}
	if got := alter(topic, "", set, "retention.ms", "5"); got != request {
		t.Errorf("all topics: %s", got)
	}
	for _, c := range []struct {
		op               kmsg.IncrementalAlterConfigOp
		key, value, want string
	}{
		{set, "log.retention.ms", "0", request}, {set, "log.retention.ms", "-2", ok}, {set, "log.retention.ms", "x", request}, {set, "log.retention.ms", " 5000 ", ok},
		{add, "log.retention.ms", "1", config}, {add, "log.cleanup.policy", "delete", ok},
		{add, "no.such", "1", config}, {subtract, "no.such", "1", config}, {remove, "no.such", "", ok},
		{set, "no.such", "1", config}, // Kafka takes it, for plugins
		{set, "log.retention.hours", "5", request}, {set, "log.retention.minutes", "5", request}, {set, "num.partitions", "3", request},
		{set, "auto.create.topics.enable", "true", request}, {set, "delete.topic.enable", "true", request}, {set, "fetch.max.bytes", "57671680", request},
		{set, "max.request.partition.size.limit", "2000", request}, {set, "default.replication.factor", "1", request},
		{set, "connections.max.idle.ms", "600000", request}, {set, "group.max.size", "5000", request}, {set, "socket.request.max.bytes", "1000000", request},
		{set, "log.retention.check.interval.ms", "300000", request}, {remove, "log.retention.hours", "", ok},
		{set, "max.connections", "10000", ok}, {set, "producer.id.expiration.ms", "86400000", ok}, {set, "message.max.bytes", "1048588", ok},
		{set, "message.max.bytes", "-1", request}, {set, "message.max.bytes", "x", request}, {set, "compression.type", "producer", ok},
		{set, "unclean.leader.election.enable", "false", ok}, {set, "log.segment.bytes", "14", request}, {set, "log.segment.bytes", "1048576", ok},
		{set, "log.retention.bytes", "-1", ok}, {set, "log.message.timestamp.type", "CreateTime", ok}, {set, "log.message.timestamp.after.max.ms", "3600000", ok},
		{set, "min.insync.replicas", "1", ok}, // Kafka refuses it for one broker, and takes it for all
		{set, "node.id", "1", config},         // Kafka: INVALID_REQUEST; here it is no setting
	} {
		for _, name := range []string{"", "1"} {
			if got := alter(node, name, c.op, c.key, c.value); got != c.want {
				t.Errorf("broker %q: op %d %s=%q: %s, want %s", name, c.op, c.key, c.value, got, c.want)
			}
		}
	}
}

func TestDescribeCluster(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	got := conn.ask(&kmsg.DescribeClusterRequest{EndpointType: 1}, 2).(*kmsg.DescribeClusterResponse)
	if got.ErrorCode != 0 || got.ClusterID != n.ClusterID() || len(got.Brokers) != 1 || got.ControllerID != 1 {
		t.Errorf("got %+v", got)
	}
	got = conn.ask(&kmsg.DescribeClusterRequest{EndpointType: 2}, 1).(*kmsg.DescribeClusterResponse)
	if got.ErrorCode != kerr.MismatchedEndpointType.Code {
		t.Errorf("got %+v", got)
	}
}

func TestDescribeLogDirsAndProducers(t *testing.T) {
	n := start(t)
	topic := n.topic(t, "a", 2)
	n.topic(t, "b", 1)
	conn := n.dial(t)
	id := conn.ask(&kmsg.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1}, 5).(*kmsg.InitProducerIDResponse)
	if again := conn.ask(&kmsg.InitProducerIDRequest{ProducerID: id.ProducerID, ProducerEpoch: 0}, 4).(*kmsg.InitProducerIDResponse); again.ProducerID == id.ProducerID || again.ErrorCode != 0 {
		t.Errorf("a second id: %+v after %+v", again, id)
	}
	refused := conn.ask(&kmsg.InitProducerIDRequest{TransactionalID: kmsg.StringPtr("t")}, 5).(*kmsg.InitProducerIDResponse)
	if refused.ErrorCode != kerr.TransactionalIDAuthorizationFailed.Code || refused.ProducerID != -1 {
		t.Errorf("a transactional id: %+v", refused)
	}
	b := record.Append(nil, record.BatchSpec{Producer: &record.Producer{ID: id.ProducerID}, Records: []record.Record{{Timestamp: 1}, {Timestamp: 2}}})
	putBatch(t, n, topic.Partitions[1], b)

	dirs := conn.ask(&kmsg.DescribeLogDirsRequest{Topics: []kmsg.DescribeLogDirsRequestTopic{{Topic: "a", Partitions: []int32{1}}, {Topic: "none", Partitions: []int32{0}}}}, 4).(*kmsg.DescribeLogDirsResponse).Dirs
	if len(dirs) != 1 || len(dirs[0].Topics) != 1 || dirs[0].Topics[0].Partitions[0].Partition != 1 || dirs[0].Topics[0].Partitions[0].Size < int64(len(b)) || dirs[0].TotalBytes != -1 {
		t.Errorf("got %+v", dirs)
	}
	all := conn.ask(&kmsg.DescribeLogDirsRequest{}, 1).(*kmsg.DescribeLogDirsResponse).Dirs
	if len(all[0].Topics) != 2 {
		t.Errorf("got %+v", all)
	}

	parts := conn.ask(&kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "a", Partitions: []int32{0, 1, 2}}}}, 0).(*kmsg.DescribeProducersResponse).Topics[0].Partitions
	if len(parts[0].ActiveProducers) != 0 || len(parts[1].ActiveProducers) != 1 || parts[2].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Fatalf("got %+v", parts)
	}
	if p := parts[1].ActiveProducers[0]; p.ProducerID != id.ProducerID || p.LastSequence != 1 || p.CurrentTxnStartOffset != -1 {
		t.Errorf("got %+v", p)
	}
}

func TestFindCoordinator(t *testing.T) {
	n := start(t)
	conn := n.dial(t)
	for _, c := range []struct {
		kind int8
		want int16
	}{{0, 0}, {1, kerr.TransactionalIDAuthorizationFailed.Code}, {2, kerr.InvalidRequest.Code}} {
		old := conn.ask(&kmsg.FindCoordinatorRequest{CoordinatorKey: "k", CoordinatorType: c.kind}, 3).(*kmsg.FindCoordinatorResponse)
		several := conn.ask(&kmsg.FindCoordinatorRequest{CoordinatorKeys: []string{"k", "l"}, CoordinatorType: c.kind}, 6).(*kmsg.FindCoordinatorResponse).Coordinators
		if old.ErrorCode != c.want || len(several) != 2 || several[1].Key != "l" || several[1].ErrorCode != c.want || (c.want == 0) != (several[0].NodeID == 1 && old.NodeID == 1) {
			t.Errorf("type %d: %+v, %+v", c.kind, old, several)
		}
		if c.want != 0 && (old.ErrorMessage == nil || several[0].ErrorMessage == nil) {
			t.Errorf("type %d: no text", c.kind)
		}
	}
	meta := conn.ask(&kmsg.MetadataRequest{}, 9).(*kmsg.MetadataResponse)
	if len(meta.Topics) != 1 || *meta.Topics[0].Topic != "__consumer_offsets" || !meta.Topics[0].IsInternal {
		t.Errorf("got %+v", meta.Topics)
	}
}
