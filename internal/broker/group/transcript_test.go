package group

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// start is when every transcript begins; times are printed relative to it.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestTranscripts plays testdata/transcripts. Each file is one conversation;
// rewrite the answers with: go test -run TestTranscripts -rewrite
//
// Commands take a label for their token first. Member ids are client-N (or
// instance-N), where N counts the joins of the file. After each command the
// state rebuilt from the encoded entries is compared with the live one.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		s := &script{t: t}
		s.reset(Config{InitialRebalanceDelay: DefaultInitialRebalanceDelay})
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	t        *testing.T
	d        *datadriven.TestData
	cfg      Config
	m        *Machine
	replayed *Durable
	now      time.Time
	joins    int
	tokens   map[Token]string
	states   map[string]State
	out      strings.Builder
}

func (s *script) reset(cfg Config) {
	s.cfg = cfg
	s.now = start
	s.m = NewMachine(cfg, NewDurable(), s.now)
	s.replayed = NewDurable()
	s.tokens = map[Token]string{}
	s.states = map[string]State{}
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.t, s.d = t, d
	s.out.Reset()
	switch d.Cmd {
	case "config":
		s.configure()
	case "advance":
		s.advance(s.duration(d.CmdArgs[0].Key))
	case "resume":
		stall := s.duration(d.CmdArgs[0].Key)
		s.now = s.now.Add(stall)
		s.m.Resume(stall)
	case "restart":
		s.cfg.GroupSizeMax = s.int("max-size", strconv.Itoa(s.cfg.GroupSizeMax))
		s.restart()
	case "forget":
		s.m.Forget(s.token(d.CmdArgs[0].Key))
	case "waiting":
		fmt.Fprintf(&s.out, "%d\n", s.m.Waiting())
	default:
		s.decide(s.command())
	}
	if !s.m.Durable().Equal(s.replayed) {
		d.Fatalf(t, "replay differs from live")
	}
	s.printStates()
	if s.out.Len() == 0 {
		return "(nothing)\n"
	}
	return s.out.String()
}

func (s *script) configure() {
	cfg := Config{InitialRebalanceDelay: s.duration(s.arg("initial-delay", "0s"))}
	cfg.GroupSizeMax = s.int("max-size", "0")
	cfg.GroupBytesMax = s.int("max-bytes", "0")
	cfg.GroupsMax = s.int("max-groups", "0")
	s.reset(cfg)
}

// advance lets time pass, stopping at each deadline as the broker does.
func (s *script) advance(d time.Duration) {
	end := s.now.Add(d)
	for {
		s.now = end
		if next := s.m.NextDeadline(); next.Before(end) {
			s.now = next
		}
		s.apply(s.m.Tick(s.now))
		if s.now.Equal(end) {
			return
		}
	}
}

// restart keeps what is durable and nothing else.
func (s *script) restart() {
	d, err := Restore(s.m.Durable().Snapshot())
	if err != nil {
		s.d.Fatalf(s.t, "restore: %v", err)
	}
	s.m = NewMachine(s.cfg, d, s.now)
}

func (s *script) decide(cmd Command) {
	label := s.d.CmdArgs[0].Key
	token := s.token(label)
	s.apply(s.m.Decide(s.now, cmd, token))
}

func (s *script) token(label string) Token {
	for token, l := range s.tokens {
		if l == label {
			return token
		}
	}
	token := Token(len(s.tokens) + 1)
	s.tokens[token] = label
	return token
}

func (s *script) apply(entries []Entry, replies []Reply) {
	at := "+" + s.now.Sub(start).String()
	for _, e := range entries {
		encoded := EncodeEntry(nil, e)
		for _, d := range []*Durable{s.m.Durable(), s.replayed} {
			decoded, err := DecodeEntry(encoded)
			if err != nil {
				s.d.Fatalf(s.t, "decode: %v", err)
			}
			d.Apply(decoded)
		}
		fmt.Fprintf(&s.out, "%s entry %s\n", at, showEntry(e))
	}
	for _, r := range replies {
		fmt.Fprintf(&s.out, "%s %s: %s\n", at, s.tokens[r.Token], showBody(r.Body))
	}
}

