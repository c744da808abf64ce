package group

// expiry walks over all groups every OffsetsRetentionCheckInterval, a few at a
// time so that no walk holds up the commands.
type expiry struct {
	next int64    // ms, when the next walk begins
	left []string // groups that this walk has yet to see
}

// expiryBatch is how many groups one Tick looks at.
const expiryBatch = 256

// deadline returns when expireOffsets has something to do.
func (x *expiry) deadline(now int64) int64 {
	if len(x.left) > 0 {
		return now
	}
	return x.next
}

func (m *Machine) expireOffsets() {
	x := &m.expiry
	if len(x.left) == 0 && m.now >= x.next {
		x.left = sortedKeys(m.durable.groups)
		x.next = m.now + m.cfg.OffsetsRetentionCheckInterval.Milliseconds()
	}
	n := min(len(x.left), expiryBatch)
	for _, id := range x.left[:n] {
		m.expireGroup(id)
	}
	x.left = x.left[n:]
}

// expireGroup removes the offsets of a group that nobody needs any more, and
// the group, if it is left with neither offsets nor members.
func (m *Machine) expireGroup(id string) {
	d := m.durable.groups[id]
	if d == nil {
		return // gone since the walk began
	}
	expired, left := m.expired(id, d)
	switch {
	case left == 0 && m.live(id) == nil:
		m.emit(GroupDeleted{Group: id})
	case len(expired) > 0:
		m.emitRemoved(expired, func(part []TopicPartitions) Entry { return OffsetsExpired{Group: id, Topics: part} })
	}
}

// expired returns the offsets of a group that have outlived their retention,
// and the number of those that have not.
func (m *Machine) expired(id string, d *durableGroup) (gone []TopicPartitions, left int) {
	kept := m.keepsOffsets(id)
	for _, topic := range sortedKeys(d.offsets) {
		t := TopicPartitions{Topic: topic}
		for _, p := range sortedKeys(d.offsets[topic]) {
			o := d.offsets[topic][p]
			since := max(o.committedAt, d.generation.EmptySince)
			if !kept(topic) && m.outlived(o, since) {
				t.Partitions = append(t.Partitions, p)
			} else {
				left++
			}
		}
		if len(t.Partitions) > 0 {
			gone = append(gone, t)
		}
	}
	return gone, left
}

func (m *Machine) outlived(o offset, since int64) bool {
	if o.expiresAt != 0 {
		return m.now >= o.expiresAt
	}
	return m.now-since >= m.cfg.OffsetsRetention.Milliseconds()
}

// keepsOffsets returns a function that says of which topics a group keeps the
// offsets whatever their age: all, while it rebalances or does not let us see
// what its members are subscribed to; none, if it has no members.
func (m *Machine) keepsOffsets(id string) func(topic string) bool {
	g := m.live(id)
	switch {
	case g == nil || g.state == Empty:
		return func(string) bool { return false }
	case g.state == Stable && g.protocolType == consumerProtocolType:
		return g.subscribed()
	}
	return func(string) bool { return true }
}

// subscribed returns a function that says whether a member is subscribed to a
// topic. It answers yes for all if that cannot be told.
func (g *liveGroup) subscribed() func(topic string) bool {
	topics, known := g.subscriptions()
	return func(topic string) bool { return !known || topics[topic] }
}
