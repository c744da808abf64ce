package kafka

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// SyncGroup (key 14), versions 0 to 5.
//
// Behaviour: the answer comes when the leader has handed in the assignments
// and they are durable; requests that follow on the connection do not wait.
//
// Version notes: 3 brings static members, 5 the protocol's type and name, which
// must then be the group's.

func (s *Server) syncGroup(rq *request, req *kmsg.SyncGroupRequest, done func(kmsg.Response)) (forget func()) {
	resp := req.ResponseKind().(*kmsg.SyncGroupResponse)
	sync := group.Sync{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
		ProtocolType: text(req.ProtocolType), Protocol: text(req.Protocol),
	}
	for _, a := range req.GroupAssignment {
		sync.Assignments = append(sync.Assignments, group.Assignment{MemberID: a.MemberID, Data: bytes.Clone(a.MemberAssignment)})
	}
	return s.group(rq, req.Group, sync, func(body group.Body, err error) {
		if err != nil {
			resp.ErrorCode = coordinatorCode(err)
		} else {
			r := body.(group.SyncReply)
			resp.ErrorCode, resp.MemberAssignment = groupCode(r.Err), r.Assignment
			resp.ProtocolType, resp.Protocol = nullable(r.ProtocolType), nullable(r.Protocol)
		}
		done(resp)
	})
}