func (s *script) printStates() {
	for _, g := range s.m.listGroups(&ListGroups{}).Groups {
		if s.states[g.Group] != g.State {
			fmt.Fprintf(&s.out, "%s: %v -> %v\n", g.Group, s.states[g.Group], g.State)
			s.states[g.Group] = g.State
		}
	}
	for _, id := range sortedKeys(s.states) {
		if s.m.state(id) == Dead {
			fmt.Fprintf(&s.out, "%s: %v -> Dead\n", id, s.states[id])
			delete(s.states, id)
		}
	}
}

func (s *script) command() Command {
	group := s.arg("group", "g")
	member, instance := s.arg("member", ""), s.arg("instance", "")
	generation := int32(s.int("gen", "-1"))
	switch s.d.Cmd {
	case "join":
		return s.join(group, member, instance)
	case "sync":
		c := Sync{Group: group, MemberID: member, InstanceID: instance, Generation: generation,
			ProtocolType: s.arg("type", ""), Protocol: s.arg("protocol", "")}
		for _, a := range s.list("assign") {
			id, data, _ := strings.Cut(a, ":")
			c.Assignments = append(c.Assignments, Assignment{MemberID: id, Data: []byte(data)})
		}
		return c
	case "heartbeat":
		return Heartbeat{Group: group, MemberID: member, InstanceID: instance, Generation: generation}
	case "leave":
		c := Leave{Group: group}
		for _, l := range s.list("members") {
			id, instance, _ := strings.Cut(l, ":")
			c.Members = append(c.Members, LeavingMember{MemberID: id, InstanceID: instance})
		}
		return c
	case "commit":
		return s.commit(group, member, instance, generation)
	case "fetch":
		return s.fetch(group)
	case "delete-offsets":
		return DeleteOffsets{Group: group, Topics: s.partitions()}
	case "describe":
		return DescribeGroups{Groups: s.list("groups"), UnknownIsError: s.d.HasArg("unknown-is-error")}
	case "list":
		return ListGroups{States: s.list("states"), Types: s.list("types")}
	case "delete-groups":
		return DeleteGroups{Groups: s.list("groups")}
	case "topic-deleted":
		return TopicDeleted{Topic: s.arg("topic", ""), ID: s.topicID()}
	}
	s.d.Fatalf(s.t, "unknown command %q", s.d.Cmd)
	return nil
}

func (s *script) join(group, member, instance string) Join {
	s.joins++
	session := s.duration(s.arg("session", "10s"))
	c := Join{
		Group: group, MemberID: member, InstanceID: instance,
		ClientID:           s.arg("client", ""),
		ClientHost:         "/127.0.0.1",
		SessionTimeout:     session,
		RebalanceTimeout:   s.duration(s.arg("rebalance", "60s")),
		ProtocolType:       s.arg("type", "consumer"),
		RequireKnownMember: s.d.HasArg("known"),
		SkipAssignment:     s.d.HasArg("skip"),
		MemberIDSuffix:     s.arg("suffix", strconv.Itoa(s.joins)),
	}
	metadata := []byte(s.arg("meta", ""))
	if s.d.HasArg("topics") {
		metadata = subscription(s.arg("owned", ""), s.list("topics")...)
	}
	protocols := s.list("protocols")
	if !s.d.HasArg("protocols") {
		protocols = []string{"range"}
	}
	for _, p := range protocols {
		c.Protocols = append(c.Protocols, Protocol{Name: p, Metadata: metadata})
	}
	return c
}

// subscription is the metadata of a consumer; userData is what it says of the
// partitions that it owns.
func subscription(userData string, topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(t))), t...)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(userData))), userData...)
}

