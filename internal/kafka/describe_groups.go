package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// DescribeGroups (key 15), versions 0 to 6.
//
// Version notes: 3 can ask for the allowed operations, 4 brings instance ids.
// Before 6 a group that is not known is Dead without an error; from 6 on it is
// GROUP_ID_NOT_FOUND too, with a text.

func (s *Server) describeGroups(rq *request, req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	named := once[string]{}
	rq.lend()
	for _, id := range req.Groups {
		if rq.gone() {
			break
		}
		if !named.first(id) {
			continue
		}
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State = id, group.Dead.String()
		g.AuthorizedOperations = operations(req.IncludeAuthorizedOperations, groupOperations)
		cmd := group.DescribeGroups{Groups: []string{id}, UnknownIsError: rq.version >= 6}
		body, err := s.broker.GroupWait(rq.ctx, id, cmd)
		if err != nil {
			g.ErrorCode, g.ErrorMessage = coordinatorCode(err), message(err)
		} else if d := &body.(group.DescribeReply).Groups[0]; rq.grow(describedBytes(d)) {
			fillGroup(&g, d)
		} else {
			g.ErrorCode, g.ErrorMessage = code(errNoRoom), message(errNoRoom)
		}
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

// describedBytes is what a group takes in the response.
func describedBytes(d *group.DescribedGroup) int64 {
	n := int64(0)
	for i := range d.Members {
		m := &d.Members[i]
		texts := len(m.MemberID) + len(m.InstanceID) + len(m.ClientID) + len(m.ClientHost) + len(m.Metadata) + len(m.Assignment)
		n += describedMemberBytes + longTextTimes*int64(texts)
	}
	return n
}

func fillGroup(g *kmsg.DescribeGroupsResponseGroup, d *group.DescribedGroup) {
	g.ErrorCode, g.ErrorMessage = groupCode(d.Err), reason(d.Err, d.Group)
	g.State, g.ProtocolType, g.Protocol = d.State.String(), d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		rm := kmsg.NewDescribeGroupsResponseGroupMember()
		rm.MemberID, rm.InstanceID = m.MemberID, nullable(m.InstanceID)
		rm.ClientID, rm.ClientHost = m.ClientID, m.ClientHost
		rm.ProtocolMetadata, rm.MemberAssignment = m.Metadata, m.Assignment
		g.Members = append(g.Members, rm)
	}
}
