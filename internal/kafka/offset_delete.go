package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// OffsetDelete (key 47), version 0.
//
// Behaviour: partitions that are not there are UNKNOWN_TOPIC_OR_PARTITION;
// those of a topic that a live member subscribes to are
// GROUP_SUBSCRIBED_TO_TOPIC.

func (s *Server) offsetDelete(rq *request, req *kmsg.OffsetDeleteRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	cmd := group.DeleteOffsets{Group: req.Group}
	var places []*kmsg.OffsetDeleteResponseTopicPartition
	resp.Topics = make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	for i := range req.Topics {
		rt, t := &req.Topics[i], &resp.Topics[i]
		t.Topic = rt.Topic
		t.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(rt.Partitions))
		tp := group.TopicPartitions{Topic: rt.Topic}
		for j := range rt.Partitions {
			place := &t.Partitions[j]
			place.Partition = rt.Partitions[j].Partition
			if _, err := s.namedPartition(rt.Topic, place.Partition); err != nil {
				place.ErrorCode = code(err)
				continue
			}
			tp.Partitions = append(tp.Partitions, place.Partition)
			places = append(places, place)
		}
		if len(tp.Partitions) > 0 {
			cmd.Topics = append(cmd.Topics, tp)
		}
	}
	rq.lend()
	body, err := s.broker.GroupWait(rq.ctx, req.Group, cmd)
	if err != nil {
		resp.ErrorCode, resp.Topics = coordinatorCode(err), nil
		return resp
	}
	r := body.(group.DeleteOffsetsReply)
	if r.Err != group.None {
		resp.ErrorCode, resp.Topics = groupCode(r.Err), nil
		return resp
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			places[0].ErrorCode = groupCode(p.Err)
			places = places[1:]
		}
	}
	return resp
}
