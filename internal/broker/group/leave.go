package group

func (m *Machine) leave(c *Leave) LeaveReply {
	if badGroupID(c.Group) {
		return LeaveReply{Err: InvalidGroupID}
	}
	g := m.live(c.Group)
	r := LeaveReply{Members: make([]LeftMember, len(c.Members))}
	removed, dropped := false, false
	for i, l := range c.Members {
		r.Members[i] = LeftMember{LeavingMember: l, Err: UnknownMember}
		if g == nil {
			continue
		}
		if g.pending[l.MemberID] != nil {
			m.dropPending(g, l.MemberID)
			dropped = true
			r.Members[i].Err = None
			continue
		}
		mem, err := g.leaving(l)
		r.Members[i].Err = err
		if err == None {
			m.expel(mem)
			removed = true
		}
	}
	switch {
	case removed:
		m.membersLeft(g)
	case dropped:
		m.tryCompleteJoin(g)
		m.release(g)
	}
	return r
}

// leaving finds the member that is to leave. Administrators remove static
// members by instance id alone.
func (g *liveGroup) leaving(l LeavingMember) (*member, Kind) {
	if l.MemberID == "" {
		mem := g.byInstance[l.InstanceID]
		if mem == nil {
			return nil, UnknownMember
		}
		return mem, None
	}
	return g.byID[l.MemberID], g.validate(l.MemberID, l.InstanceID)
}
