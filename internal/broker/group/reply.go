package group

// Reply answers the command that was given with Token. What Body refers to
// is part of the state and read only.
type Reply struct {
	Token Token
	Body  Body
}

// Body is the reply of the command of the same name.
type Body interface{ body() }

// JoinReply answers Join.
type JoinReply struct {
	Err          Kind
	MemberID     string // the member's id; with MemberIDRequired the one to use
	Generation   int32  // NoGeneration if Err is set
	ProtocolType string
	Protocol     string
	Leader       string // member id of the leader
	// SkipAssignment tells a leader that the assignments stand.
	SkipAssignment bool
	Members        []JoinMember // all members, for the leader only
}

// JoinMember is a member as the leader sees it.
type JoinMember struct {
	MemberID   string
	InstanceID string
	Metadata   []byte // for the chosen protocol
}

// SyncReply answers Sync.
type SyncReply struct {
	Err          Kind
	ProtocolType string
	Protocol     string
	Assignment   []byte
}

// HeartbeatReply answers Heartbeat.
type HeartbeatReply struct{ Err Kind }

// LeaveReply answers Leave. Members are in the order of the command.
type LeaveReply struct {
	Err     Kind // concerns the whole command; Members is empty then
	Members []LeftMember
}

// LeftMember is the outcome for one member.
type LeftMember struct {
	LeavingMember
	Err Kind
}

// CommitReply answers CommitOffsets, topics and partitions in the order of
// the command. Each partition has its own Err, Err of the whole included.
type CommitReply struct {
	Err    Kind // concerns the whole command
	Topics []TopicErrors
}

// TopicErrors is the outcome for each partition of one topic.
type TopicErrors struct {
	Topic      string
	ID         TopicID
	Partitions []PartitionError
}

// PartitionError is the outcome for one partition.
type PartitionError struct {
	Partition int32
	Err       Kind
}

// FetchReply answers FetchOffsets, groups in the order of the command.
type FetchReply struct {
	Groups []FetchedGroup
}

// FetchedGroup holds the offsets of one group: topics and partitions in the
// order of the command, or sorted if All were asked for.
type FetchedGroup struct {
	Group  string
	Topics []FetchedTopic
}

// FetchedTopic holds the offsets of one topic. If All were asked for, ID is
// the one that was committed, and a topic may occur once for each id.
type FetchedTopic struct {
	Topic      string
	ID         TopicID
	Partitions []FetchedPartition
}

// FetchedPartition is what is committed for one partition.
type FetchedPartition struct {
	Partition   int32
	Offset      int64 // NoOffset: nothing
	LeaderEpoch int32 // -1: not known
	Metadata    string
}

// DeleteOffsetsReply answers DeleteOffsets, in the order of the command.
type DeleteOffsetsReply struct {
	Err    Kind // concerns the whole command; Topics is empty then
	Topics []TopicErrors
}

// DescribeReply answers DescribeGroups, in the order of the command.
type DescribeReply struct {
	Groups []DescribedGroup
}

// DescribedGroup is a group as an administrator sees it.
type DescribedGroup struct {
	Err          Kind
	Group        string
	State        State
	ProtocolType string
	Protocol     string // only when Stable
	Members      []DescribedMember
}

// DescribedMember is a member as an administrator sees it.
type DescribedMember struct {
	MemberID   string
	InstanceID string
	ClientID   string
	ClientHost string
	Metadata   []byte // for the chosen protocol, only when the group is Stable
	Assignment []byte
}

// ListReply answers ListGroups, sorted by group.
type ListReply struct {
	Groups []ListedGroup
}

// ListedGroup is one line of the list of groups.
type ListedGroup struct {
	Group        string
	ProtocolType string
	State        State
	Type         string // always "classic"
}

// DeleteGroupsReply answers DeleteGroups, in the order of the command.
type DeleteGroupsReply struct {
	Groups []GroupError
}

// GroupError is the outcome for one group.
type GroupError struct {
	Group string
	Err   Kind
}

// TopicDeletedReply answers TopicDeleted.
type TopicDeletedReply struct{}

func (JoinReply) body()          {}
func (SyncReply) body()          {}
func (HeartbeatReply) body()     {}
func (LeaveReply) body()         {}
func (CommitReply) body()        {}
func (FetchReply) body()         {}
func (DeleteOffsetsReply) body() {}
func (DescribeReply) body()      {}
func (ListReply) body()          {}
func (DeleteGroupsReply) body()  {}
func (TopicDeletedReply) body()  {}