func (s *script) commit(group, member, instance string, generation int32) CommitOffsets {
	c := CommitOffsets{
		Group: group, MemberID: member, InstanceID: instance, Generation: generation,
		Retention:      s.duration(s.arg("retention", "-1s")),
		UnknownIsError: s.d.HasArg("unknown-is-error"),
	}
	text := strings.Repeat("x", s.int("metadata-bytes", "0"))
	for _, o := range s.list("offsets") {
		place, at, _ := strings.Cut(o, "=")
		topic, partition := s.place(place)
		off, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			s.d.Fatalf(s.t, "offset %q: %v", o, err)
		}
		p := CommitPartition{Partition: partition, Offset: off, LeaderEpoch: 3, Metadata: text}
		c.Topics = append(c.Topics, CommitTopic{Topic: topic, ID: s.topicID(), Partitions: []CommitPartition{p}})
	}
	return c
}

func (s *script) fetch(group string) FetchOffsets {
	if !s.d.HasArg("offsets") {
		return FetchOffsets{Groups: []FetchGroup{{Group: group, All: true}}}
	}
	f := FetchGroup{Group: group}
	for _, t := range s.partitions() {
		f.Topics = append(f.Topics, FetchTopic{Topic: t.Topic, ID: s.topicID(), Partitions: t.Partitions})
	}
	return FetchOffsets{Groups: []FetchGroup{f}}
}

func (s *script) partitions() []TopicPartitions {
	var topics []TopicPartitions
	for _, o := range s.list("offsets") {
		topic, partition := s.place(o)
		topics = append(topics, TopicPartitions{Topic: topic, Partitions: []int32{partition}})
	}
	return topics
}

func (s *script) place(text string) (string, int32) {
	topic, p, _ := strings.Cut(text, "/")
	n, err := strconv.ParseInt(p, 10, 32)
	if err != nil {
		s.d.Fatalf(s.t, "partition %q: %v", text, err)
	}
	return topic, int32(n)
}

func (s *script) topicID() TopicID { return TopicID{byte(s.int("id", "0"))} }

func (s *script) arg(key, def string) string {
	if s.d.HasArg(key) {
		s.d.ScanArgs(s.t, key, &def)
	}
	return def
}

func (s *script) list(key string) []string {
	for _, a := range s.d.CmdArgs {
		if a.Key == key && !slices.Equal(a.Vals, []string{""}) {
			return a.Vals
		}
	}
	return nil
}

func (s *script) int(key, def string) int {
	n, err := strconv.Atoi(s.arg(key, def))
	if err != nil {
		s.d.Fatalf(s.t, "%s: %v", key, err)
	}
	return n
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.d.Fatalf(s.t, "%v", err)
	}
	return d
}

func showEntry(e Entry) string {
	switch e := e.(type) {
	case GroupStored:
		g := e.Generation
		text := fmt.Sprintf("stored %s generation=%d type=%s", e.Group, g.Number, g.ProtocolType)
		if len(g.Members) == 0 {
			return text + " empty"
		}
		return fmt.Sprintf("%s protocol=%s leader=%s %s", text, g.Protocol, g.Leader, showAll(g.Members, func(m Member) string {
			return fmt.Sprintf("%s%s=%s", m.ID, showInstance(m.InstanceID), m.Assignment)
		}))
	case GroupDeleted:
		return "deleted " + e.Group
	case OffsetsCommitted:
		return fmt.Sprintf("committed %s %s%s", e.Group, showAll(e.Topics, func(t CommitTopic) string {
			return showAll(t.Partitions, func(p CommitPartition) string { return fmt.Sprintf("%s/%d=%d", t.Topic, p.Partition, p.Offset) })
		}), showExpiry(e.ExpiresAt))
	case OffsetsDeleted:
		return fmt.Sprintf("offsets deleted %s %s", e.Group, showAll(e.Topics, showPartitions))
	case OffsetsExpired:
		return fmt.Sprintf("offsets expired %s %s", e.Group, showAll(e.Topics, showPartitions))
	}
	return fmt.Sprintf("%T", e)
}

func showExpiry(ms int64) string {
	if ms == 0 {
		return ""
	}
	return fmt.Sprintf(" until +%v", time.UnixMilli(ms).Sub(start))
}

