package group

func (m *Machine) heartbeat(c *Heartbeat) Kind {
	if badGroupID(c.Group) {
		return InvalidGroupID
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
	m.keepAlive(g.byID[c.MemberID])
	if g.state == PreparingRebalance {
		return RebalanceInProgress
	}
	return None // also while assignments are awaited
}

// keepAlive starts the member's session anew.
func (m *Machine) keepAlive(mem *member) {
	m.session.timers.arm(&mem.session, m.now+millis(mem.SessionTimeout))
}

// awaitFirstJoin gives a member that does not know its id yet the time of its
// first join: it cannot send heartbeats, and if it is gone it comes back as
// another one.
func (m *Machine) awaitFirstJoin(mem *member) {
	m.session.timers.arm(&mem.session, m.now+millis(m.cfg.NewMemberJoinTimeout))
}

// sessionExpired removes a member that was silent for too long. One that
// waits for an answer cannot speak: its session starts anew with the answer.
func (m *Machine) sessionExpired(mem *member) {
	if !mem.isNew && (mem.joining || mem.syncing) {
		return
	}
	m.expel(mem)
	m.membersLeft(mem.group)
}
