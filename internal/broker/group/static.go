package group

import "slices"

// replaceStatic gives the place of a static member to the client that came
// back without its member id (KIP-345). The old id is fenced from now on.
func (m *Machine) replaceStatic(mem *member, c *Join, id string, token Token) {
	g, oldLeader := mem.group, mem.group.leader
	m.fence(mem)
	before := mem.metadata(g.protocol)
	g.unindex(mem)
	if oldLeader == mem.ID {
		g.leader = id
	}
	mem.ID = id
	mem.update(c)
	g.index(mem)
	m.awaitJoin(mem, token)
	if mem.isNew {
		m.awaitFirstJoin(mem)
	} else {
		m.keepAlive(mem)
	}
	if g.state != Stable || g.selectProtocol() != g.protocol || g.topicsChanged(before, mem.metadata(g.protocol)) {
		m.rebalance(g)
		return
	}
	m.emit(g.stored(m.now))
	m.endJoin(mem, rejoined(mem, oldLeader, c.SkipAssignment))
}

// rejoined is the reply for a static member that took its place again without
// a rebalance. If it leads, it must not assign: nobody would be told. Clients
// that know SkipAssignment are told to skip it; others are told that somebody
// else leads, namely their former self.
func rejoined(mem *member, oldLeader string, knowsSkip bool) JoinReply {
	skips := knowsSkip && mem.group.leader == mem.ID
	r := joined(mem, skips)
	r.SkipAssignment = skips
	if !knowsSkip {
		r.Leader = oldLeader
	}
	return r
}

// fence answers whatever the old holder of an instance id waits for.
func (m *Machine) fence(mem *member) {
	m.endJoin(mem, joinError(mem.ID, FencedInstance))
	m.endSync(mem, SyncReply{Err: FencedInstance})
}

// topicsChanged reports whether a consumer came back with another set of
// topics, for which its assignment would be wrong. The rest of its metadata
// (what it owned, in which generation) differs after every restart.
func (g *liveGroup) topicsChanged(before, after []byte) bool {
	if g.protocolType != consumerProtocolType {
		return false
	}
	a, okA := subscribedTopics(before)
	b, okB := subscribedTopics(after)
	slices.Sort(a)
	slices.Sort(b)
	return okA && okB && !slices.Equal(slices.Compact(a), slices.Compact(b))
}
