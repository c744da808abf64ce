package kafka

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// ListGroups (key 16), versions 0 to 5.
//
// Version notes: 4 brings states and a filter by them, 5 types, all of which
// are "classic" here.

func (s *Server) listGroups(rq *request, req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	bodies, err := s.broker.EachGroupShard(rq.ctx, group.ListGroups{States: req.StatesFilter, Types: req.TypesFilter})
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
