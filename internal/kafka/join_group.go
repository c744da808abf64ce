package kafka

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// JoinGroup (key 11), versions 0 to 9.
//
// Behaviour: the answer comes when the group's rebalance is complete; requests
// that follow on the connection do not wait for it. A join whose connection is
// lost is forgotten.
//
// Version notes: 0 has no rebalance timeout and takes the session's. From 4 on
// a new dynamic member is told its id first, with MEMBER_ID_REQUIRED; before,
// that would make old clients (kafka-go) try for ever. 5 brings static members.
// 9 can tell a leader to skip its assignment (KIP-814).

func (s *Server) joinGroup(rq *request, req *kmsg.JoinGroupRequest, done func(kmsg.Response)) (forget func()) {
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	join := group.Join{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID),
		ClientID: rq.clientID, ClientHost: clientHost(rq),
		SessionTimeout: millis(req.SessionTimeoutMillis), ProtocolType: req.ProtocolType,
		RequireKnownMember: rq.version >= 4, SkipAssignment: rq.version >= 9,
		MemberIDSuffix: newUUID(),
	}
	if rq.version >= 1 {
		join.RebalanceTimeout = millis(req.RebalanceTimeoutMillis)
	}
	for _, p := range req.Protocols {
		join.Protocols = append(join.Protocols, group.Protocol{Name: p.Name, Metadata: bytes.Clone(p.Metadata)})
	}
	return s.group(rq, req.Group, join, func(body group.Body, err error) {
		if err != nil {
			resp.ErrorCode, resp.Generation, resp.MemberID = coordinatorCode(err), group.NoGeneration, req.MemberID
		} else {
			fillJoin(resp, body.(group.JoinReply))
		}
		done(resp)
	})
}

func fillJoin(resp *kmsg.JoinGroupResponse, r group.JoinReply) {
	resp.ErrorCode, resp.Generation, resp.MemberID = groupCode(r.Err), r.Generation, r.MemberID
	resp.ProtocolType, resp.Protocol = nullable(r.ProtocolType), nullable(r.Protocol)
	resp.LeaderID, resp.SkipAssignment = r.Leader, r.SkipAssignment
	for _, m := range r.Members {
		rm := kmsg.NewJoinGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ProtocolMetadata = m.MemberID, nullable(m.InstanceID), m.Metadata
		resp.Members = append(resp.Members, rm)
	}
}
