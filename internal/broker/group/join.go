package group

import (
	"bytes"
	"slices"
)

func (m *Machine) decideJoin(c *Join, token Token) {
	g, err := m.admit(c)
	if err != None {
		m.reply(token, joinError(c.MemberID, err))
		return
	}
	switch {
	case !m.hasRoom(g, c):
		m.turnAway(g, c.MemberID)
		m.reply(token, joinError("", GroupMaxSize))
	case !g.supports(c.ProtocolType, c.Protocols):
		m.reply(token, joinError(c.MemberID, InconsistentProtocol))
	case g.bytesWith(c) > m.cfg.GroupBytesMax/2:
		m.reply(token, joinError(c.MemberID, GroupTooLarge))
	case !m.mayGrow(m.joinBytes(g, c)):
		// Clients take this code as final and tell the application. With one
		// that they retry, such as COORDINATOR_NOT_AVAILABLE, all that are
		// refused would come back several times a second.
		m.reply(token, joinError("", GroupMaxSize))
	case c.MemberID == "":
		m.joinNew(g, c, token)
	default:
		m.joinKnown(g, c, token)
	}
	m.release(g)
}

// admit checks what does not depend on the group's members, and opens it.
func (m *Machine) admit(c *Join) (*liveGroup, Kind) {
	session := c.SessionTimeout
	if c.RebalanceTimeout <= 0 {
		c.RebalanceTimeout = session
	}
	c.Protocols = distinct(c.Protocols)
	switch {
	case badGroupID(c.Group):
		return nil, InvalidGroupID
	case len(c.ProtocolType) > nameBytesMax:
		return nil, InconsistentProtocol
	case session < m.cfg.SessionTimeoutMin || session > m.cfg.SessionTimeoutMax:
		return nil, InvalidSessionTimeout
	case m.live(c.Group) != nil:
	case c.MemberID != "":
		return nil, UnknownMember // only live groups have members
	case len(m.session.groups) >= m.cfg.GroupsMax:
		return nil, TooManyGroups
	case m.durable.groups[c.Group] == nil && len(m.durable.groups) >= m.cfg.GroupsMax:
		return nil, TooManyGroups
	}
	return m.open(c.Group), None
}

// distinct drops protocols whose name occurred before.
func distinct(protocols []Protocol) []Protocol {
	seen := make(map[string]bool, len(protocols))
	list := make([]Protocol, 0, len(protocols))
	for _, p := range protocols {
		if !seen[p.Name] {
			seen[p.Name] = true
			list = append(list, p)
		}
	}
	return list
}

// bytesWith is what the group's members would take if c were let in.
func (g *liveGroup) bytesWith(c *Join) int {
	n := g.bytes + memberBytes(&Member{
		ID: newMemberID(c), InstanceID: c.InstanceID,
		ClientID: c.ClientID, ClientHost: c.ClientHost, Protocols: c.Protocols,
	})
	if mem := g.joiner(c); mem != nil {
		n -= memberBytes(&mem.Member)
	}
	return n
}

// joinBytes is what c would add to all groups: to the session now, and as much
// to what is durable with the next generation.
func (m *Machine) joinBytes(g *liveGroup, c *Join) int {
	n := g.bytesWith(c) - g.bytes
	if len(g.members) == 0 {
		n += len(c.ProtocolType) - len(g.protocolType)
	}
	if n *= 2; m.durable.groups[g.id] == nil {
		n += groupBytes(g.id)
	}
	return n
}

// joiner returns the member that joins, if it is one already; a static one
// that has lost its member id is known by its instance id.
func (g *liveGroup) joiner(c *Join) *member {
	if c.MemberID == "" && c.InstanceID != "" {
		return g.byInstance[c.InstanceID]
	}
	return g.byID[c.MemberID]
}

func joinError(memberID string, err Kind) JoinReply {
	return JoinReply{Err: err, MemberID: memberID, Generation: NoGeneration}
}

// hasRoom reports whether the join may go on. While a rebalance is being
// prepared those that rejoin first have the room (GroupSizeMax may have been
// lowered); a static member that comes back takes no room.
func (m *Machine) hasRoom(g *liveGroup, c *Join) bool {
	mem := g.joiner(c)
	switch g.state {
	case PreparingRebalance:
		return mem != nil && mem.joining || g.joined < m.cfg.GroupSizeMax
	case CompletingRebalance, Stable:
		return mem != nil || len(g.members) < m.cfg.GroupSizeMax
	}
	return true
}

// turnAway removes a member for which there is no room any more.
func (m *Machine) turnAway(g *liveGroup, memberID string) {
	m.dropPending(g, memberID)
	if mem := g.byID[memberID]; mem != nil {
		m.expel(mem)
	}
	m.tryCompleteJoin(g)
}

