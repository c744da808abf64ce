package group

// What groups take in memory is bounded in sum, over all groups of a Machine
// (Config.StateBytesMax). Each thing counts its text and about what a struct
// and its place in a map take. The sums are kept as things come and go, so that
// no decision walks over what is there.

const (
	groupOverhead   = 512
	memberOverhead  = 64
	pendingOverhead = 256
	topicOverhead   = 128
	offsetOverhead  = 112
)

// nameBytesMax is the longest group id, protocol type and protocol name, in
// bytes: as long as a string of the protocol's older versions can be.
const nameBytesMax = 32767

func groupBytes(id string) int       { return groupOverhead + len(id) }
func pendingBytes(id string) int     { return pendingOverhead + len(id) }
func topicBytes(name string) int     { return topicOverhead + len(name) }
func (o *offset) bytes() int         { return offsetOverhead + len(o.metadata) }
func (p *CommitPartition) size() int { return offsetOverhead + len(p.Metadata) }

// memberBytes is about what the member takes, without its assignment.
func memberBytes(m *Member) int {
	n := memberOverhead + len(m.ID) + len(m.InstanceID) + len(m.ClientID) + len(m.ClientHost)
	for _, p := range m.Protocols {
		n += 16 + len(p.Name) + len(p.Metadata)
	}
	return n
}

// bytes is about what a stored generation takes.
func (g *Generation) bytes() int {
	n := len(g.ProtocolType) + len(g.Protocol) + len(g.Leader)
	for i := range g.Members {
		n += memberBytes(&g.Members[i]) + len(g.Members[i].Assignment)
	}
	return n
}

// bytes is what the group takes, counted anew.
func (g *durableGroup) count(id string) int {
	n := groupBytes(id) + g.generation.bytes()
	for topic, partitions := range g.offsets {
		n += topicBytes(topic)
		for _, o := range partitions {
			n += o.bytes()
		}
	}
	return n
}

// taken is what all groups take: what is durable, and the sessions beside it.
func (m *Machine) taken() int { return m.durable.bytes + m.session.bytes }

// mayGrow reports whether new members, groups and offsets may take n bytes
// more. A quarter is kept for groups that are at work: their rebalances go on
// when everybody else is refused.
func (m *Machine) mayGrow(n int) bool {
	return n <= 0 || m.taken()+n <= m.cfg.StateBytesMax/4*3
}

// mayAssign reports the same for the assignments of a rebalance.
func (m *Machine) mayAssign(n int) bool { return n <= 0 || m.taken()+n <= m.cfg.StateBytesMax }

// commitBytes is what a commit adds to what is stored.
func (m *Machine) commitBytes(c *CommitOffsets) (n int) {
	g := m.durable.groups[c.Group]
	if g == nil {
		n, g = groupBytes(c.Group), &durableGroup{}
	}
	for i := range c.Topics {
		t := &c.Topics[i]
		stored := g.offsets[t.Topic]
		if stored == nil {
			n += topicBytes(t.Topic)
		}
		for j := range t.Partitions {
			n += t.Partitions[j].size()
			if o, ok := stored[t.Partitions[j].Partition]; ok {
				n -= o.bytes()
			}
		}
	}
	return n
}

// EntryBytes is about the most that deciding cmd adds to the log, but for what
// is always small.
func (m *Machine) EntryBytes(cmd Command) (n int64) {
	switch c := cmd.(type) {
	case Join:
		if g := m.live(c.Group); g != nil && c.InstanceID != "" { // a static member's new id is stored at once
			n = int64(g.bytes + g.assigned)
		}
	case Sync:
		if g := m.live(c.Group); g != nil {
			n = int64(g.bytes + assignedBytes(c.Assignments))
		}
	case CommitOffsets:
		n = int64(len(c.Group))
		for i := range c.Topics {
			n += int64(len(c.Topics[i].Topic)) + 32
			for j := range c.Topics[i].Partitions {
				n += int64(len(c.Topics[i].Partitions[j].Metadata)) + 40
			}
		}
	case DeleteOffsets:
		for _, t := range c.Topics {
			n += removedBytes(c.Group, t.Topic, len(t.Partitions))
		}
	case TopicDeleted:
		for id, g := range m.durable.groups {
			if offsets := g.offsets[c.Topic]; len(offsets) > 0 {
				n += removedBytes(id, c.Topic, len(offsets))
			}
		}
	}
	return n
}

// removedBytes is about what it takes to say that a group's offsets for
// partitions of a topic are gone.
func removedBytes(group, topic string, partitions int) int64 {
	return int64(len(group) + len(topic) + 16 + 5*partitions)
}
