package kafka

import (
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
// response at once (Kafka answers LEADER_NOT_AVAILABLE first, as here for more
// than createTopicsMax in one request).
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
	if wantsAllTopics(req) {
		all := s.broker.Topics()
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(all))
		for _, t := range all {
			resp.Topics = append(resp.Topics, b.topic(t))
		}
		return resp
	}
	create := s.creates(req)
	named := once[topicRef]{}
	for i := range req.Topics {
		if t := &req.Topics[i]; named.first(refOf(t)) {
			resp.Topics = append(resp.Topics, b.asked(rq, t, create))
		}
	}
	return resp
}

// topicRef names a topic as a request does: by name, or by id.
type topicRef struct {
	name string
	id   [16]byte
}

func refOf(t *kmsg.MetadataRequestTopic) topicRef { return topicRef{text(t.Topic), t.TopicID} }

func wantsAllTopics(req *kmsg.MetadataRequest) bool {
	return req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
}

// creates says whether the request creates topics that are not there.
func (s *Server) creates(req *kmsg.MetadataRequest) bool {
	return (req.Version < 4 || req.AllowAutoTopicCreation) && s.broker.Settings().AutoCreateTopics
}

// metadataBytes is what the response takes.
func (s *Server) metadataBytes(req *kmsg.MetadataRequest) int64 {
	if wantsAllTopics(req) {
		return answerBytes + s.allMetadataBytes()
	}
	created := int64(0)
	if s.creates(req) {
		created = int64(s.broker.Settings().NumPartitions)
	}
	n := int64(answerBytes)
	named := once[topicRef]{}
	for i := range req.Topics {
		t := &req.Topics[i]
		if !named.first(refOf(t)) {
			continue
		}
		n += topicMetadataBytes + longTextTimes*int64(len(text(t.Topic)))
		if known := s.namedOrID(t); known != nil {
			n += partMetadataBytes * int64(len(known.Partitions))
		} else {
			n += partMetadataBytes * created
		}
	}
	return n
}

// namedOrID is the topic that a request means, nil if it is not there.
func (s *Server) namedOrID(t *kmsg.MetadataRequestTopic) *broker.Topic {
	known, err := s.topic(byID(t), text(t.Topic), t.TopicID)
	if err != nil {
		return nil
	}
	return known
}

func byID(t *kmsg.MetadataRequestTopic) bool { return t.Topic == nil || t.TopicID != [16]byte{} }

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
	created    int
}

// asked answers for one topic of the request.
func (b *topicMetadata) asked(rq *request, want *kmsg.MetadataRequestTopic, create bool) kmsg.MetadataResponseTopic {
	if byID(want) {
		t, err := b.s.topic(true, "", want.TopicID)
		if err != nil {
			return b.failed(want, err)
		}
		return b.topic(t)
	}
	t, err := b.s.topic(false, *want.Topic, [16]byte{})
	if err != nil && create {
		t, err = b.create(rq, *want.Topic)
	} else if err != nil {
		err = b.s.nameError(*want.Topic, err)
	}
	if err != nil {
		return b.failed(want, err)
	}
	return b.topic(t)
}

func (b *topicMetadata) create(rq *request, name string) (*broker.Topic, error) {
	if b.created++; b.created > createTopicsMax || rq.gone() {
		return nil, kerr.LeaderNotAvailable
	}
	return b.s.autoCreate(rq, name)
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
func (s *Server) autoCreate(rq *request, name string) (*broker.Topic, error) {
	rq.lend()
	spec := broker.TopicSpec{Name: name, Partitions: s.broker.Settings().NumPartitions}
	if internal(name) {
		spec.Partitions = 1
	}
	t, err := s.broker.CreateTopic(rq.ctx, spec)
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
	// Without partitions nothing but the name is looked at: not whether it
	// collides with that of one of all topics.
	check := s.broker.CheckTopic(broker.TopicSpec{Name: name})
	var be *broker.Error
	if errors.As(check, &be) && be.Kind == broker.InvalidTopic {
		return kerr.InvalidTopicException
	}
	return err
}
