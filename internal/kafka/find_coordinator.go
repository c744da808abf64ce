package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator (key 10), versions 0 to 6.
//
// Behaviour: this node coordinates every group. Asked for the coordinator of a
// transaction it answers as InitProducerId does; of a share group,
// INVALID_REQUEST. As in Kafka, the first search creates __consumer_offsets.
//
// Version notes: 1 brings the type of coordinator, 4 several keys at once, 6
// share groups.

func (s *Server) findCoordinator(rq *request, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	if req.CoordinatorType == groupCoordinator {
		s.ensureOffsetsTopic(rq)
	}
	if req.CoordinatorType == transactionCoordinator {
		first := req.CoordinatorKey
		if len(req.CoordinatorKeys) > 0 {
			first = req.CoordinatorKeys[0]
		}
		s.refuseTransaction(kmsg.FindCoordinator, rq.clientID, rq.host, first)
	}
	if req.Version < 4 {
		c := s.coordinator(req.CoordinatorType, req.CoordinatorKey)
		resp.NodeID, resp.Host, resp.Port = c.NodeID, c.Host, c.Port
		resp.ErrorCode, resp.ErrorMessage = c.ErrorCode, c.ErrorMessage
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		resp.Coordinators = append(resp.Coordinators, s.coordinator(req.CoordinatorType, key))
	}
	return resp
}

// The types of coordinators.
const (
	groupCoordinator       = 0
	transactionCoordinator = 1
)

func (s *Server) coordinator(kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port = key, -1, -1
	var err error
	switch kind {
	case groupCoordinator:
		c.NodeID = s.cfg.NodeID
		c.Host, c.Port = s.cfg.Advertised()
		return c
	case transactionCoordinator:
		err = errTransactions
	default:
		err = refuse(kerr.InvalidRequest, "only consumer groups have a coordinator")
	}
	c.ErrorCode, c.ErrorMessage = code(err), message(err)
	return c
}
