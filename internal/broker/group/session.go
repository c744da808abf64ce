package group

import "slices"

// Session is what a Machine knows and never logs. It dies with the process.
type Session struct {
	groups  map[string]*liveGroup
	waiting map[Token]*member // joins and syncs that are not answered yet
	timers  timers
	bytes   int // about what the live groups take
}

// liveGroup is a group that has members, or ids that were given out. In the
// states Empty and Stable it says the same as Durable.
type liveGroup struct {
	id           string
	state        State
	generation   int32
	protocolType string
	protocol     string
	leader       string // member id
	members      []*member
	byID         map[string]*member
	byInstance   map[string]*member
	pending      map[string]*timer // ids that were given out (MemberIDRequired)
	supporters   map[string]int    // how many members support a protocol
	bytes        int               // about what the members take, without assignments
	assigned     int               // bytes of their assignments
	taken        *int              // Session.bytes
	joined       int               // members that wait in a join
	unsynced     int               // members of this generation that have not synced

	join, sync timer

	// The first rebalance of an empty group waits for InitialRebalanceDelay,
	// again for each round in which a member came, up to its rebalance timeout.
	initial      bool
	newMember    bool
	delay, spare int64 // ms: of this round; left for further rounds
}

type member struct {
	Member
	group    *liveGroup
	session  timer
	isNew    bool // in its first join: it may not even know its id
	joining  bool // waits for the join barrier
	syncing  bool // waits for the leader's assignments
	unsynced bool

	// Zero when nobody waits for the answer any more.
	joinToken, syncToken Token
}

// newLiveGroup makes a live group of what is stored; taken is Session.bytes.
func newLiveGroup(id string, g *Generation, taken *int) *liveGroup {
	*taken += groupBytes(id) + len(g.ProtocolType)
	l := &liveGroup{
		taken:        taken,
		id:           id,
		state:        Empty,
		generation:   g.Number,
		protocolType: g.ProtocolType,
		protocol:     g.Protocol,
		byID:         map[string]*member{},
		byInstance:   map[string]*member{},
		pending:      map[string]*timer{},
		supporters:   map[string]int{},
	}
	l.join = timer{kind: timerJoin, group: l}
	l.sync = timer{kind: timerSync, group: l}
	for _, stored := range g.Members {
		assignment := stored.Assignment
		stored.Assignment = nil
		mem := &member{Member: stored}
		l.add(mem)
		mem.assign(assignment)
		l.state = Stable
	}
	l.leader = g.Leader
	return l
}

// add takes a member in; the first one leads.
func (g *liveGroup) add(mem *member) {
	mem.group = g
	mem.session = timer{kind: timerSession, group: g, member: mem}
	if len(g.members) == 0 {
		g.leader = mem.ID
	}
	g.members = append(g.members, mem)
	g.index(mem)
}

// index and unindex keep what is known about the member beside the list.
func (g *liveGroup) index(mem *member) {
	g.byID[mem.ID] = mem
	if mem.InstanceID != "" {
		g.byInstance[mem.InstanceID] = mem
	}
	for _, p := range mem.Protocols {
		g.supporters[p.Name]++
	}
	g.grow(memberBytes(&mem.Member))
}

func (g *liveGroup) setProtocolType(t string) {
	*g.taken += len(t) - len(g.protocolType)
	g.protocolType = t
}

func (g *liveGroup) grow(n int) {
	g.bytes += n
	*g.taken += n
}

// assign sets the member's assignment.
func (mem *member) assign(data []byte) {
	n := len(data) - len(mem.Assignment)
	mem.group.assigned += n
	*mem.group.taken += n
	mem.Assignment = data
}

func (g *liveGroup) unindex(mem *member) {
	delete(g.byID, mem.ID)
	if mem.InstanceID != "" {
		delete(g.byInstance, mem.InstanceID)
	}
	for _, p := range mem.Protocols {
		if g.supporters[p.Name]--; g.supporters[p.Name] == 0 {
			delete(g.supporters, p.Name)
		}
	}
	g.grow(-memberBytes(&mem.Member))
}

// remove takes a member out; the longest serving of the others leads if the
// leader went. The member's timer and tokens are the caller's.
func (g *liveGroup) remove(mem *member) {
	mem.assign(nil)
	g.unindex(mem)
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == mem })
	g.setJoining(mem, false)
	g.setUnsynced(mem, false)
	if g.leader == mem.ID {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].ID
		}
	}
}

func (g *liveGroup) setJoining(mem *member, joining bool) {
	if mem.joining != joining {
		mem.joining = joining
		g.joined += delta(joining)
	}
}

func (g *liveGroup) setUnsynced(mem *member, unsynced bool) {
	if mem.unsynced != unsynced {
		mem.unsynced = unsynced
		g.unsynced += delta(unsynced)
	}
}

func delta(up bool) int {
	if up {
		return 1
	}
	return -1
}

// allJoined reports whether the join barrier can fall before its time.
func (g *liveGroup) allJoined() bool {
	return g.joined == len(g.members) && len(g.pending) == 0
}

// rebalanceTimeout is the longest that any member needs, in ms.
func (g *liveGroup) rebalanceTimeout() int64 {
	var ms int64
	for _, mem := range g.members {
		ms = max(ms, millis(mem.RebalanceTimeout))
	}
	return ms
}

// validate checks that the caller is the member that it says it is.
func (g *liveGroup) validate(memberID, instanceID string) Kind {
	if instanceID != "" {
		owner := g.byInstance[instanceID]
		if owner == nil {
			return UnknownMember
		}
		if owner.ID != memberID {
			return FencedInstance
		}
	}
	if g.byID[memberID] == nil {
		return UnknownMember
	}
	return None
}

// supports reports whether a member with these protocols fits the group.
func (g *liveGroup) supports(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	return protocolType == g.protocolType && slices.ContainsFunc(protocols, g.supportedByAll)
}

func (g *liveGroup) supportedByAll(p Protocol) bool {
	return g.supporters[p.Name] == len(g.members)
}

// selectProtocol lets each member vote for the first of its protocols that all
// support. The most votes win; among equals, the vote that came first.
func (g *liveGroup) selectProtocol() string {
	votes := map[string]int{}
	var order []string
	for _, mem := range g.members {
		i := slices.IndexFunc(mem.Protocols, g.supportedByAll)
		if i < 0 {
			continue
		}
		name := mem.Protocols[i].Name
		if votes[name] == 0 {
			order = append(order, name)
		}
		votes[name]++
	}
	var best string
	for _, name := range order {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// metadata is what the member said for a protocol.
func (m *Member) metadata(protocol string) []byte {
	for _, p := range m.Protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// stored returns the current generation as it goes to the log.
func (g *liveGroup) stored(now int64) GroupStored {
	e := GroupStored{Group: g.id, Generation: Generation{
		ProtocolType: g.protocolType,
		Protocol:     g.protocol,
		Leader:       g.leader,
		Number:       g.generation,
	}}
	if len(g.members) == 0 {
		e.Generation.EmptySince = now
		return e
	}
	e.Generation.Members = make([]Member, len(g.members))
	for i, mem := range g.members {
		e.Generation.Members[i] = mem.Member
	}
	return e
}

// joinMembers is the member list that the leader gets.
func (g *liveGroup) joinMembers() []JoinMember {
	list := make([]JoinMember, len(g.members))
	for i, mem := range g.members {
		list[i] = JoinMember{MemberID: mem.ID, InstanceID: mem.InstanceID, Metadata: mem.metadata(g.protocol)}
	}
	return list
}
