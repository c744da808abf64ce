package group

import (
	"bytes"
	"fmt"
	"time"
)

// Durable is what survives a crash: the last completed generation of each
// group, and the committed offsets. It changes only in Apply.
type Durable struct {
	groups map[string]*durableGroup
	bytes  int // about what they take
}

type durableGroup struct {
	generation Generation
	offsets    map[string]map[int32]offset // by topic and partition; no empty inner map
	bytes      int                         // about what the group takes
}

// Generation is one completed generation of a group. It is never changed once
// it is stored. A group without members is Empty, any other Stable.
type Generation struct {
	ProtocolType string // empty: the group only stores offsets
	Protocol     string // the chosen protocol; empty if there are no members
	Leader       string // member id of the leader; empty if there are no members
	Number       int32
	EmptySince   int64    // ms, when the last member went; 0 if there are members
	Members      []Member // in the order of joining
}

// Member is a member of a completed generation.
type Member struct {
	ID         string
	InstanceID string // empty: dynamic
	ClientID   string
	ClientHost string
	// Timeouts are whole milliseconds.
	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	Protocols        []Protocol
	Assignment       []byte
}

// offset is what is committed for one partition of one topic.
type offset struct {
	offset      int64
	leaderEpoch int32
	metadata    string
	committedAt int64 // ms
	expiresAt   int64 // ms; 0: by OffsetsRetention
	topicID     TopicID
}

// NewDurable returns the state before the first entry.
func NewDurable() *Durable {
	return &Durable{groups: map[string]*durableGroup{}}
}

// Apply takes in one fact. It never fails, and takes over the slices of e.
func (d *Durable) Apply(e Entry) {
	switch e := e.(type) {
	case GroupStored:
		g := d.group(e.Group)
		d.grow(g, e.Generation.bytes()-g.generation.bytes())
		g.generation = e.Generation
	case GroupDeleted:
		if g := d.groups[e.Group]; g != nil {
			d.grow(g, -g.bytes)
			delete(d.groups, e.Group)
		}
	case OffsetsCommitted:
		g := d.group(e.Group)
		d.grow(g, g.commit(e))
	case OffsetsDeleted:
		d.removeOffsets(e.Group, e.Topics)
	case OffsetsExpired:
		d.removeOffsets(e.Group, e.Topics)
	default:
		panic(fmt.Sprintf("group: entry %T is not one of this package", e))
	}
}

// group returns the group, made if it is not there.
func (d *Durable) group(id string) *durableGroup {
	g := d.groups[id]
	if g == nil {
		g = &durableGroup{offsets: map[string]map[int32]offset{}}
		d.groups[id] = g
		d.grow(g, groupBytes(id))
	}
	return g
}

func (d *Durable) grow(g *durableGroup, n int) {
	g.bytes += n
	d.bytes += n
}

// commit returns how many bytes more the group takes.
func (g *durableGroup) commit(e OffsetsCommitted) (n int) {
	for _, t := range e.Topics {
		if len(t.Partitions) == 0 {
			continue
		}
		partitions := g.offsets[t.Topic]
		if partitions == nil {
			partitions = make(map[int32]offset, len(t.Partitions))
			g.offsets[t.Topic] = partitions
			n += topicBytes(t.Topic)
		}
		for _, p := range t.Partitions {
			if old, ok := partitions[p.Partition]; ok {
				n -= old.bytes()
			}
			o := offset{
				offset:      p.Offset,
				leaderEpoch: p.LeaderEpoch,
				metadata:    p.Metadata,
				committedAt: e.CommittedAt,
				expiresAt:   e.ExpiresAt,
				topicID:     t.ID,
			}
			partitions[p.Partition] = o
			n += o.bytes()
		}
	}
	return n
}

func (d *Durable) removeOffsets(group string, topics []TopicPartitions) {
	g := d.groups[group]
	if g == nil {
		return
	}
	for _, t := range topics {
		partitions, ok := g.offsets[t.Topic]
		if !ok {
			continue
		}
		for _, p := range t.Partitions {
			if o, ok := partitions[p]; ok {
				d.grow(g, -o.bytes())
				delete(partitions, p)
			}
		}
		if len(partitions) == 0 {
			d.grow(g, -topicBytes(t.Topic))
			delete(g.offsets, t.Topic)
		}
	}
}

// Groups returns the number of groups.
func (d *Durable) Groups() int { return len(d.groups) }

// Equal reports whether both states are the same. It costs a snapshot of
// each: it is for tests and checks.
func (d *Durable) Equal(o *Durable) bool {
	return bytes.Equal(d.Snapshot(), o.Snapshot())
}
