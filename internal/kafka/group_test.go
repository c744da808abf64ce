package kafka_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// TestJoinInEveryVersion has one member join, sync, beat and leave. Only from
// version 4 on is it told its id first.
func TestJoinInEveryVersion(t *testing.T) {
	n := start(t, shards(3))
	conn := n.dial(t)
	for version := int16(0); version <= 9; version++ {
		join := joinRequest("", 30_000)
		r := conn.ask(join, version).(*kmsg.JoinGroupResponse)
		if version >= 4 {
			if r.ErrorCode != kerr.MemberIDRequired.Code || r.MemberID == "" || r.Generation != -1 {
				t.Fatalf("version %d: %+v", version, r)
			}
			r = conn.ask(joinRequest(r.MemberID, 30_000), version).(*kmsg.JoinGroupResponse)
		}
		if r.ErrorCode != 0 || r.LeaderID != r.MemberID || len(r.Members) != 1 || *r.Protocol != "range" || !bytes.Equal(r.Members[0].ProtocolMetadata, []byte("meta")) {
			t.Fatalf("version %d: %+v", version, r)
		}
		if version >= 7 && (r.ProtocolType == nil || *r.ProtocolType != "consumer") {
			t.Errorf("version %d: protocol type %v", version, r.ProtocolType)
		}
		v := min(version, 5)
		sync := &kmsg.SyncGroupRequest{Group: "g", Generation: r.Generation, MemberID: r.MemberID, ProtocolType: r.ProtocolType, Protocol: r.Protocol,
			GroupAssignment: []kmsg.SyncGroupRequestGroupAssignment{{MemberID: r.MemberID, MemberAssignment: []byte("yours")}}}
		if s := conn.ask(sync, v).(*kmsg.SyncGroupResponse); s.ErrorCode != 0 || string(s.MemberAssignment) != "yours" {
			t.Fatalf("version %d: %+v", v, s)
		}
		beat := &kmsg.HeartbeatRequest{Group: "g", Generation: r.Generation, MemberID: r.MemberID}
		if b := conn.ask(beat, min(version, 4)).(*kmsg.HeartbeatResponse); b.ErrorCode != 0 {
			t.Errorf("version %d: %+v", version, b)
		}
		beat.Generation++
		if b := conn.ask(beat, min(version, 4)).(*kmsg.HeartbeatResponse); b.ErrorCode != kerr.IllegalGeneration.Code {
			t.Errorf("version %d: %+v", version, b)
		}
		d := conn.ask(&kmsg.DescribeGroupsRequest{Groups: []string{"g", "g"}}, min(version, 6)).(*kmsg.DescribeGroupsResponse).Groups
		if len(d) != 1 || d[0].State != "Stable" || d[0].Members[0].ClientID != "tester" || d[0].Members[0].ClientHost != "/127.0.0.1" || string(d[0].Members[0].MemberAssignment) != "yours" {
			t.Errorf("version %d: %+v", version, d)
		}
		leave := &kmsg.LeaveGroupRequest{Group: "g", MemberID: r.MemberID, Members: []kmsg.LeaveGroupRequestMember{{MemberID: r.MemberID}}}
		l := conn.ask(leave, v).(*kmsg.LeaveGroupResponse)
		if l.ErrorCode != 0 || v >= 3 && (len(l.Members) != 1 || l.Members[0].ErrorCode != 0) {
			t.Errorf("version %d: %+v", v, l)
		}
	}
}

// TestOffsetFetchOfAnUnknownGroup: offset -1 and no error.
func TestOffsetFetchOfAnUnknownGroup(t *testing.T) {
	n := start(t, shards(3))
	topic := n.topic(t, "a", 1)
	conn := n.dial(t)
	for version := int16(1); version <= 10; version++ {
		for _, name := range []string{"a", "none"} {
			req := &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: name, Partitions: []int32{0, 7}}},
				Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: name, Partitions: []int32{0, 7}}}}}}
			if name == "a" {
				req.Groups[0].Topics[0].TopicID = topic.ID
			}
			resp := conn.ask(req, version).(*kmsg.OffsetFetchResponse)
			want := int16(0)
			if version >= 10 && name == "none" {
				want = kerr.UnknownTopicID.Code
			}
			if version < 8 {
				if p := resp.Topics[0].Partitions; len(p) != 2 || p[1].Offset != -1 || p[1].ErrorCode != want || resp.ErrorCode != 0 || p[0].Metadata == nil {
					t.Errorf("version %d: %+v", version, resp)
				}
				continue
			}
			g := resp.Groups[0]
			if p := g.Topics[0].Partitions; g.ErrorCode != 0 || len(p) != 2 || p[0].Offset != -1 || p[0].ErrorCode != want || p[0].LeaderEpoch != -1 {
				t.Errorf("version %d: %+v", version, resp)
			}
		}
	}
}

