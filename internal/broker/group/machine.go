package group

import (
	"fmt"
	"time"
)

// Machine decides what commands do to groups. One goroutine owns it.
type Machine struct {
	cfg     Config
	durable *Durable
	session Session
	now     int64 // ms; never goes back
	expiry  expiry

	// What the Decide or Tick under way has brought about.
	entries []Entry
	replies []Reply
}

// NewMachine continues from durable, to which every entry of the log has been
// applied, and takes it over. The members of stored generations are members
// again, with sessions that start now.
func NewMachine(cfg Config, durable *Durable, now time.Time) *Machine {
	m := &Machine{
		cfg:     cfg.withDefaults(),
		durable: durable,
		session: Session{groups: map[string]*liveGroup{}, waiting: map[Token]*member{}},
		now:     now.UnixMilli(),
	}
	m.expiry.next = m.now + m.cfg.OffsetsRetentionCheckInterval.Milliseconds()
	for _, id := range sortedKeys(durable.groups) {
		if len(durable.groups[id].generation.Members) > 0 {
			m.resume(id)
		}
	}
	return m
}

// resume brings back the members of a stored generation.
func (m *Machine) resume(id string) {
	g := newLiveGroup(id, &m.durable.groups[id].generation, &m.session.bytes)
	m.session.groups[id] = g
	for _, mem := range g.members {
		m.keepAlive(mem)
	}
	if len(g.members) > m.cfg.GroupSizeMax {
		m.prepareRebalance(g) // those that rejoin first stay
	}
}

// Decide says what cmd brings about: entries to apply, in order, before the
// next call; and replies, which may be released once the entries are durable.
// Joins and syncs may be answered by a later call; every other command, and
// every command that fails, is answered by this one.
func (m *Machine) Decide(now time.Time, cmd Command, token Token) ([]Entry, []Reply) {
	m.advance(now)
	switch c := cmd.(type) {
	case Join:
		m.decideJoin(&c, token)
	case Sync:
		m.decideSync(&c, token)
	case Heartbeat:
		m.reply(token, HeartbeatReply{Err: m.heartbeat(&c)})
	case Leave:
		m.reply(token, m.leave(&c))
	case CommitOffsets:
		m.reply(token, m.commitOffsets(&c))
	case FetchOffsets:
		m.reply(token, m.fetchOffsets(&c))
	case DeleteOffsets:
		m.reply(token, m.deleteOffsets(&c))
	case DescribeGroups:
		m.reply(token, m.describeGroups(&c))
	case ListGroups:
		m.reply(token, m.listGroups(&c))
	case DeleteGroups:
		m.reply(token, m.deleteGroups(&c))
	case TopicDeleted:
		m.reply(token, m.topicDeleted(&c))
	default:
		panic(fmt.Sprintf("group: command %T is not one of this package", cmd))
	}
	return m.outcome()
}

// Tick does what is due by now: sessions and barriers that have run out,
// offsets that have expired. It is called after the commands that are at hand
// have been decided, at NextDeadline or at any other time.
func (m *Machine) Tick(now time.Time) ([]Entry, []Reply) {
	m.advance(now)
	m.expireOffsets() // first: it reads Durable, which a timer may outdate
	for t := m.session.timers.fired(m.now); t != nil; t = m.session.timers.fired(m.now) {
		m.fire(t)
	}
	return m.outcome()
}

// NextDeadline returns when Tick must be called, at the latest. Nothing may
// be due by then: heartbeats do not move it.
func (m *Machine) NextDeadline() time.Time {
	ms := m.expiry.deadline(m.now)
	if at, ok := m.session.timers.next(); ok {
		ms = min(ms, at)
	}
	return time.UnixMilli(ms)
}

// Resume puts off all sessions and barriers by stall: time in which the
// process stood still, so that no member could be heard.
func (m *Machine) Resume(stall time.Duration) {
	m.session.timers.shift(max(stall.Milliseconds(), 0))
}

// Forget drops the reply of a command that is not answered yet: its
// connection is gone. The member stays until its time runs out. Tokens that
// are unknown or answered are ignored.
func (m *Machine) Forget(token Token) {
	mem := m.session.waiting[token]
	if mem == nil {
		return
	}
	delete(m.session.waiting, token)
	if mem.joinToken == token {
		mem.joinToken = 0
	}
	if mem.syncToken == token {
		mem.syncToken = 0
	}
}

// Apply takes in one fact; see Durable.Apply.
func (m *Machine) Apply(e Entry) { m.durable.Apply(e) }

// Durable returns the durable half, to take snapshots of.
func (m *Machine) Durable() *Durable { return m.durable }

// Waiting returns the number of commands that are not answered yet.
func (m *Machine) Waiting() int { return len(m.session.waiting) }

func (m *Machine) advance(now time.Time) { m.now = max(m.now, now.UnixMilli()) }

func (m *Machine) outcome() ([]Entry, []Reply) {
	entries, replies := m.entries, m.replies
	m.entries, m.replies = nil, nil
	return entries, replies
}

func (m *Machine) emit(e Entry) { m.entries = append(m.entries, e) }

// reply answers token; nobody, if it is zero.
func (m *Machine) reply(token Token, body Body) {
	if token != 0 {
		delete(m.session.waiting, token)
		m.replies = append(m.replies, Reply{Token: token, Body: body})
	}
}

// fire does what an armed timer was armed for.
func (m *Machine) fire(t *timer) {
	switch t.kind {
	case timerSession:
		m.sessionExpired(t.member)
	case timerPending:
		m.dropPending(t.group, t.id)
		m.tryCompleteJoin(t.group)
		m.release(t.group)
	case timerJoin:
		m.joinTimeout(t.group)
	case timerSync:
		m.syncTimeout(t.group)
	}
}

// live returns the group if it has members or ids that were given out.
func (m *Machine) live(id string) *liveGroup { return m.session.groups[id] }

// open returns the live group, made from what is stored if need be.
func (m *Machine) open(id string) *liveGroup {
	g := m.session.groups[id]
	if g == nil {
		var stored Generation
		if d := m.durable.groups[id]; d != nil {
			stored = d.generation
		}
		g = newLiveGroup(id, &stored, &m.session.bytes)
		m.session.groups[id] = g
	}
	return g
}

// release forgets a live group of which Durable knows all there is.
func (m *Machine) release(g *liveGroup) {
	if g.state == Empty && len(g.members) == 0 && len(g.pending) == 0 {
		m.session.timers.disarm(&g.join)
		m.session.timers.disarm(&g.sync)
		if m.session.groups[g.id] == g {
			delete(m.session.groups, g.id)
			m.session.bytes -= groupBytes(g.id) + len(g.protocolType)
		}
	}
}

// state returns the state of a group as others see it.
func (m *Machine) state(id string) State {
	if g := m.live(id); g != nil {
		return g.state
	}
	if m.durable.groups[id] != nil {
		return Empty // Stable ones are live
	}
	return Dead
}

// protocolType returns the protocol type of a group, empty if it has none.
func (m *Machine) protocolType(id string) string {
	if g := m.live(id); g != nil {
		return g.protocolType
	}
	if d := m.durable.groups[id]; d != nil {
		return d.generation.ProtocolType
	}
	return ""
}