func (m *Machine) joinNew(g *liveGroup, c *Join, token Token) {
	id := newMemberID(c)
	old := g.byInstance[c.InstanceID]
	switch {
	case g.byID[id] != nil || g.pending[id] != nil:
		m.reply(token, joinError("", UnknownMember)) // the suffix was used before
	case c.InstanceID != "" && old != nil:
		m.replaceStatic(old, c, id, token)
	case c.InstanceID == "" && c.RequireKnownMember:
		m.giveID(g, c, id, token)
	default:
		m.addMember(g, c, id, token)
	}
}

// newMemberID makes an id that tells people whose it is.
func newMemberID(c *Join) string {
	if c.InstanceID != "" {
		return c.InstanceID + "-" + c.MemberIDSuffix
	}
	return c.ClientID + "-" + c.MemberIDSuffix
}

// giveID hands out an id, with which the client must join again: clients that
// lose the first reply then leave nothing behind that others would wait for.
func (m *Machine) giveID(g *liveGroup, c *Join, id string, token Token) {
	if len(g.pending) >= m.cfg.GroupSizeMax {
		m.reply(token, joinError("", GroupMaxSize))
		return
	}
	t := &timer{kind: timerPending, group: g, id: id}
	g.pending[id] = t
	m.session.bytes += pendingBytes(id)
	m.session.timers.arm(t, m.now+millis(c.SessionTimeout))
	m.reply(token, joinError(id, MemberIDRequired))
}

func (m *Machine) dropPending(g *liveGroup, id string) {
	if t := g.pending[id]; t != nil {
		m.session.timers.disarm(t)
		delete(g.pending, id)
		m.session.bytes -= pendingBytes(id)
	}
}

func (m *Machine) addMember(g *liveGroup, c *Join, id string, token Token) {
	m.dropPending(g, id)
	mem := &member{isNew: true}
	mem.ID, mem.InstanceID = id, c.InstanceID
	mem.update(c)
	if len(g.members) == 0 {
		g.setProtocolType(c.ProtocolType)
	}
	g.newMember = g.state == PreparingRebalance && g.initial
	g.add(mem)
	m.awaitJoin(mem, token)
	m.awaitFirstJoin(mem)
	m.rebalance(g)
}

// update takes over what the client says of itself. The member must not be
// indexed meanwhile.
func (mem *member) update(c *Join) {
	mem.ClientID, mem.ClientHost = c.ClientID, c.ClientHost
	mem.SessionTimeout = fromMillis(millis(c.SessionTimeout))
	mem.RebalanceTimeout = fromMillis(millis(c.RebalanceTimeout))
	mem.Protocols = c.Protocols
}

func (m *Machine) joinKnown(g *liveGroup, c *Join, token Token) {
	if g.pending[c.MemberID] != nil && c.InstanceID == "" {
		m.addMember(g, c, c.MemberID, token)
		return
	}
	if err := g.validate(c.MemberID, c.InstanceID); err != None {
		m.reply(token, joinError(c.MemberID, err))
		return
	}
	mem := g.byID[c.MemberID]
	changed := !slices.EqualFunc(mem.Protocols, c.Protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
	leads := g.leader == mem.ID
	switch {
	case g.state == CompletingRebalance && !changed:
		// The reply to its join was lost: once more.
		m.reply(token, joined(mem, leads))
	case g.state == Stable && !changed && !leads:
		m.reply(token, joined(mem, false))
	default:
		// A leader may rejoin to have partitions assigned anew.
		g.unindex(mem)
		mem.update(c)
		g.index(mem)
		m.awaitJoin(mem, token)
		m.rebalance(g)
	}
}

// awaitJoin parks the token until the join barrier falls.
func (m *Machine) awaitJoin(mem *member, token Token) {
	m.reply(mem.joinToken, joinError(mem.ID, RebalanceInProgress)) // the client has moved on
	mem.group.setJoining(mem, true)
	mem.joinToken = token
	m.session.waiting[token] = mem
}

// endJoin answers a pending join.
func (m *Machine) endJoin(mem *member, reply JoinReply) {
	m.reply(mem.joinToken, reply)
	mem.joinToken = 0
	mem.group.setJoining(mem, false)
}

// joined is the reply of a join that took part in the current generation.
func joined(mem *member, withMembers bool) JoinReply {
	g := mem.group
	r := JoinReply{
		MemberID:     mem.ID,
		Generation:   g.generation,
		ProtocolType: g.protocolType,
		Protocol:     g.protocol,
		Leader:       g.leader,
	}
	if withMembers {
		r.Members = g.joinMembers()
	}
	return r
}