// TestCommittedOffsetsComeBack in every form in which they can be asked for.
func TestCommittedOffsetsComeBack(t *testing.T) {
	n := start(t, shards(3))
	topic := n.topic(t, "a", 3)
	n.topic(t, "b", 1)
	conn := n.dial(t)
	commit := &kmsg.OffsetCommitRequest{Group: "g", Generation: -1, RetentionTimeMillis: -1, Topics: []kmsg.OffsetCommitRequestTopic{
		{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: 5, LeaderEpoch: 3, Metadata: kmsg.StringPtr("m")}, {Partition: 9, Offset: 1}}},
		{Topic: "none", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 1}}},
		{Topic: "b", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 8, LeaderEpoch: -1}}},
	}}
	got := conn.ask(commit, 9).(*kmsg.OffsetCommitResponse).Topics
	codes := []int16{got[0].Partitions[0].ErrorCode, got[0].Partitions[1].ErrorCode, got[1].Partitions[0].ErrorCode, got[2].Partitions[0].ErrorCode}
	unknown := kerr.UnknownTopicOrPartition.Code
	if codes[0] != 0 || codes[1] != unknown || codes[2] != unknown || codes[3] != 0 {
		t.Fatalf("commit: %v", codes)
	}
	byID := &kmsg.OffsetCommitRequest{Group: "g", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{
		{TopicID: topic.ID, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 2, Offset: 6, LeaderEpoch: -1}}},
		{TopicID: [16]byte{1}, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 2, Offset: 6}}},
	}}
	got = conn.ask(byID, 10).(*kmsg.OffsetCommitResponse).Topics
	if got[0].Partitions[0].ErrorCode != 0 || got[1].Partitions[0].ErrorCode != kerr.UnknownTopicID.Code || got[0].TopicID != topic.ID {
		t.Fatalf("commit by id: %+v", got)
	}

	for version := int16(2); version <= 10; version++ {
		req := &kmsg.OffsetFetchRequest{Group: "g", Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1}, {Group: "other", MemberEpoch: -1}}}
		resp := conn.ask(req, version).(*kmsg.OffsetFetchResponse)
		var offsets []int64
		var names []string
		for _, rt := range resp.Topics {
			names = append(names, rt.Topic)
			for _, p := range rt.Partitions {
				offsets = append(offsets, p.Offset)
			}
		}
		if version >= 8 {
			for _, rt := range resp.Groups[0].Topics {
				if version >= 10 && rt.TopicID == topic.ID {
					rt.Topic = "a"
				}
				names = append(names, rt.Topic)
				for _, p := range rt.Partitions {
					offsets = append(offsets, p.Offset)
				}
			}
			if len(resp.Groups) != 2 || len(resp.Groups[1].Topics) != 0 || resp.Groups[1].ErrorCode != 0 {
				t.Errorf("version %d: %+v", version, resp.Groups)
			}
		}
		if len(offsets) != 3 || offsets[0] != 5 || offsets[1] != 6 || offsets[2] != 8 || names[0] != "a" || version < 10 && names[1] != "b" {
			t.Errorf("version %d: %q %v", version, names, offsets)
		}
	}
	one := &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{1, 0}}}}
	p := conn.ask(one, 5).(*kmsg.OffsetFetchResponse).Topics[0].Partitions
	if p[0].Offset != 5 || p[0].LeaderEpoch != 3 || *p[0].Metadata != "m" || p[1].Offset != -1 {
		t.Errorf("got %+v", p)
	}
	// No topics is none; null is all.
	none := &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{}}
	if resp := conn.ask(none, 5).(*kmsg.OffsetFetchResponse); len(resp.Topics) != 0 {
		t.Errorf("got %+v", resp)
	}
}

// TestATopicThatIsDeletedTakesItsOffsetsAlong: a new one of that name has none.
func TestATopicThatIsDeletedTakesItsOffsetsAlong(t *testing.T) {
	n := start(t, shards(3))
	topic := n.topic(t, "a", 1)
	conn := n.dial(t)
	commit := &kmsg.OffsetCommitRequest{Group: "g", Generation: -1, RetentionTimeMillis: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 5, LeaderEpoch: -1}}}}}
	conn.ask(commit, 5)
	if err := n.DeleteTopic(context30(t), topic.ID); err != nil {
		t.Fatal(err)
	}
	n.topic(t, "a", 1)
	fetch := &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{0}}}}
	if p := conn.ask(fetch, 5).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0]; p.Offset != -1 {
		t.Errorf("got %+v", p)
	}
}

