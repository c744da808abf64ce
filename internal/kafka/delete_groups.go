package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// DeleteGroups (key 42), versions 0 to 2.
//
// Behaviour: deletes groups without members, and their offsets.

func (s *Server) deleteGroups(rq *request, req *kmsg.DeleteGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	rq.lend()
	for _, id := range req.Groups {
		if rq.gone() {
			break
		}
		g := kmsg.NewDeleteGroupsResponseGroup()
		g.Group = id
		body, err := s.broker.GroupWait(rq.ctx, id, group.DeleteGroups{Groups: []string{id}})
		if err != nil {
			g.ErrorCode, g.ErrorMessage = coordinatorCode(err), message(err)
		} else {
			k := body.(group.DeleteGroupsReply).Groups[0].Err
			g.ErrorCode, g.ErrorMessage = groupCode(k), reason(k, id)
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}
