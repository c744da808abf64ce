package group

import (
	"bytes"
	"cmp"
	"slices"
)

func (m *Machine) commitOffsets(c *CommitOffsets) CommitReply {
	err := m.checkCommit(c)
	if err == None && !m.mayGrow(m.commitBytes(c)) {
		// Its code is one that clients hand to the application; they consume
		// on. What a group has committed before it can go on committing.
		err = TooManyGroups
	}
	r := CommitReply{Err: err, Topics: make([]TopicErrors, len(c.Topics))}
	e := OffsetsCommitted{Group: c.Group, CommittedAt: m.now}
	if c.Retention > 0 {
		e.ExpiresAt = m.now + c.Retention.Milliseconds()
	}
	for i := range c.Topics {
		t := &c.Topics[i]
		r.Topics[i] = TopicErrors{Topic: t.Topic, ID: t.ID, Partitions: make([]PartitionError, len(t.Partitions))}
		accepted := make([]CommitPartition, 0, len(t.Partitions))
		for j, p := range t.Partitions {
			perr := err
			if err == None && len(p.Metadata) > m.cfg.OffsetMetadataBytesMax {
				perr = OffsetMetadataTooLarge
			}
			r.Topics[i].Partitions[j] = PartitionError{Partition: p.Partition, Err: perr}
			if perr == None {
				accepted = append(accepted, p)
			}
		}
		if len(accepted) > 0 {
			e.Topics = append(e.Topics, CommitTopic{Topic: t.Topic, ID: t.ID, Partitions: accepted})
		}
	}
	if len(e.Topics) > 0 {
		m.emit(e)
	}
	return r
}

// checkCommit checks who commits. Who is no member may do so while the group
// has none; a member may until the barrier of the next generation has fallen.
func (m *Machine) checkCommit(c *CommitOffsets) Kind {
	if len(c.Group) > nameBytesMax {
		return InvalidGroupID
	}
	switch m.state(c.Group) {
	case Dead:
		return m.checkCommitUnknown(c)
	case Empty:
		if c.Generation < 0 {
			return None
		}
	}
	g := m.live(c.Group)
	if g == nil {
		return UnknownMember
	}
	if err := g.validate(c.MemberID, c.InstanceID); err != None {
		return err
	}
	if c.Generation != g.generation {
		return IllegalGeneration
	}
	if g.state == CompletingRebalance {
		return RebalanceInProgress
	}
	m.keepAlive(g.byID[c.MemberID])
	return None
}

// checkCommitUnknown checks a commit that would bring a group into being.
func (m *Machine) checkCommitUnknown(c *CommitOffsets) Kind {
	switch {
	case c.Generation >= 0 && c.UnknownIsError:
		return GroupIDNotFound
	case c.Generation >= 0:
		return IllegalGeneration
	case len(m.durable.groups) >= m.cfg.GroupsMax:
		return TooManyGroups
	}
	return None
}

func (m *Machine) fetchOffsets(c *FetchOffsets) FetchReply {
	r := FetchReply{Groups: make([]FetchedGroup, len(c.Groups))}
	for i := range c.Groups {
		want := &c.Groups[i]
		var offsets map[string]map[int32]offset
		if g := m.durable.groups[want.Group]; g != nil {
			offsets = g.offsets
		}
		r.Groups[i].Group = want.Group
		if want.All {
			r.Groups[i].Topics = allOffsets(offsets)
		} else {
			r.Groups[i].Topics = someOffsets(offsets, want.Topics)
		}
	}
	return r
}

func someOffsets(offsets map[string]map[int32]offset, want []FetchTopic) []FetchedTopic {
	topics := make([]FetchedTopic, len(want))
	for i, w := range want {
		t := FetchedTopic{Topic: w.Topic, ID: w.ID, Partitions: make([]FetchedPartition, len(w.Partitions))}
		for j, p := range w.Partitions {
			o, ok := offsets[w.Topic][p]
			if !ok || !sameTopic(o.topicID, w.ID) {
				o = offset{offset: NoOffset, leaderEpoch: -1}
			}
			t.Partitions[j] = o.fetched(p)
		}
		topics[i] = t
	}
	return topics
}

