// Package group is the coordinator of classic consumer groups (JoinGroup,
// SyncGroup, Heartbeat, LeaveGroup) and the store of committed offsets, as a
// pure state machine: no clock, lock, goroutine, socket, file or randomness.
// Time and the random part of member ids come in as input.
//
// A Machine has two halves. Durable changes only in Apply and is what replay
// restores. Session (heartbeats, pending joins and syncs, the members of an
// unfinished rebalance) is never logged; after a restart the members of the
// last stored generation are members again with fresh timers.
//
//	entries, replies := m.Decide(now, cmd, token)
//	for _, e := range entries {
//		m.Apply(e) // live: decode(encode(e))
//	}
//
// One goroutine owns a Machine. See DESIGN.md for the why.
package group

import (
	"math"
	"time"
)

// Config holds the limits and timeouts of a Machine. Apply never reads it.
// Zero fields take the default that is given with each.
type Config struct {
	// InitialRebalanceDelay is how long the first rebalance of an empty
	// group waits for further members (group.initial.rebalance.delay.ms).
	// Zero is no delay.
	InitialRebalanceDelay time.Duration
	// SessionTimeoutMin and SessionTimeoutMax bound what a member may ask
	// for. Default 6 s and 30 min.
	SessionTimeoutMin, SessionTimeoutMax time.Duration
	// NewMemberJoinTimeout is how long a new member may wait in its first
	// join before it counts as gone. Default 5 min.
	NewMemberJoinTimeout time.Duration
	// GroupSizeMax is the greatest number of members of a group, and of
	// ids that were given out but not used yet. Default 10,000.
	GroupSizeMax int
	// GroupBytesMax bounds what one generation of a group takes in memory
	// and in the log. Default 16 MiB.
	GroupBytesMax int
	// GroupsMax is the greatest number of groups. Default 100,000.
	GroupsMax int
	// StateBytesMax bounds about what all groups take in memory: members,
	// assignments, offsets and the text with them. Default 512 MiB.
	StateBytesMax int
	// OffsetMetadataBytesMax bounds the text that is committed with an
	// offset (offset.metadata.max.bytes). Default 4,096.
	OffsetMetadataBytesMax int
	// OffsetsRetention is how long offsets outlive their group's last
	// member (offsets.retention.minutes). Default 7 days.
	OffsetsRetention time.Duration
	// OffsetsRetentionCheckInterval is how often expiry is looked for.
	// Default 10 min.
	OffsetsRetentionCheckInterval time.Duration
}

// DefaultInitialRebalanceDelay is Kafka's default, for callers that want it.
const DefaultInitialRebalanceDelay = 3 * time.Second

func (c Config) withDefaults() Config {
	orDuration(&c.SessionTimeoutMin, 6*time.Second)
	orDuration(&c.SessionTimeoutMax, 30*time.Minute)
	orDuration(&c.NewMemberJoinTimeout, 5*time.Minute)
	orInt(&c.GroupSizeMax, 10_000)
	orInt(&c.GroupBytesMax, 16<<20)
	orInt(&c.GroupsMax, 100_000)
	orInt(&c.StateBytesMax, 512<<20)
	orInt(&c.OffsetMetadataBytesMax, 4096)
	orDuration(&c.OffsetsRetention, 7*24*time.Hour)
	orDuration(&c.OffsetsRetentionCheckInterval, 10*time.Minute)
	return c
}

func orDuration(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

func orInt(n *int, def int) {
	if *n <= 0 {
		*n = def
	}
}

// State is the state of a group, named as the protocol names it.
type State uint8

// The states of a group. Dead is what an unknown group is described as.
const (
	Dead State = iota
	Empty
	PreparingRebalance
	CompletingRebalance
	Stable
)

// String returns the name that DescribeGroups and ListGroups show.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	}
	return "Dead"
}

// Kind says what went wrong; None is success. Each protocol maps kinds to its
// own codes in one table.
type Kind uint8

// The kinds of failure of a command.
const (
	None                   Kind = iota
	UnknownMember               // no such member in this group
	IllegalGeneration           // not the group's current generation
	RebalanceInProgress         // the group is rebalancing; join again
	FencedInstance              // the instance id belongs to a newer member
	MemberIDRequired            // join again with the member id in the reply
	InconsistentProtocol        // no protocol that all members support
	InvalidSessionTimeout       // session timeout out of bounds
	InvalidGroupID              // the group id is empty, or too long
	GroupMaxSize                // the group is full, or all groups together are (StateBytesMax)
	NonEmptyGroup               // the group has members
	GroupIDNotFound             // no such group
	OffsetMetadataTooLarge      // the text committed with an offset is too long
	GroupSubscribedToTopic      // a member of the group is subscribed to the topic
	GroupTooLarge               // metadata or assignments exceed GroupBytesMax
	TooManyGroups               // GroupsMax is reached, or StateBytesMax by a commit
)

var kindNames = [...]string{
	"None", "UnknownMember", "IllegalGeneration", "RebalanceInProgress",
	"FencedInstance", "MemberIDRequired", "InconsistentProtocol",
	"InvalidSessionTimeout", "InvalidGroupID", "GroupMaxSize",
	"NonEmptyGroup", "GroupIDNotFound", "OffsetMetadataTooLarge",
	"GroupSubscribedToTopic", "GroupTooLarge", "TooManyGroups",
}

// String names the kind, for people.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "Unknown"
}

// TopicID is the UUID of a topic; the zero value means "not known".
type TopicID [16]byte

// badGroupID reports whether no group can have the id.
func badGroupID(id string) bool { return id == "" || len(id) > nameBytesMax }

// sameTopic reports whether two ids may belong to the same topic.
func sameTopic(a, b TopicID) bool {
	return a == b || a == TopicID{} || b == TopicID{}
}

// NoOffset is the offset of a partition for which nothing is committed.
const NoOffset int64 = -1

// NoGeneration is the generation in commands of clients that are not members,
// and in replies that fail.
const NoGeneration int32 = -1

// consumerProtocolType is the protocol type whose metadata says which topics
// a member is subscribed to.
const consumerProtocolType = "consumer"

// millis truncates d to whole milliseconds between zero and what fits the
// wire's int32.
func millis(d time.Duration) int64 {
	return min(max(d.Milliseconds(), 0), math.MaxInt32)
}

func fromMillis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
