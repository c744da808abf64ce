package group

import (
	"encoding/binary"
	"fmt"
)

// Entry is a fact that Durable is made of. The meaning of a released (type,
// version) never changes.
type Entry interface {
	entryType() byte
	appendBody(dst []byte) []byte
}

const entryVersion = 1

// The types of entries. Never used for anything else.
const (
	typeGroupStored byte = iota + 1
	typeGroupDeleted
	typeOffsetsCommitted
	typeOffsetsDeleted
	typeOffsetsExpired
)

// GroupStored says what the last completed generation of a group is. It
// replaces the one before; offsets stay.
type GroupStored struct {
	Group      string
	Generation Generation
}

// GroupDeleted says that a group and all its offsets are gone.
type GroupDeleted struct{ Group string }

// OffsetsCommitted says that offsets were committed. A group that is not
// there comes into being.
type OffsetsCommitted struct {
	Group       string
	CommittedAt int64 // ms
	ExpiresAt   int64 // ms; 0: by OffsetsRetention
	Topics      []CommitTopic
}

// OffsetsDeleted says that offsets were removed: on request, or with their
// topic.
type OffsetsDeleted struct {
	Group  string
	Topics []TopicPartitions
}

// OffsetsExpired says that offsets were removed because of their age.
type OffsetsExpired struct {
	Group  string
	Topics []TopicPartitions
}

func (GroupStored) entryType() byte      { return typeGroupStored }
func (GroupDeleted) entryType() byte     { return typeGroupDeleted }
func (OffsetsCommitted) entryType() byte { return typeOffsetsCommitted }
func (OffsetsDeleted) entryType() byte   { return typeOffsetsDeleted }
func (OffsetsExpired) entryType() byte   { return typeOffsetsExpired }

// EncodeEntry appends the encoding of e to dst (numbers and strings as in
// codec.go):
//
//	type 1 · version 1 · body
//
//	GroupStored       group · generation
//	GroupDeleted      group
//	OffsetsCommitted  group · committed at · expires at · n · n × topic
//	  topic           name · topic id · n · n × (partition · offset · leader epoch · metadata)
//	OffsetsDeleted    group · n · n × (topic name · n · n × partition)
//	OffsetsExpired    as OffsetsDeleted
//
//	generation        protocol type · protocol · leader · number · empty since · n · n × member
//	member            id · instance id · client id · client host ·
//	                  session timeout ms · rebalance timeout ms ·
//	                  n · n × (protocol name · metadata) · assignment
func EncodeEntry(dst []byte, e Entry) []byte {
	return e.appendBody(append(dst, e.entryType(), entryVersion))
}

// DecodeEntry reads one entry that takes the whole of b. It keeps no
// reference to b. It fails with ErrNewer or ErrMalformed.
func DecodeEntry(b []byte) (Entry, error) {
	r := &reader{b: b}
	typ, version := r.byte(), r.byte()
	if r.err != nil {
		return nil, r.err
	}
	if version > entryVersion || typ > typeOffsetsExpired {
		return nil, fmt.Errorf("group entry of type %d, version %d: %w", typ, version, ErrNewer)
	}
	if version == 0 || typ == 0 {
		return nil, fmt.Errorf("group entry of type %d, version %d: %w", typ, version, ErrMalformed)
	}
	e := decodeBody(typ, r)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("group entry of type %d: %w", typ, err)
	}
	return e, nil
}

func decodeBody(typ byte, r *reader) Entry {
	switch typ {
	case typeGroupStored:
		return GroupStored{Group: r.string(), Generation: decodeGeneration(r)}
	case typeGroupDeleted:
		return GroupDeleted{Group: r.string()}
	case typeOffsetsCommitted:
		return OffsetsCommitted{Group: r.string(), CommittedAt: r.int64(), ExpiresAt: r.int64(), Topics: decodeCommitTopics(r)}
	case typeOffsetsDeleted:
		return OffsetsDeleted{Group: r.string(), Topics: decodeTopicPartitions(r)}
	default:
		return OffsetsExpired{Group: r.string(), Topics: decodeTopicPartitions(r)}
	}
}

func (e GroupStored) appendBody(dst []byte) []byte {
	return appendGeneration(appendBytes(dst, e.Group), &e.Generation)
}

func (e GroupDeleted) appendBody(dst []byte) []byte { return appendBytes(dst, e.Group) }