func showPartitions(t TopicPartitions) string {
	return showAll(t.Partitions, func(p int32) string { return fmt.Sprintf("%s/%d", t.Topic, p) })
}

func showAll[T any](list []T, show func(T) string) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = show(x)
	}
	return strings.Join(texts, " ")
}

func showInstance(id string) string {
	if id == "" {
		return ""
	}
	return "(" + id + ")"
}

func showBody(b Body) string {
	switch b := b.(type) {
	case JoinReply:
		return showJoin(b)
	case SyncReply:
		if b.Err != None {
			return "sync " + b.Err.String()
		}
		return fmt.Sprintf("sync %s/%s assignment=%s", b.ProtocolType, b.Protocol, b.Assignment)
	case HeartbeatReply:
		return "heartbeat " + b.Err.String()
	case LeaveReply:
		return fmt.Sprintf("leave %v %s", b.Err, showAll(b.Members, func(l LeftMember) string {
			return fmt.Sprintf("%s%s:%v", l.MemberID, showInstance(l.InstanceID), l.Err)
		}))
	case CommitReply:
		return "commit " + showAll(b.Topics, showTopicErrors)
	case FetchReply:
		return "fetch " + showAll(b.Groups, showFetched)
	case DeleteOffsetsReply:
		return fmt.Sprintf("delete offsets %v %s", b.Err, showAll(b.Topics, showTopicErrors))
	case DescribeReply:
		return "describe" + showAll(b.Groups, showDescribed)
	case ListReply:
		return "list" + showAll(b.Groups, func(g ListedGroup) string {
			return fmt.Sprintf("\n  %s %s type=%q %v", g.Group, g.Type, g.ProtocolType, g.State)
		})
	case DeleteGroupsReply:
		return "delete " + showAll(b.Groups, func(g GroupError) string { return fmt.Sprintf("%s:%v", g.Group, g.Err) })
	}
	return "done"
}

func showJoin(r JoinReply) string {
	if r.Err != None {
		return fmt.Sprintf("join %v member=%q", r.Err, r.MemberID)
	}
	text := fmt.Sprintf("join %s generation=%d %s/%s leader=%s", r.MemberID, r.Generation, r.ProtocolType, r.Protocol, r.Leader)
	if r.SkipAssignment {
		text += " skip-assignment"
	}
	if len(r.Members) > 0 {
		text += " members: " + showAll(r.Members, func(m JoinMember) string {
			return m.MemberID + showInstance(m.InstanceID) + "=" + showMetadata(m.Metadata)
		})
	}
	return text
}

func showMetadata(b []byte) string {
	if topics, ok := subscribedTopics(b); ok {
		return strings.Join(topics, "+")
	}
	return string(b)
}

func showTopicErrors(t TopicErrors) string {
	return showAll(t.Partitions, func(p PartitionError) string { return fmt.Sprintf("%s/%d:%v", t.Topic, p.Partition, p.Err) })
}

func showFetched(g FetchedGroup) string {
	return g.Group + ": " + showAll(g.Topics, func(t FetchedTopic) string {
		return showAll(t.Partitions, func(p FetchedPartition) string {
			return fmt.Sprintf("%s/%d=%d@%d", t.Topic, p.Partition, p.Offset, p.LeaderEpoch)
		})
	})
}

func showDescribed(g DescribedGroup) string {
	text := fmt.Sprintf("\n  %s %v %v type=%q protocol=%q", g.Group, g.Err, g.State, g.ProtocolType, g.Protocol)
	slices.SortFunc(g.Members, func(a, b DescribedMember) int { return strings.Compare(a.MemberID, b.MemberID) })
	return text + showAll(g.Members, func(m DescribedMember) string {
		return fmt.Sprintf("\n    %s%s client=%s host=%s metadata=%s assignment=%s",
			m.MemberID, showInstance(m.InstanceID), m.ClientID, m.ClientHost, showMetadata(m.Metadata), m.Assignment)
	})
}
