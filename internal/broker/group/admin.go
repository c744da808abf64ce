package group

import (
	"slices"
	"strings"
)

// classicType is what ListGroups calls the groups of this package.
const classicType = "classic"

func (m *Machine) describeGroups(c *DescribeGroups) DescribeReply {
	r := DescribeReply{Groups: make([]DescribedGroup, len(c.Groups))}
	for i, id := range c.Groups {
		r.Groups[i] = m.describe(id)
		if r.Groups[i].State == Dead && c.UnknownIsError {
			r.Groups[i].Err = GroupIDNotFound
		}
	}
	return r
}

func (m *Machine) describe(id string) DescribedGroup {
	d := DescribedGroup{Group: id, State: m.state(id), ProtocolType: m.protocolType(id)}
	g := m.live(id)
	if g == nil {
		return d
	}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, mem := range g.members {
		dm := DescribedMember{
			MemberID:   mem.ID,
			InstanceID: mem.InstanceID,
			ClientID:   mem.ClientID,
			ClientHost: mem.ClientHost,
			Assignment: mem.Assignment,
		}
		if g.state == Stable {
			dm.Metadata = mem.metadata(g.protocol)
		}
		d.Members = append(d.Members, dm)
	}
	return d
}

func (m *Machine) listGroups(c *ListGroups) ListReply {
	var r ListReply
	if !passes(c.Types, classicType) {
		return r
	}
	ids := sortedKeys(m.durable.groups)
	for id := range m.session.groups {
		if m.durable.groups[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		state := m.state(id)
		if passes(c.States, state.String()) {
			r.Groups = append(r.Groups, ListedGroup{Group: id, ProtocolType: m.protocolType(id), State: state, Type: classicType})
		}
	}
	return r
}

// passes reports whether a filter lets name through.
func passes(filter []string, name string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) })
}

func (m *Machine) deleteGroups(c *DeleteGroups) DeleteGroupsReply {
	r := DeleteGroupsReply{Groups: make([]GroupError, len(c.Groups))}
	deleted := map[string]bool{}
	for i, id := range c.Groups {
		r.Groups[i] = GroupError{Group: id, Err: GroupIDNotFound}
		if !deleted[id] {
			r.Groups[i].Err = m.deleteGroup(id)
			deleted[id] = r.Groups[i].Err == None
		}
	}
	return r
}

func (m *Machine) deleteGroup(id string) Kind {
	switch m.state(id) {
	case Dead:
		return GroupIDNotFound
	case Empty:
	default:
		return NonEmptyGroup
	}
	if g := m.live(id); g != nil {
		for pending := range g.pending {
			m.dropPending(g, pending)
		}
		m.release(g)
	}
	if m.durable.groups[id] != nil {
		m.emit(GroupDeleted{Group: id})
	}
	return None
}
