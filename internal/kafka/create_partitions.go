package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreatePartitions (key 37), versions 0 to 3.
//
// Behaviour: the count is the new total and must be more than there are, else
// INVALID_PARTITIONS. Manual assignments, one for each new partition, must name
// this node. A topic that is named twice is INVALID_REQUEST.

func (s *Server) createPartitions(rq *request, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	times := map[string]int{}
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	rq.lend()
	for i := range req.Topics {
		if rq.gone() {
			break
		}
		rt := &req.Topics[i]
		err := refuse(kerr.InvalidRequest, "the request names this topic twice")
		if times[rt.Topic] == 1 {
			err = s.growTopic(rq.ctx, rt, req.ValidateOnly)
		}
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = rt.Topic, code(err), message(err)
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) growTopic(ctx context.Context, rt *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	t, err := s.topic(false, rt.Topic, [16]byte{})
	if err != nil {
		return err
	}
	added := int(rt.Count) - len(t.Partitions)
	if added <= 0 {
		return refuse(kerr.InvalidPartitions, fmt.Sprintf("the topic has %d partitions already, %d is not more", len(t.Partitions), rt.Count))
	}
	if rt.Assignment != nil && len(rt.Assignment) != added {
		return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("%d partitions are new, %d are assigned", added, len(rt.Assignment)))
	}
	for _, a := range rt.Assignment {
		if err := s.checkAssignment(a.Replicas); err != nil {
			return err
		}
	}
	if validateOnly {
		return nil
	}
	return s.broker.AddPartitions(ctx, t.ID, int(rt.Count))
}
