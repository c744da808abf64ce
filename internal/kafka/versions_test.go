package kafka_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// batch makes a record batch with these values.
func batch(t testing.TB, values ...string) []byte {
	t.Helper()
	spec := record.BatchSpec{}
	for _, v := range values {
		spec.Records = append(spec.Records, record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(v)})
	}
	return record.Append(nil, spec)
}

// requests makes one sensible request of each API. Each works on what the ones
// before it made.
func requests(t testing.TB, n *node) []kmsg.Request {
	topic, _ := n.Topic("seen")
	str := kmsg.StringPtr
	return []kmsg.Request{
		&kmsg.ApiVersionsRequest{ClientSoftwareName: "test", ClientSoftwareVersion: "1.0"},
		&kmsg.SASLHandshakeRequest{Mechanism: "PLAIN"},
		&kmsg.MetadataRequest{Topics: []kmsg.MetadataRequestTopic{{Topic: str("seen")}}, AllowAutoTopicCreation: true, IncludeTopicAuthorizedOperations: true},
		&kmsg.ProduceRequest{Acks: -1, Topics: []kmsg.ProduceRequestTopic{{Topic: "seen", TopicID: topic.ID, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch(t, "a", "b")}}}}},
		&kmsg.FetchRequest{MaxBytes: 1 << 20, SessionEpoch: -1, Topics: []kmsg.FetchRequestTopic{{Topic: "seen", TopicID: topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{{CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, PartitionMaxBytes: 1 << 20}}}}},
		&kmsg.ListOffsetsRequest{ReplicaID: -1, Topics: []kmsg.ListOffsetsRequestTopic{{Topic: "seen", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -1}}}}},
		&kmsg.OffsetForLeaderEpochRequest{Topics: []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "seen", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{{CurrentLeaderEpoch: -1, LeaderEpoch: 1}}}}},
		&kmsg.InitProducerIDRequest{ProducerID: -1, ProducerEpoch: -1},
		&kmsg.FindCoordinatorRequest{CoordinatorKey: "g", CoordinatorKeys: []string{"g"}},
		&kmsg.OffsetCommitRequest{Group: "g", Generation: -1, RetentionTimeMillis: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "seen", TopicID: topic.ID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 2, LeaderEpoch: -1, Metadata: str("here")}}}}},
		&kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "seen", Partitions: []int32{0}}},
			Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "seen", TopicID: topic.ID, Partitions: []int32{0}}}}}},
		&kmsg.DescribeGroupsRequest{Groups: []string{"g"}, IncludeAuthorizedOperations: true},
		&kmsg.ListGroupsRequest{},
		&kmsg.HeartbeatRequest{Group: "g", MemberID: "nobody"},
		&kmsg.LeaveGroupRequest{Group: "g", MemberID: "nobody", Members: []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}}},
		&kmsg.SyncGroupRequest{Group: "g", MemberID: "nobody"},
		&kmsg.JoinGroupRequest{Group: "g", SessionTimeoutMillis: 1, ProtocolType: "consumer", Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range"}}},
		&kmsg.OffsetDeleteRequest{Group: "g", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "seen", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}},
		&kmsg.DeleteGroupsRequest{Groups: []string{"g"}},
		&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "made", NumPartitions: 1, ReplicationFactor: 1}}},
		&kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{{Topic: "made", Count: 2}}},
		&kmsg.DescribeConfigsRequest{IncludeSynonyms: true, IncludeDocumentation: true, Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: 2, ResourceName: "made"}, {ResourceType: 4, ResourceName: "1"}}},
		&kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: 2, ResourceName: "made", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: str("1000")}}}}},
		&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: 2, ResourceName: "made", Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Op: 1}}}}},
		&kmsg.DescribeLogDirsRequest{},
		&kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "seen", Partitions: []int32{0}}}},
		&kmsg.DescribeClusterRequest{EndpointType: 1, IncludeClusterAuthorizedOperations: true},
		&kmsg.DescribeTopicPartitionsRequest{Topics: []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "seen"}}, ResponsePartitionLimit: 10},
		&kmsg.DeleteRecordsRequest{Topics: []kmsg.DeleteRecordsRequestTopic{{Topic: "seen", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 1}}}}},
		&kmsg.DeleteTopicsRequest{TopicNames: []string{"made"}, Topics: []kmsg.DeleteTopicsRequestTopic{{Topic: str("made")}}},
	}
}

// expected are the error codes that sensible requests get all the same.
var expected = map[kmsg.Key]int16{
	kmsg.Heartbeat:     kerr.UnknownMemberID.Code,
	kmsg.LeaveGroup:    kerr.UnknownMemberID.Code,
	kmsg.SyncGroup:     kerr.UnknownMemberID.Code,
	kmsg.JoinGroup:     kerr.InvalidSessionTimeout.Code,
	kmsg.SASLHandshake: kerr.IllegalSaslState.Code,
}

