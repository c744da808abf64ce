package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// Heartbeat (key 12), versions 0 to 4.
//
// Version notes: 3 brings static members.

func (s *Server) heartbeat(rq *request, req *kmsg.HeartbeatRequest, done func(kmsg.Response)) (forget func()) {
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	beat := group.Heartbeat{Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation}
	return s.group(rq, req.Group, beat, func(body group.Body, err error) {
		if err != nil {
			resp.ErrorCode = coordinatorCode(err)
		} else {
			resp.ErrorCode = groupCode(body.(group.HeartbeatReply).Err)
		}
		done(resp)
	})
}
