package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// DescribeProducers (key 61), version 0.
//
// Behaviour: lists the idempotent producers that a partition remembers. There
// are no transactions, so none has one open.

func (s *Server) describeProducers(rq *request, req *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
	type place struct {
		topic     string
		partition int32
	}
	named := once[place]{}
	rq.lend()
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = rt.Topic
		for _, index := range rt.Partitions {
			if rq.gone() {
				return resp
			}
			if !named.first(place{rt.Topic, index}) {
				continue
			}
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = index
			part, err := s.namedPartition(rt.Topic, index)
			if err == nil {
				p.ActiveProducers, err = s.activeProducers(rq, part)
			}
			p.ErrorCode, p.ErrorMessage = code(err), message(err)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) activeProducers(rq *request, part *broker.Partition) ([]kmsg.DescribeProducersResponseTopicPartitionActiveProducer, error) {
	known, err := s.broker.Producers(rq.ctx, part)
	if err != nil {
		return nil, err
	}
	if !rq.grow(producerBytes * int64(len(known))) {
		return nil, kerr.NotLeaderForPartition // on which clients try again
	}
	var active []kmsg.DescribeProducersResponseTopicPartitionActiveProducer
	for _, k := range known {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = k.ID, int32(k.Epoch), k.LastSequence, k.LastTime
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = -1, -1
		active = append(active, a)
	}
	return active, nil
}