// TestOffsetDelete: what is deleted is gone, also after a restart, and the rest
// stays.
func TestOffsetDelete(t *testing.T) {
	d := mem.New(mem.Options{FileBytes: 1 << 20})
	fetch := func(t *testing.T, n *node) (offsets []int64) {
		t.Helper()
		req := &kmsg.OffsetFetchRequest{Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{0, 1}}}}
		for _, p := range n.dial(t).ask(req, 5).(*kmsg.OffsetFetchResponse).Topics[0].Partitions {
			offsets = append(offsets, p.Offset)
		}
		return offsets
	}
	left := []int64{-1, 6}
	t.Run("live", func(t *testing.T) {
		n := start(t, onDisk(t, d))
		n.topic(t, "a", 2)
		conn := n.dial(t)
		commit := &kmsg.OffsetCommitRequest{Group: "g", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{
			{Partition: 0, Offset: 5, LeaderEpoch: -1}, {Partition: 1, Offset: 6, LeaderEpoch: -1}}}}}
		conn.ask(commit, 8)
		if got := fetch(t, n); !slices.Equal(got, []int64{5, 6}) {
			t.Fatalf("before: %v", got)
		}
		del := &kmsg.OffsetDeleteRequest{Group: "g", Topics: []kmsg.OffsetDeleteRequestTopic{
			{Topic: "a", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 7}, {Partition: 0}}}}}
		resp := conn.ask(del, 0).(*kmsg.OffsetDeleteResponse)
		if p := resp.Topics[0].Partitions; resp.ErrorCode != 0 || p[0].ErrorCode != kerr.UnknownTopicOrPartition.Code || p[1].ErrorCode != 0 {
			t.Errorf("got %+v", resp)
		}
		if got := fetch(t, n); !slices.Equal(got, left) {
			t.Errorf("after: %v, want %v", got, left)
		}
	})
	n := start(t, onDisk(t, d))
	if got := fetch(t, n); !slices.Equal(got, left) {
		t.Errorf("after a restart: %v, want %v", got, left)
	}
}

// TestGroupErrors of the single requests.
func TestGroupErrors(t *testing.T) {
	n := start(t)
	n.topic(t, "a", 1)
	conn := n.dial(t)
	commit := func(member string, generation int32, version int16) int16 {
		req := &kmsg.OffsetCommitRequest{Group: "g", MemberID: member, Generation: generation, RetentionTimeMillis: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 5}}}}}
		return conn.ask(req, version).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
	}
	if got := commit("m", 1, 8); got != kerr.IllegalGeneration.Code {
		t.Errorf("a member of no group, version 8: %v", kerr.ErrorForCode(got))
	}
	if got := commit("m", 1, 9); got != kerr.GroupIDNotFound.Code {
		t.Errorf("a member of no group, version 9: %v", kerr.ErrorForCode(got))
	}
	member := conn.ask(joinRequest("", 30_000), 3).(*kmsg.JoinGroupResponse)
	if got := commit("", -1, 8); got == 0 {
		t.Error("who is no member commits while there are some")
	}
	if got := commit(member.MemberID, member.Generation+1, 8); got != kerr.IllegalGeneration.Code {
		t.Errorf("a later generation: %v", kerr.ErrorForCode(got))
	}
	del := conn.ask(&kmsg.DeleteGroupsRequest{Groups: []string{"g", "none"}}, 2).(*kmsg.DeleteGroupsResponse).Groups
	if del[0].ErrorCode != kerr.NonEmptyGroup.Code || del[1].ErrorCode != kerr.GroupIDNotFound.Code {
		t.Errorf("DeleteGroups: %+v", del)
	}
	offsets := conn.ask(&kmsg.OffsetDeleteRequest{Group: "none"}, 0).(*kmsg.OffsetDeleteResponse)
	if offsets.ErrorCode != kerr.GroupIDNotFound.Code {
		t.Errorf("OffsetDelete: %+v", offsets)
	}
	for version, want := range map[int16]int16{5: 0, 6: kerr.GroupIDNotFound.Code} {
		d := conn.ask(&kmsg.DescribeGroupsRequest{Groups: []string{"none"}}, version).(*kmsg.DescribeGroupsResponse).Groups[0]
		if d.ErrorCode != want || d.State != "Dead" || (want != 0) != (d.ErrorMessage != nil) {
			t.Errorf("DescribeGroups version %d: %+v", version, d)
		}
	}
	list := conn.ask(&kmsg.ListGroupsRequest{StatesFilter: []string{"stable"}}, 4).(*kmsg.ListGroupsResponse).Groups
	if len(list) != 0 {
		t.Errorf("no group is stable yet: %+v", list)
	}
	list = conn.ask(&kmsg.ListGroupsRequest{StatesFilter: []string{"CompletingRebalance"}, TypesFilter: []string{"classic"}}, 5).(*kmsg.ListGroupsResponse).Groups
	if len(list) != 1 || list[0].Group != "g" || list[0].GroupType != "classic" {
		t.Errorf("got %+v", list)
	}
}
