package group

import "time"

// Token names one command whose reply is awaited. The caller makes tokens;
// each is used once. Zero is not a token.
type Token uint64

// Command is one of the commands below. The caller gives up what a command
// refers to: its slices become part of the state and must not be changed.
type Command interface{ command() }

// Protocol is one way of assigning partitions that a member supports, with
// the member's metadata (for consumers: its subscription) for it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Join asks to take part in the group's next generation (JoinGroup). The
// reply comes when the rebalance is complete.
type Join struct {
	Group      string
	MemberID   string // empty: give me one
	InstanceID string // group.instance.id of a static member; empty: dynamic
	ClientID   string
	ClientHost string
	// SessionTimeout is how long the member may be silent.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long others wait for the member to rejoin.
	// Zero or less (JoinGroup v0 has none): the session timeout.
	RebalanceTimeout time.Duration
	ProtocolType     string
	Protocols        []Protocol // most wanted first
	// RequireKnownMember says that a new dynamic member must be given its
	// id first (MemberIDRequired) and join again with it: JoinGroup v4+.
	RequireKnownMember bool
	// SkipAssignment says that the client understands JoinReply's field of
	// that name (JoinGroup v9+, KIP-814).
	SkipAssignment bool
	// MemberIDSuffix makes a new member id unique, forever: random text.
	MemberIDSuffix string
}

// Sync hands in the leader's assignments and asks for the member's own
// (SyncGroup). The reply comes when the leader has synced.
type Sync struct {
	Group        string
	MemberID     string
	InstanceID   string
	Generation   int32
	ProtocolType string // empty: not checked
	Protocol     string // empty: not checked
	Assignments  []Assignment
}

// Assignment is what the leader assigns to one member.
type Assignment struct {
	MemberID string
	Data     []byte
}

// Heartbeat says that the member is alive.
type Heartbeat struct {
	Group      string
	MemberID   string
	InstanceID string
	Generation int32
}

// Leave removes members (LeaveGroup).
type Leave struct {
	Group   string
	Members []LeavingMember
}

// LeavingMember names a member by its id, or, with an empty id, by its
// instance id.
type LeavingMember struct {
	MemberID   string
	InstanceID string
}

// CommitOffsets stores offsets (OffsetCommit).
type CommitOffsets struct {
	Group      string
	MemberID   string // empty: not a member
	InstanceID string
	Generation int32 // NoGeneration: not a member
	// Retention is how long the offsets live, from now on, whatever becomes
	// of the group (OffsetCommit v2 to v4); zero or less: OffsetsRetention.
	Retention time.Duration
	// UnknownIsError says that a generation in an unknown group is answered
	// with GroupIDNotFound (OffsetCommit v9+) and not IllegalGeneration.
	UnknownIsError bool
	Topics         []CommitTopic
}

// CommitTopic holds the offsets to commit for one topic.
type CommitTopic struct {
	Topic      string
	ID         TopicID
	Partitions []CommitPartition
}

// CommitPartition is the offset to commit for one partition.
type CommitPartition struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1: not known
	Metadata    string
}

// FetchOffsets asks for committed offsets (OffsetFetch). An unknown group has
// NoOffset everywhere and is no error.
type FetchOffsets struct {
	Groups []FetchGroup
}

// FetchGroup asks for the offsets of one group.
type FetchGroup struct {
	Group  string
	All    bool // every topic that has an offset; Topics is ignored
	Topics []FetchTopic
}

// FetchTopic asks for partitions of a topic. Offsets that were committed for
// another topic of the same name (both ids known) do not count.
type FetchTopic struct {
	Topic      string
	ID         TopicID
	Partitions []int32
}

// DeleteOffsets removes committed offsets (OffsetDelete).
type DeleteOffsets struct {
	Group  string
	Topics []TopicPartitions
}

// TopicPartitions names partitions of one topic.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// DescribeGroups asks for state and members of groups.
type DescribeGroups struct {
	Groups []string
	// UnknownIsError says that an unknown group is answered with
	// GroupIDNotFound (DescribeGroups v6+); it is described as Dead anyway.
	UnknownIsError bool
}

// ListGroups asks for all groups, sorted. Empty filters let everything pass;
// they ignore case.
type ListGroups struct {
	States []string
	Types  []string
}

// DeleteGroups removes empty groups and their offsets.
type DeleteGroups struct {
	Groups []string
}

// TopicDeleted removes the offsets of a topic in all groups. Offsets that
// were committed for another topic of the same name (both ids known) stay.
type TopicDeleted struct {
	Topic string
	ID    TopicID
}

func (Join) command()           {}
func (Sync) command()           {}
func (Heartbeat) command()      {}
func (Leave) command()          {}
func (CommitOffsets) command()  {}
func (FetchOffsets) command()   {}
func (DeleteOffsets) command()  {}
func (DescribeGroups) command() {}
func (ListGroups) command()     {}
func (DeleteGroups) command()   {}
func (TopicDeleted) command()   {}
