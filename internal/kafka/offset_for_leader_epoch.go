package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// OffsetForLeaderEpoch (key 23), versions 2 to 4.
//
// Behaviour: says where a leader epoch ended, so that a consumer finds out
// whether its position still exists. A shard begins a new epoch at each start.
// An epoch that is not known has epoch and offset -1 and no error.
//
// Version notes: 3 brings the replica id, which is not looked at.

func (s *Server) offsetForLeaderEpoch(_ *request, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = rt.Topic
		for j := range rt.Partitions {
			t.Partitions = append(t.Partitions, s.epochEnd(rt.Topic, &rt.Partitions[j]))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) epochEnd(topic string, want *kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	r := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	r.Partition, r.LeaderEpoch, r.EndOffset = want.Partition, -1, -1
	p, err := s.namedPartition(topic, want.Partition)
	if err == nil {
		err = checkEpoch(want.CurrentLeaderEpoch, p.Bounds().Epoch)
	}
	if err != nil {
		r.ErrorCode = code(err)
		return r
	}
	end := s.broker.EpochEnd(p, want.LeaderEpoch)
	r.LeaderEpoch, r.EndOffset = end.Epoch, end.End
	return r
}
