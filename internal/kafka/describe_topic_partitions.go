package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// DescribeTopicPartitions (key 75), version 0 (KIP-966).
//
// Behaviour: describes topics in the order of names, up to a number of
// partitions that is the smaller of what is asked for and
// max.request.partition.size.limit, and says with a cursor where to go on. No
// topics means all. It creates nothing.

func (s *Server) describeTopicPartitions(_ *request, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	left := s.partitionLimit(req)
	for _, name := range s.namesToDescribe(req) {
		first := 0
		if c := req.Cursor; c != nil && c.Topic == name {
			first = max(0, int(c.Partition))
		}
		if left == 0 {
			resp.NextCursor = cursorAt(name, first)
			break
		}
		t, ok := s.broker.Topic(name)
		if !ok {
			resp.Topics = append(resp.Topics, s.undescribed(name))
			continue
		}
		first = min(first, len(t.Partitions))
		n := min(left, len(t.Partitions)-first)
		resp.Topics = append(resp.Topics, s.describeTopic(t, first, first+n))
		left -= n
		if first+n < len(t.Partitions) {
			resp.NextCursor = cursorAt(name, first+n)
			break
		}
	}
	return resp
}

// partitionLimit is how many partitions the response may have.
func (s *Server) partitionLimit(req *kmsg.DescribeTopicPartitionsRequest) int {
	most := s.broker.Settings().RequestPartitionsMax
	if n := int(req.ResponsePartitionLimit); n > 0 {
		most = min(most, n)
	}
	return most
}

// describeTopicPartitionsBytes is what the response takes, with the names of
// all topics, from which it is chosen.
func (s *Server) describeTopicPartitionsBytes(req *kmsg.DescribeTopicPartitionsRequest) int64 {
	st := s.broker.Stats()
	n := answerBytes + int64(st.Topics)*topicRefBytes
	n += int64(min(s.partitionLimit(req), st.Partitions)) * 2 * partMetadataBytes
	for i := range req.Topics {
		n += topicMetadataBytes + longTextTimes*int64(len(req.Topics[i].Topic))
	}
	if len(req.Topics) == 0 {
		n += int64(min(s.partitionLimit(req), st.Topics)) * topicMetadataBytes
	}
	return n
}

// namesToDescribe are the topics asked for, from the cursor on.
func (s *Server) namesToDescribe(req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	if len(req.Topics) == 0 {
		for _, t := range s.broker.Topics() {
			names = append(names, t.Name)
		}
	}
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil {
		i, _ := slices.BinarySearchFunc(names, req.Cursor.Topic, strings.Compare)
		names = names[i:]
	}
	return names
}

func cursorAt(name string, partition int) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = name, int32(partition)
	return &c
}

func (s *Server) undescribed(name string) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic = &name
	t.ErrorCode = code(s.nameError(name, kerr.UnknownTopicOrPartition))
	return t
}

func (s *Server) describeTopic(of *broker.Topic, from, to int) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic, t.TopicID, t.AuthorizedOperations = &of.Name, of.ID, topicOperations
	t.IsInternal = internal(of.Name)
	for i := from; i < to; i++ {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch = int32(i), s.cfg.NodeID, of.Partitions[i].Bounds().Epoch
		p.Replicas, p.ISR = s.replicas(), s.replicas()
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{}
		t.Partitions = append(t.Partitions, p)
	}
	return t
}
