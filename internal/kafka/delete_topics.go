package kafka

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics (key 20), versions 1 to 6.
//
// Behaviour: the deletion is durable when it is answered; the disk space comes
// back later. With delete.topic.enable=false, TOPIC_DELETION_DISABLED.
//
// Version notes: 5 brings error texts; 6 names topics by name or by id.

func (s *Server) deleteTopics(rq *request, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	wanted := req.Topics
	for i := range req.TopicNames {
		wanted = append(wanted, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
	}
	rq.lend()
	for i := range wanted {
		if rq.gone() {
			break
		}
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID = wanted[i].Topic, wanted[i].TopicID
		if err := s.deleteTopic(rq, &wanted[i], &t); err != nil {
			t.ErrorCode, t.ErrorMessage = code(err), message(err)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (s *Server) deleteTopic(rq *request, want *kmsg.DeleteTopicsRequestTopic, t *kmsg.DeleteTopicsResponseTopic) error {
	if !s.broker.Settings().DeleteTopics {
		if rq.version < 3 {
			return kerr.InvalidRequest // the other code is not known there
		}
		return kerr.TopicDeletionDisabled
	}
	byID := want.TopicID != [16]byte{}
	if byID == (want.Topic != nil) {
		return refuse(kerr.InvalidRequest, "a topic must be given by its name or by its id")
	}
	topic, err := s.topic(byID, text(want.Topic), want.TopicID)
	if err != nil {
		return err
	}
	t.Topic, t.TopicID = &topic.Name, topic.ID
	return s.broker.DeleteTopic(rq.ctx, topic.ID)
}
