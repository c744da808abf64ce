package group

// rebalance goes on after a member has joined: it begins a rebalance, or, if
// one is being prepared, sees whether everybody is there.
func (m *Machine) rebalance(g *liveGroup) {
	if g.state == PreparingRebalance {
		m.tryCompleteJoin(g)
		return
	}
	m.prepareRebalance(g)
}

// membersLeft goes on after members have been removed.
func (m *Machine) membersLeft(g *liveGroup) {
	if g.state == Stable || g.state == CompletingRebalance {
		m.prepareRebalance(g)
		return
	}
	m.tryCompleteJoin(g)
}

// prepareRebalance raises the join barrier.
func (m *Machine) prepareRebalance(g *liveGroup) {
	m.abandonSync(g)
	g.initial = g.state == Empty
	g.state = PreparingRebalance
	if !g.initial {
		m.session.timers.arm(&g.join, m.now+g.rebalanceTimeout())
		m.tryCompleteJoin(g)
		return
	}
	g.newMember = false
	g.delay = millis(m.cfg.InitialRebalanceDelay)
	g.spare = max(g.rebalanceTimeout()-g.delay, 0)
	if g.delay == 0 {
		m.completeJoin(g)
		return
	}
	m.session.timers.arm(&g.join, m.now+g.delay)
}

// abandonSync sends those that wait for assignments back to join.
func (m *Machine) abandonSync(g *liveGroup) {
	m.session.timers.disarm(&g.sync)
	for _, mem := range g.members {
		g.setUnsynced(mem, false)
		if g.state != CompletingRebalance {
			continue
		}
		mem.assign(nil)
		if mem.syncing {
			m.endSync(mem, SyncReply{Err: RebalanceInProgress})
			m.keepAlive(mem)
		}
	}
}

// tryCompleteJoin lets the barrier fall if everybody is there. The first
// rebalance of a group waits for its time, for others may be on their way.
func (m *Machine) tryCompleteJoin(g *liveGroup) {
	if g.state == PreparingRebalance && !g.initial && g.allJoined() {
		m.completeJoin(g)
	}
}

func (m *Machine) joinTimeout(g *liveGroup) {
	if !g.initial || !g.newMember || g.spare == 0 {
		m.completeJoin(g)
		return
	}
	round := min(millis(m.cfg.InitialRebalanceDelay), g.spare)
	g.newMember = false
	g.spare = max(g.spare-g.delay, 0)
	g.delay = round
	m.session.timers.arm(&g.join, m.now+round)
}

// completeJoin lets the join barrier fall: dynamic members that did not come
// are out, static ones stay until their session ends.
func (m *Machine) completeJoin(g *liveGroup) {
	m.session.timers.disarm(&g.join)
	for _, mem := range g.list() {
		if !mem.joining && mem.InstanceID == "" {
			m.expel(mem)
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Only static members are left and none came: wait for their
		// sessions to end, or for them.
		g.initial = false
		m.session.timers.arm(&g.join, m.now+max(g.rebalanceTimeout(), minRetryMillis))
		return
	}
	g.generation++
	g.initial = false
	if len(g.members) == 0 {
		m.becomeEmpty(g)
		return
	}
	g.protocol = g.selectProtocol()
	g.state = CompletingRebalance
	for _, mem := range g.members {
		mem.isNew = false
		g.setUnsynced(mem, true)
		m.endJoin(mem, joined(mem, g.leader == mem.ID))
		m.keepAlive(mem)
	}
	m.session.timers.arm(&g.sync, m.now+g.rebalanceTimeout())
}

// minRetryMillis keeps a barrier that nobody reached from being tried again
// at once, for ever, if the members' rebalance timeout is zero.
const minRetryMillis = 1000

// electLeader makes sure that the leader is a member that waits in a join. It
// returns false if there is none.
func (g *liveGroup) electLeader() bool {
	if leader := g.byID[g.leader]; leader != nil && leader.joining {
		return true
	}
	for _, mem := range g.members {
		if mem.joining {
			g.leader = mem.ID
			return true
		}
	}
	return false
}

func (m *Machine) becomeEmpty(g *liveGroup) {
	g.state, g.protocol, g.leader = Empty, "", ""
	m.emit(g.stored(m.now))
	m.release(g)
}

// syncTimeout expels the members of this generation that have not synced.
func (m *Machine) syncTimeout(g *liveGroup) {
	for _, mem := range g.list() {
		if mem.unsynced {
			m.expel(mem)
		}
	}
	m.membersLeft(g)
}

// list is a copy of the members, to remove some while going through them.
func (g *liveGroup) list() []*member { return append([]*member(nil), g.members...) }

// expel removes a member and answers what it waits for: if it is still there
// it will join again as a new one.
func (m *Machine) expel(mem *member) {
	m.session.timers.disarm(&mem.session)
	m.endJoin(mem, joinError("", UnknownMember))
	m.endSync(mem, SyncReply{Err: UnknownMember})
	mem.group.remove(mem)
}