func (e OffsetsCommitted) appendBody(dst []byte) []byte {
	dst = appendBytes(dst, e.Group)
	dst = binary.AppendVarint(dst, e.CommittedAt)
	dst = binary.AppendVarint(dst, e.ExpiresAt)
	dst = binary.AppendUvarint(dst, uint64(len(e.Topics)))
	for i := range e.Topics {
		t := &e.Topics[i]
		dst = appendTopicID(appendBytes(dst, t.Topic), t.ID)
		dst = binary.AppendUvarint(dst, uint64(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = binary.AppendVarint(dst, int64(p.Partition))
			dst = binary.AppendVarint(dst, p.Offset)
			dst = binary.AppendVarint(dst, int64(p.LeaderEpoch))
			dst = appendBytes(dst, p.Metadata)
		}
	}
	return dst
}

func decodeCommitTopics(r *reader) []CommitTopic {
	topics := make([]CommitTopic, r.count(3))
	for i := range topics {
		t := &topics[i]
		t.Topic, t.ID = r.string(), r.topicID()
		t.Partitions = make([]CommitPartition, r.count(4))
		for j := range t.Partitions {
			t.Partitions[j] = CommitPartition{Partition: r.int32(), Offset: r.int64(), LeaderEpoch: r.int32(), Metadata: r.string()}
		}
	}
	return topics
}

func (e OffsetsDeleted) appendBody(dst []byte) []byte {
	return appendTopicPartitions(appendBytes(dst, e.Group), e.Topics)
}

func (e OffsetsExpired) appendBody(dst []byte) []byte {
	return appendTopicPartitions(appendBytes(dst, e.Group), e.Topics)
}

func appendTopicPartitions(dst []byte, topics []TopicPartitions) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(topics)))
	for _, t := range topics {
		dst = appendBytes(dst, t.Topic)
		dst = binary.AppendUvarint(dst, uint64(len(t.Partitions)))
		for _, p := range t.Partitions {
			dst = binary.AppendVarint(dst, int64(p))
		}
	}
	return dst
}

func decodeTopicPartitions(r *reader) []TopicPartitions {
	topics := make([]TopicPartitions, r.count(2))
	for i := range topics {
		topics[i].Topic = r.string()
		topics[i].Partitions = make([]int32, r.count(1))
		for j := range topics[i].Partitions {
			topics[i].Partitions[j] = r.int32()
		}
	}
	return topics
}

func appendGeneration(dst []byte, g *Generation) []byte {
	dst = appendBytes(dst, g.ProtocolType)
	dst = appendBytes(dst, g.Protocol)
	dst = appendBytes(dst, g.Leader)
	dst = binary.AppendVarint(dst, int64(g.Number))
	dst = binary.AppendVarint(dst, g.EmptySince)
	dst = binary.AppendUvarint(dst, uint64(len(g.Members)))
	for i := range g.Members {
		dst = appendMember(dst, &g.Members[i])
	}
	return dst
}

func decodeGeneration(r *reader) Generation {
	g := Generation{
		ProtocolType: r.string(),
		Protocol:     r.string(),
		Leader:       r.string(),
		Number:       r.int32(),
		EmptySince:   r.int64(),
	}
	if n := r.count(8); n > 0 {
		g.Members = make([]Member, n)
	}
	for i := range g.Members {
		g.Members[i] = decodeMember(r)
	}
	return g
}

func appendMember(dst []byte, m *Member) []byte {
	dst = appendBytes(dst, m.ID)
	dst = appendBytes(dst, m.InstanceID)
	dst = appendBytes(dst, m.ClientID)
	dst = appendBytes(dst, m.ClientHost)
	dst = binary.AppendUvarint(dst, uint64(millis(m.SessionTimeout)))
	dst = binary.AppendUvarint(dst, uint64(millis(m.RebalanceTimeout)))
	dst = binary.AppendUvarint(dst, uint64(len(m.Protocols)))
	for _, p := range m.Protocols {
		dst = appendBytes(appendBytes(dst, p.Name), p.Metadata)
	}
	return appendBytes(dst, m.Assignment)
}

func decodeMember(r *reader) Member {
	m := Member{
		ID:               r.string(),
		InstanceID:       r.string(),
		ClientID:         r.string(),
		ClientHost:       r.string(),
		SessionTimeout:   fromMillis(r.millis()),
		RebalanceTimeout: fromMillis(r.millis()),
	}
	m.Protocols = make([]Protocol, r.count(2))
	for i := range m.Protocols {
		m.Protocols[i] = Protocol{Name: r.string(), Metadata: r.bytes()}
	}
	m.Assignment = r.bytes()
	return m
}
