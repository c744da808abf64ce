package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// InitProducerId (key 22), versions 0 to 5.
//
// Behaviour: gives an idempotent producer an id that was never given before,
// with epoch 0. A transactional id is TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
// transactions are not in this version, and this is the code on which every
// client stops at once instead of trying again.
//
// Version notes: from 3 on a producer may name the id that it has; without a
// transactional id it gets a new one all the same, as in Kafka.

func (s *Server) initProducerID(rq *request, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		s.refuseTransaction(kmsg.InitProducerID, rq.clientID, rq.host, *req.TransactionalID)
		resp.ErrorCode = code(errTransactions)
		return resp
	}
	rq.lend()
	id, err := s.broker.NewProducerID(rq.ctx)
	if err != nil {
		resp.ErrorCode = coordinatorCode(err)
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}
