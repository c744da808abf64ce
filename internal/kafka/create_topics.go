package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// CreateTopics (key 19), versions 2 to 7.
//
// Behaviour: a topic is durable when it is answered. The replication factor is
// 1, or -1 for the default; more is INVALID_REPLICATION_FACTOR, unless the
// server was told to clamp it. Manual assignments must name this node. A topic
// that is named twice is INVALID_REQUEST. The timeout is not used.
//
// Version notes: from 4 on -1 partitions means num.partitions; older requests
// may say so too. 5 brings partitions, replicas and settings of the new topic
// into the response, 7 its id.

// createTopicsMax bounds the topics of one request, as in Kafka.
const createTopicsMax = 10_000

func (s *Server) createTopics(rq *request, req *kmsg.CreateTopicsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
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
		var t kmsg.CreateTopicsResponseTopic
		var err error
		if len(req.Topics) > createTopicsMax {
			err = refuse(kerr.PolicyViolation, fmt.Sprintf("more than %d topics in one request", createTopicsMax))
		} else if times[rt.Topic] > 1 {
			err = refuse(kerr.InvalidRequest, "the request names this topic twice")
		} else {
			t, err = s.createTopic(rq.ctx, rt, req.ValidateOnly)
		}
		if err != nil {
			t = kmsg.NewCreateTopicsResponseTopic()
			t.Topic, t.ErrorCode, t.ErrorMessage = rt.Topic, code(err), message(err)
			t.NumPartitions, t.ReplicationFactor = -1, -1
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// createTopicsBytes is what the response takes.
func createTopicsBytes(req *kmsg.CreateTopicsRequest) int64 {
	n := int64(answerBytes)
	for i := range req.Topics {
		rt := &req.Topics[i]
		n += answerElementBytes + longTextTimes*int64(len(rt.Topic))
		if len(req.Topics) > createTopicsMax {
			continue
		}
		n += createdTopicBytes
		for _, c := range rt.Configs {
			n += longTextTimes * int64(len(c.Name)+len(text(c.Value)))
		}
	}
	return n
}

func (s *Server) createTopic(ctx context.Context, rt *kmsg.CreateTopicsRequestTopic, validateOnly bool) (kmsg.CreateTopicsResponseTopic, error) {
	t := kmsg.NewCreateTopicsResponseTopic()
	spec, err := s.topicSpec(rt)
	if err != nil {
		return t, err
	}
	if validateOnly {
		err = s.broker.CheckTopic(spec)
	} else {
		var made *broker.Topic
		if made, err = s.broker.CreateTopic(ctx, spec); err == nil {
			t.TopicID = made.ID
		}
	}
	if err != nil {
		return t, err
	}
	t.Topic, t.NumPartitions, t.ReplicationFactor = rt.Topic, int32(spec.Partitions), 1
	t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	st := s.broker.Settings()
	for _, e := range st.DescribeTopic(spec.Settings) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = e.Name, settingValue(&e), int8(sourceCodes[e.Source])
		t.Configs = append(t.Configs, c)
	}
	return t, nil
}

// topicSpec is what a request asks for.
func (s *Server) topicSpec(rt *kmsg.CreateTopicsRequestTopic) (broker.TopicSpec, error) {
	spec := broker.TopicSpec{Name: rt.Topic, Partitions: int(rt.NumPartitions), Settings: map[string]string{}}
	var err error
	if len(rt.ReplicaAssignment) > 0 {
		spec.Partitions, err = s.assignedPartitions(rt)
	} else {
		if rt.NumPartitions == -1 {
			spec.Partitions = s.broker.Settings().NumPartitions
		}
		err = s.checkReplicas(rt.ReplicationFactor)
	}
	if err != nil {
		return spec, err
	}
	for _, c := range rt.Configs {
		if c.Value == nil {
			return spec, refuse(kerr.InvalidConfig, "setting "+c.Name+" has no value")
		}
		if err := checkSettingSize(c.Name, *c.Value); err != nil {
			return spec, err
		}
		spec.Settings[c.Name] = *c.Value
	}
	return spec, nil
}

func (s *Server) checkReplicas(n int16) error {
	switch {
	case n == 1 || n == -1 || n > 1 && s.cfg.ClampReplicationFactor:
		return nil
	case n > 1:
		return refuse(kerr.InvalidReplicationFactor, fmt.Sprintf("replication factor %d: there is 1 broker", n))
	}
	return refuse(kerr.InvalidReplicationFactor, fmt.Sprintf("replication factor %d: it must be 1, or -1 for the default", n))
}

// assignedPartitions counts the partitions of a manual assignment, which must
// be numbered from 0 without gaps.
func (s *Server) assignedPartitions(rt *kmsg.CreateTopicsRequestTopic) (int, error) {
	if rt.NumPartitions != -1 || rt.ReplicationFactor != -1 {
		return 0, refuse(kerr.InvalidRequest, "with a manual assignment, partitions and replication factor must be -1")
	}
	seen := make([]bool, len(rt.ReplicaAssignment))
	for _, a := range rt.ReplicaAssignment {
		if a.Partition < 0 || int(a.Partition) >= len(seen) || seen[a.Partition] {
			return 0, refuse(kerr.InvalidReplicaAssignment, "partitions must be numbered from 0 without gaps")
		}
		seen[a.Partition] = true
		if err := s.checkAssignment(a.Replicas); err != nil {
			return 0, err
		}
	}
	return len(seen), nil
}

func (s *Server) checkAssignment(replicas []int32) error {
	if len(replicas) == 1 && replicas[0] == s.cfg.NodeID || len(replicas) > 0 && s.cfg.ClampReplicationFactor {
		return nil
	}
	return refuse(kerr.InvalidReplicaAssignment, fmt.Sprintf("the only replica of a partition must be node %d", s.cfg.NodeID))
}
