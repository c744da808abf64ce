package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// LeaveGroup (key 13), versions 0 to 5.
//
// Version notes: before 3 one member leaves, and its outcome is the response's
// error; from 3 on several may, static members by their instance id alone, each
// with an outcome. 5 brings a reason, which is not kept.

func (s *Server) leaveGroup(rq *request, req *kmsg.LeaveGroupRequest, done func(kmsg.Response)) (forget func()) {
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	leave := group.Leave{Group: req.Group}
	if rq.version < 3 {
		leave.Members = []group.LeavingMember{{MemberID: req.MemberID}}
	}
	for _, m := range req.Members {
		leave.Members = append(leave.Members, group.LeavingMember{MemberID: m.MemberID, InstanceID: text(m.InstanceID)})
	}
	return s.group(rq, req.Group, leave, func(body group.Body, err error) {
		if err != nil {
			resp.ErrorCode = coordinatorCode(err)
		} else {
			fillLeave(resp, body.(group.LeaveReply))
		}
		done(resp)
	})
}

func fillLeave(resp *kmsg.LeaveGroupResponse, r group.LeaveReply) {
	resp.ErrorCode = groupCode(r.Err)
	for _, m := range r.Members {
		if resp.Version < 3 {
			resp.ErrorCode = groupCode(m.Err)
			return
		}
		rm := kmsg.NewLeaveGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ErrorCode = m.MemberID, nullable(m.InstanceID), groupCode(m.Err)
		resp.Members = append(resp.Members, rm)
	}
}
