package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker"
)

// Metadata (key 3), versions 0 to 13.
//
// Behaviour: this node is the only broker, the controller and the leader of
// everything. A topic that is named, is not there and has a valid name is
// created if the request and auto.create.topics.enable allow it, and is in the
// response at once (Kafka answers LEADER_NOT_AVAILABLE first).
//
// Version notes: an empty list means all topics in version 0 and none from 1
// on, where null means all. Before 4 the request has no say in creation. From
// 8 on it can ask for the allowed operations. From 10 on responses have topic
// ids, from 12 on requests may.

func (s *Server) metadata(rq *request, req *kmsg.MetadataRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.Brokers = append(resp.Brokers, s.metadataBroker())
	cluster := s.broker.ClusterID()
	resp.ClusterID, resp.ControllerID = &cluster, s.cfg.NodeID
	resp.AuthorizedOperations = operations(req.IncludeClusterAuthorizedOperations, clusterOperations)
	b := topicMetadata{s: s, operations: operations(req.IncludeTopicAuthorizedOperations, topicOperations), replicas: s.replicas()}
	if req.Topics == nil || rq.version == 0 && len(req.Topics) == 0 {
		all := s.broker.Topics()
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(all))
		for _, t := range all {
			resp.Topics = append(resp.Topics, b.topic(t))
		}
		return resp
	}
	create := (rq.version < 4 || req.AllowAutoTopicCreation) && s.broker.Settings().AutoCreateTopics
	type name struct {
		name string
		id   [16]byte
	}
	named := once[name]{}
	for i := range req.Topics {
		if t := &req.Topics[i]; named.first(name{text(t.Topic), t.TopicID}) {
			resp.Topics = append(resp.Topics, b.asked(rq.ctx, t, create))
		}
	}
	return resp
}

func (s *Server) metadataBroker() kmsg.MetadataResponseBroker {
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID = s.cfg.NodeID
	b.Host, b.Port = s.cfg.Advertised()
	return b
}

// topicMetadata builds the topics of one response.
type topicMetadata struct {
	s          *Server
	operations int32
	replicas   []int32
}

// asked answers for one topic of the request.
func (b *topicMetadata) asked(ctx context.Context, want *kmsg.MetadataRequestTopic, create bool) kmsg.MetadataResponseTopic {
	if want.Topic == nil || want.TopicID != [16]byte{} {
		t, err := b.s.topic(true, "", want.TopicID)
		if err != nil {
			return b.failed(want, err)
		}
		return b.topic(t)
	}
	t, err := b.s.topic(false, *want.Topic, [16]byte{})
	if err != nil && create {
		t, err = b.s.autoCreate(ctx, *want.Topic)
	} else if err != nil {
		err = b.s.nameError(*want.Topic, err)
	}
	if err != nil {
		return b.failed(want, err)
	}
	return b.topic(t)
}

func (b *topicMetadata) failed(want *kmsg.MetadataRequestTopic, err error) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode, t.Topic, t.TopicID = code(err), want.Topic, want.TopicID
	t.AuthorizedOperations = b.operations
	return t
}

func (b *topicMetadata) topic(of *broker.Topic) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID, t.IsInternal = &of.Name, of.ID, internal(of.Name)
	t.AuthorizedOperations = b.operations
	t.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(of.Partitions))
	for i, p := range of.Partitions {
		at := &t.Partitions[i]
		at.Default()
		at.Partition, at.Leader, at.LeaderEpoch = int32(i), b.s.cfg.NodeID, p.Bounds().Epoch
		at.Replicas, at.ISR = b.replicas, b.replicas
	}
	return t
}

// autoCreate creates a topic that somebody uses.
func (s *Server) autoCreate(ctx context.Context, name string) (*broker.Topic, error) {
	spec := broker.TopicSpec{Name: name, Partitions: s.broker.Settings().NumPartitions}
	if internal(name) {
		spec.Partitions = 1
	}
	t, err := s.broker.CreateTopic(ctx, spec)
	var be *broker.Error
	if errors.As(err, &be) && be.Kind == broker.TopicExists {
		// Somebody else was faster.
		return s.topic(false, name, [16]byte{})
	}
	return t, err
}

// nameError makes err, which says that a topic is not there, say that it
// cannot be there if its name is not a valid one.
func (s *Server) nameError(name string, err error) error {
	check := s.broker.CheckTopic(broker.TopicSpec{Name: name, Partitions: 1})
	var be *broker.Error
	if errors.As(check, &be) && be.Kind == broker.InvalidTopic {
		return kerr.InvalidTopicException
	}
	return err
}