// kafkaVersions are the versions that Apache Kafka 4.3 serves of each API that
// is here. Produce shows 0 to 2 without serving them, in both.
var kafkaVersions = map[kmsg.Key][2]int16{
	kmsg.Produce:                 {0, 13},
	kmsg.Fetch:                   {4, 18},
	kmsg.ListOffsets:             {1, 11},
	kmsg.Metadata:                {0, 13},
	kmsg.OffsetCommit:            {2, 10},
	kmsg.OffsetFetch:             {1, 10},
	kmsg.FindCoordinator:         {0, 6},
	kmsg.JoinGroup:               {0, 9},
	kmsg.Heartbeat:               {0, 4},
	kmsg.LeaveGroup:              {0, 5},
	kmsg.SyncGroup:               {0, 5},
	kmsg.DescribeGroups:          {0, 6},
	kmsg.ListGroups:              {0, 5},
	kmsg.SASLHandshake:           {0, 1},
	kmsg.ApiVersions:             {0, 4},
	kmsg.CreateTopics:            {2, 7},
	kmsg.DeleteTopics:            {1, 6},
	kmsg.DeleteRecords:           {0, 2},
	kmsg.InitProducerID:          {0, 5},
	kmsg.OffsetForLeaderEpoch:    {2, 4},
	kmsg.DescribeConfigs:         {1, 4},
	kmsg.AlterConfigs:            {0, 2},
	kmsg.DescribeLogDirs:         {1, 5},
	kmsg.CreatePartitions:        {0, 3},
	kmsg.DeleteGroups:            {0, 2},
	kmsg.IncrementalAlterConfigs: {0, 1},
	kmsg.OffsetDelete:            {0, 0},
	kmsg.DescribeCluster:         {0, 2},
	kmsg.DescribeProducers:       {0, 0},
	kmsg.DescribeTopicPartitions: {0, 0},
}

// TestVersionsAreThoseOfKafka: what is advertised is written down here a second
// time, so that no version comes or goes unseen. What lies beyond the ends of
// a range ends the connection.
func TestVersionsAreThoseOfKafka(t *testing.T) {
	n := start(t)
	resp := n.dial(t).ask(&kmsg.ApiVersionsRequest{}, 0).(*kmsg.ApiVersionsResponse)
	got := map[kmsg.Key][2]int16{}
	for _, k := range resp.ApiKeys {
		if _, twice := got[kmsg.Key(k.ApiKey)]; twice {
			t.Errorf("%s is advertised twice", kmsg.NameForKey(k.ApiKey))
		}
		got[kmsg.Key(k.ApiKey)] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	for key, want := range kafkaVersions {
		if have, ok := got[key]; !ok || have != want {
			t.Errorf("%s: %d are advertised, want %d", key.Name(), have, want)
		}
	}
	for key, have := range got {
		if _, ok := kafkaVersions[key]; !ok {
			t.Errorf("%s is advertised, versions %d", key.Name(), have)
		}
	}
	n.topic(t, "seen", 1)
	for _, req := range requests(t, n) {
		r := kafkaVersions[kmsg.Key(req.Key())]
		if kmsg.Key(req.Key()) == kmsg.Produce {
			r[0] = 3
		}
		for _, version := range []int16{r[0] - 1, r[1] + 1} {
			if version < 0 || kmsg.Key(req.Key()) == kmsg.ApiVersions {
				continue // of ApiVersions any version is answered
			}
			conn := n.dial(t)
			conn.send(req, version)
			conn.closed()
		}
	}
}

// TestEveryVersionOfEveryAPI sends a request of each version and reads its
// response with kmsg, to the last byte. ApiVersions says what versions there
// are, so what is advertised is what is tested.
func TestEveryVersionOfEveryAPI(t *testing.T) {
	for _, shardCount := range []int{1, 3} {
		n := start(t, shards(shardCount))
		conn := n.dial(t)
		versions := conn.ask(&kmsg.ApiVersionsRequest{}, 0).(*kmsg.ApiVersionsResponse)
		tested := map[int16]bool{}
		for _, k := range versions.ApiKeys {
			for v := k.MinVersion; v <= k.MaxVersion; v++ {
				if k.ApiKey == 0 && v < 3 {
					continue // advertised only
				}
				testVersion(t, n, conn, k.ApiKey, v)
				tested[k.ApiKey] = true
			}
		}
		if len(tested) != 30 {
			t.Errorf("%d APIs are advertised and tested, want 30", len(tested))
		}
	}
}

// testVersion makes what the request of that API needs, and sends it.
func testVersion(t *testing.T, n *node, conn *raw, key, version int16) {
	t.Helper()
	ctx := context.Background()
	for _, name := range []string{"seen", "made"} {
		if old, ok := n.Topic(name); ok {
			if err := n.DeleteTopic(ctx, old.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.topic(t, "seen", 3)
	if key != kmsg.CreateTopics.Int16() {
		n.topic(t, "made", 1)
	}
	all := requests(t, n)
	for _, req := range all {
		k := req.Key()
		// The group needs an offset to be there, and fetches a record.
		prepare := k == 0 && version >= 0 || k == kmsg.OffsetCommit.Int16()
		if k == key || prepare {
			v := version
			if k != key {
				v = map[int16]int16{0: 3, kmsg.OffsetCommit.Int16(): 5}[k]
			}
			resp := conn.ask(req, v)
			if k == key {
				checkCodes(t, resp, version)
			}
		}
	}
}

// checkCodes fails for every error code in a response that is not expected.
func checkCodes(t *testing.T, resp kmsg.Response, version int16) {
	t.Helper()
	ok := []int16{0, expected[kmsg.Key(resp.Key())]}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				f := v.Field(i)
				if v.Type().Field(i).Name == "ErrorCode" && !slices.Contains(ok, int16(f.Int())) {
					t.Errorf("%s version %d: %v in %+v", kmsg.NameForKey(resp.Key()), version, kerr.ErrorForCode(int16(f.Int())), v.Interface())
				} else if v.Type().Field(i).IsExported() {
					walk(f)
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	walk(reflect.ValueOf(resp).Elem())
}
