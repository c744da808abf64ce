package kafka

import (
	"cmp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// ListGroups (key 16), versions 0 to 5.
//
// Version notes: 4 brings states and a filter by them, 5 types, all of which
// are "classic" here.

func (s *Server) listGroups(rq *request, req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	list, ok := groupFilter(req)
	if !ok {
		return resp
	}
	rq.lend()
	bodies, err := s.broker.EachGroupShard(rq.ctx, list)
	if err == nil && !rq.resize(answerBytes+listedBytes(bodies)) {
		err = errNoRoom
	}
	if err != nil {
		resp.ErrorCode = coordinatorCode(err)
		return resp
	}
	for _, body := range bodies {
		for _, g := range body.(group.ListReply).Groups {
			rg := kmsg.NewListGroupsResponseGroup()
			rg.Group, rg.ProtocolType, rg.GroupState, rg.GroupType = g.Group, g.ProtocolType, g.State.String(), g.Type
			resp.Groups = append(resp.Groups, rg)
		}
	}
	slices.SortFunc(resp.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return cmp.Compare(a.Group, b.Group) })
	return resp
}

// listGroupsBytes is what a list of very many groups takes before it is
// known how long it is.
func listGroupsBytes(*kmsg.ListGroupsRequest) int64 { return 8 << 20 }

func listedBytes(bodies []group.Body) int64 {
	n := int64(0)
	for _, body := range bodies {
		for _, g := range body.(group.ListReply).Groups {
			n += listedGroupBytes + longTextTimes*int64(len(g.Group)+len(g.ProtocolType))
		}
	}
	return n
}

// groupFilter keeps of each filter what can let a group through, each once:
// the broker compares it with every group. It is false if nothing can.
func groupFilter(req *kmsg.ListGroupsRequest) (list group.ListGroups, ok bool) {
	var states []string
	for s := group.Dead; s <= group.Stable; s++ {
		states = append(states, s.String())
	}
	list.States = known(req.StatesFilter, states)
	list.Types = known(req.TypesFilter, []string{"classic"})
	nothing := len(req.StatesFilter) > 0 && len(list.States) == 0 || len(req.TypesFilter) > 0 && len(list.Types) == 0
	return list, !nothing
}

// known are those of all that the filter names, in whatever case.
func known(filter, all []string) []string {
	var found []string
	for _, name := range all {
		if slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) }) {
			found = append(found, name)
		}
	}
	return found
}