func allOffsets(offsets map[string]map[int32]offset) []FetchedTopic {
	var topics []FetchedTopic
	for _, name := range sortedKeys(offsets) {
		byID := map[TopicID]*FetchedTopic{}
		for _, p := range sortedKeys(offsets[name]) {
			o := offsets[name][p]
			t := byID[o.topicID]
			if t == nil {
				t = &FetchedTopic{Topic: name, ID: o.topicID}
				byID[o.topicID] = t
			}
			t.Partitions = append(t.Partitions, o.fetched(p))
		}
		for _, t := range byID {
			topics = append(topics, *t)
		}
	}
	slices.SortFunc(topics, func(a, b FetchedTopic) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return topics
}

func (o offset) fetched(partition int32) FetchedPartition {
	return FetchedPartition{Partition: partition, Offset: o.offset, LeaderEpoch: o.leaderEpoch, Metadata: o.metadata}
}

func (m *Machine) deleteOffsets(c *DeleteOffsets) DeleteOffsetsReply {
	state := m.state(c.Group)
	active := state != Dead && state != Empty
	switch {
	case state == Dead:
		return DeleteOffsetsReply{Err: GroupIDNotFound}
	case active && m.protocolType(c.Group) != consumerProtocolType:
		return DeleteOffsetsReply{Err: NonEmptyGroup}
	}
	subscribed := func(string) bool { return false }
	if active {
		subscribed = m.live(c.Group).subscribed()
	}
	var r DeleteOffsetsReply
	var gone []TopicPartitions
	for _, t := range c.Topics {
		err := None
		if subscribed(t.Topic) {
			err = GroupSubscribedToTopic
		}
		outcome := TopicErrors{Topic: t.Topic, Partitions: make([]PartitionError, len(t.Partitions))}
		for i, p := range t.Partitions {
			outcome.Partitions[i] = PartitionError{Partition: p, Err: err}
		}
		r.Topics = append(r.Topics, outcome)
		if there := m.present(c.Group, t); err == None && len(there.Partitions) > 0 {
			gone = append(gone, there)
		}
	}
	m.emitRemoved(gone, func(part []TopicPartitions) Entry { return OffsetsDeleted{Group: c.Group, Topics: part} })
	return r
}

// removedMost bounds how many offsets one entry removes, so that it fits into
// the smallest journal file.
const removedMost = 1000

// emitRemoved emits what removes these offsets, in as many entries as need be.
func (m *Machine) emitRemoved(topics []TopicPartitions, entry func([]TopicPartitions) Entry) {
	var part []TopicPartitions
	n := 0
	for _, t := range topics {
		for chunk := range slices.Chunk(t.Partitions, removedMost) {
			if n+len(chunk) > removedMost {
				m.emit(entry(part))
				part, n = nil, 0
			}
			part = append(part, TopicPartitions{Topic: t.Topic, Partitions: chunk})
			n += len(chunk)
		}
	}
	if n > 0 {
		m.emit(entry(part))
	}
}

// present narrows partitions down to those that have an offset.
func (m *Machine) present(group string, want TopicPartitions) TopicPartitions {
	there := TopicPartitions{Topic: want.Topic}
	g := m.durable.groups[group]
	if g == nil {
		return there
	}
	for _, p := range want.Partitions {
		if _, ok := g.offsets[want.Topic][p]; ok {
			there.Partitions = append(there.Partitions, p)
		}
	}
	return there
}

func (m *Machine) topicDeleted(c *TopicDeleted) TopicDeletedReply {
	var ids []string
	for id, g := range m.durable.groups {
		if len(g.offsets[c.Topic]) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		offsets := m.durable.groups[id].offsets[c.Topic]
		gone := TopicPartitions{Topic: c.Topic}
		for _, p := range sortedKeys(offsets) {
			if sameTopic(offsets[p].topicID, c.ID) {
				gone.Partitions = append(gone.Partitions, p)
			}
		}
		m.emitRemoved([]TopicPartitions{gone}, func(part []TopicPartitions) Entry { return OffsetsDeleted{Group: id, Topics: part} })
	}
	return TopicDeletedReply{}
}
