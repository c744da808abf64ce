package group

import (
	"fmt"
	"testing"
	"time"
)

// stableMachine has one stable group with n members.
func stableMachine(b *testing.B, n int) (*Machine, []string) {
	g := GroupStored{Group: "g", Generation: Generation{ProtocolType: "consumer", Protocol: "range", Number: 1}}
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("c-%d", i)
		g.Generation.Members = append(g.Generation.Members, Member{
			ID: ids[i], SessionTimeout: 45 * time.Second, RebalanceTimeout: time.Minute,
			Protocols: []Protocol{{Name: "range", Metadata: subscription("", "x")}}})
	}
	g.Generation.Leader = ids[0]
	d := NewDurable()
	d.Apply(g)
	b.ReportAllocs()
	return NewMachine(Config{}, d, start), ids
}

func BenchmarkHeartbeat(b *testing.B) {
	m, ids := stableMachine(b, 1000)
	now := start
	for i := 0; b.Loop(); i++ {
		now = now.Add(time.Millisecond)
		cmd := Heartbeat{Group: "g", MemberID: ids[i%len(ids)], Generation: 1}
		if _, replies := m.Decide(now, cmd, Token(i+1)); replies[0].Body.(HeartbeatReply).Err != None {
			b.Fatal("lost its session")
		}
		m.Tick(now)
	}
}

func BenchmarkCommitOffsets(b *testing.B) {
	m, ids := stableMachine(b, 10)
	var entry []byte
	for i := 0; b.Loop(); i++ {
		cmd := CommitOffsets{Group: "g", MemberID: ids[0], Generation: 1, Topics: []CommitTopic{
			{Topic: "x", ID: TopicID{1}, Partitions: []CommitPartition{{Partition: 1, Offset: int64(i)}, {Partition: 2, Offset: int64(i)}}}}}
		entries, _ := m.Decide(start, cmd, Token(i+1))
		entry = EncodeEntry(entry[:0], entries[0])
		m.Apply(entries[0])
	}
}

func BenchmarkDecodeCommit(b *testing.B) {
	entry := EncodeEntry(nil, OffsetsCommitted{Group: "g", CommittedAt: start.UnixMilli(), Topics: []CommitTopic{
		{Topic: "x", ID: TopicID{1}, Partitions: []CommitPartition{{Partition: 1, Offset: 1 << 30}, {Partition: 2, Offset: 1 << 30}}}}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEntry(entry); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRebalance is a full round of a group with 100 members.
func BenchmarkRebalance(b *testing.B) {
	m, ids := stableMachine(b, 100)
	token := Token(0)
	for generation := int32(2); b.Loop(); generation++ {
		for _, id := range ids {
			token++
			m.Decide(start, Join{Group: "g", MemberID: id, SessionTimeout: 45 * time.Second, RebalanceTimeout: time.Minute,
				ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: subscription("", "x")}}}, token)
		}
		token++
		entries, _ := m.Decide(start, Sync{Group: "g", MemberID: ids[0], Generation: generation}, token)
		m.Apply(entries[0])
	}
}
