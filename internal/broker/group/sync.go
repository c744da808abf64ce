package group

func (m *Machine) decideSync(c *Sync, token Token) {
	g, err := m.checkSync(c)
	if err != None {
		m.reply(token, SyncReply{Err: err})
		return
	}
	mem := g.byID[c.MemberID]
	if g.state == Stable {
		g.setUnsynced(mem, false)
		m.keepAlive(mem)
		m.stopSyncTimer(g)
		m.reply(token, synced(mem))
		return
	}
	leads := g.leader == mem.ID
	if leads && !m.takesAssignments(g, c.Assignments) {
		m.reply(token, SyncReply{Err: GroupTooLarge})
		return
	}
	m.awaitSync(mem, token)
	if leads {
		m.completeSync(g, c.Assignments)
	}
}

func (m *Machine) checkSync(c *Sync) (*liveGroup, Kind) {
	if badGroupID(c.Group) {
		return nil, InvalidGroupID
	}
	g := m.live(c.Group)
	if g == nil {
		return nil, UnknownMember
	}
	if err := g.validate(c.MemberID, c.InstanceID); err != None {
		return nil, err
	}
	switch {
	case c.Generation != g.generation:
		return nil, IllegalGeneration
	case c.ProtocolType != "" && c.ProtocolType != g.protocolType,
		c.Protocol != "" && g.protocol != "" && c.Protocol != g.protocol:
		return nil, InconsistentProtocol
	case g.state == PreparingRebalance:
		return nil, RebalanceInProgress
	}
	return g, None
}

// takesAssignments reports whether the leader's assignments are small enough,
// for the group and for all groups. They are kept twice, and the members become
// durable with them.
func (m *Machine) takesAssignments(g *liveGroup, assignments []Assignment) bool {
	n := assignedBytes(assignments)
	if n > m.cfg.GroupBytesMax/2 {
		return false
	}
	more := n - g.assigned + len(g.protocolType) + len(g.protocol) + len(g.leader) + g.bytes + n
	if d := m.durable.groups[g.id]; d != nil {
		more -= d.generation.bytes()
	} else {
		more += groupBytes(g.id)
	}
	return m.mayAssign(more)
}

func assignedBytes(assignments []Assignment) int {
	n := 0
	for _, a := range assignments {
		n += len(a.Data)
	}
	return n
}

// awaitSync parks the token until the leader has synced.
func (m *Machine) awaitSync(mem *member, token Token) {
	m.reply(mem.syncToken, SyncReply{Err: RebalanceInProgress}) // the client has moved on
	mem.group.setUnsynced(mem, false)
	mem.syncing = true
	mem.syncToken = token
	m.session.waiting[token] = mem
}

// endSync answers a pending sync.
func (m *Machine) endSync(mem *member, reply SyncReply) {
	m.reply(mem.syncToken, reply)
	mem.syncToken = 0
	mem.syncing = false
}

// completeSync stores the generation and answers all that wait for it.
// Members that the leader forgot get nothing assigned.
func (m *Machine) completeSync(g *liveGroup, assignments []Assignment) {
	for _, mem := range g.members {
		mem.assign(nil)
	}
	for _, a := range assignments {
		if mem := g.byID[a.MemberID]; mem != nil {
			mem.assign(a.Data)
		}
	}
	g.state = Stable
	m.emit(g.stored(m.now))
	for _, mem := range g.members {
		if mem.syncing {
			m.endSync(mem, synced(mem))
			m.keepAlive(mem)
		}
	}
	m.stopSyncTimer(g)
}

func (m *Machine) stopSyncTimer(g *liveGroup) {
	if g.unsynced == 0 {
		m.session.timers.disarm(&g.sync)
	}
}

func synced(mem *member) SyncReply {
	return SyncReply{
		ProtocolType: mem.group.protocolType,
		Protocol:     mem.group.protocol,
		Assignment:   mem.Assignment,
	}
}
