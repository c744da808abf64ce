package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// topic finds a topic by id or by name. The error has the code for that.
func (s *Server) topic(byID bool, name string, id [16]byte) (*broker.Topic, error) {
	if byID {
		if t, ok := s.broker.TopicByID(id); ok {
			return t, nil
		}
		return nil, kerr.UnknownTopicID
	}
	if t, ok := s.broker.Topic(name); ok {
		return t, nil
	}
	return nil, kerr.UnknownTopicOrPartition
}

// partition finds a partition of a topic.
func partition(t *broker.Topic, index int32) (*broker.Partition, error) {
	if index < 0 || int(index) >= len(t.Partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	return t.Partitions[index], nil
}

// namedPartition finds a partition by the name of its topic.
func (s *Server) namedPartition(name string, index int32) (*broker.Partition, error) {
	t, err := s.topic(false, name, [16]byte{})
	if err != nil {
		return nil, err
	}
	return partition(t, index)
}

// checkEpoch compares the leader epoch that a client knows (negative: none)
// with the partition's.
func checkEpoch(known, current int32) error {
	switch {
	case known < 0 || known == current:
		return nil
	case known < current:
		return kerr.FencedLeaderEpoch
	default:
		return kerr.UnknownLeaderEpoch
	}
}

// The operations of KIP-430 that each kind of resource has, as a bit field of
// their codes. Nobody is refused anything yet, so all are allowed.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11 // read, write, create, delete, alter, describe, (describe|alter)Configs
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12       // create, alter, describe, clusterAction, (describe|alter)Configs, idempotentWrite
	groupOperations   = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11                      // read, delete, describe, (describe|alter)Configs
	operationsUnknown = -1 << 31                                                // not asked for
)

// operations is all if they were asked for.
func operations(asked bool, all int32) int32 {
	if asked {
		return all
	}
	return operationsUnknown
}

// offsetsTopic is where Kafka keeps committed offsets. They are elsewhere
// here, but tools and clients look for the topic and for its being internal,
// so it is there, empty, from the first search for a group's coordinator on.
const offsetsTopic = "__consumer_offsets"

// internal says whether a topic is the broker's own: clients leave it out of
// patterns, and nobody produces to it.
func internal(name string) bool { return name == offsetsTopic }

// ensureOffsetsTopic creates the topic if it is not there. Nothing depends on
// it, so a failure is only logged.
func (s *Server) ensureOffsetsTopic(rq *request) {
	if _, ok := s.broker.Topic(offsetsTopic); ok {
		return
	}
	if _, err := s.autoCreate(rq, offsetsTopic); err != nil {
		s.cfg.Logger.Debug("cannot create the topic "+offsetsTopic, "error", err)
	}
}

// replicas is where every partition is: on this node.
func (s *Server) replicas() []int32 { return []int32{s.cfg.NodeID} }

// once answers true the first time that it is asked about a key. What a client
// names twice is answered once, so that a small request cannot ask for the
// same long answer many times.
type once[K comparable] map[K]struct{}

func (o once[K]) has(k K) bool {
	_, seen := o[k]
	return seen
}

func (o once[K]) first(k K) bool {
	_, seen := o[k]
	o[k] = struct{}{}
	return !seen
}
