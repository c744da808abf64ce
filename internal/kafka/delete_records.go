package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// DeleteRecords (key 21), versions 0 to 2.
//
// Behaviour: moves the log start up to an offset, -1 for the high watermark;
// it is durable when it is answered. Above the high watermark is
// OFFSET_OUT_OF_RANGE; below the log start changes nothing.

func (s *Server) deleteRecords(rq *request, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	rq.lend()
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = rt.Topic
		for _, want := range rt.Partitions {
			if rq.gone() {
				return resp
			}
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			p.Partition, p.LowWatermark = want.Partition, -1
			part, err := s.namedPartition(rt.Topic, want.Partition)
			if err == nil {
				var start int64
				if start, err = s.broker.DeleteRecords(rq.ctx, part, want.Offset); err == nil {
					p.LowWatermark = start
				}
			}
			p.ErrorCode = code(err)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
