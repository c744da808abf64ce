package kafka

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// OffsetCommit (key 8), versions 2 to 10.
//
// Behaviour: answered when the offsets are durable. Partitions that are not
// there are UNKNOWN_TOPIC_OR_PARTITION (by id UNKNOWN_TOPIC_ID), and the others
// are committed. A commit without member and generation is allowed while the
// group is empty.
//
// Version notes: 2 to 4 may say how long the offsets are kept. 6 brings leader
// epochs, 7 static members. From 9 on an unknown group is GROUP_ID_NOT_FOUND
// (before, ILLEGAL_GENERATION). 10 names topics by id.

// commitCall is one request on its way.
type commitCall struct {
	resp *kmsg.OffsetCommitResponse
	cmd  group.CommitOffsets
	// places are those of the response that the command's partitions answer.
	places []*kmsg.OffsetCommitResponseTopicPartition
}

func (s *Server) offsetCommit(rq *request, req *kmsg.OffsetCommitRequest, done func(kmsg.Response)) (forget func()) {
	call := commitCall{resp: req.ResponseKind().(*kmsg.OffsetCommitResponse)}
	call.cmd = group.CommitOffsets{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
		UnknownIsError: rq.version >= 9,
	}
	if rq.version <= 4 && req.RetentionTimeMillis > 0 {
		call.cmd.Retention = time.Duration(min(req.RetentionTimeMillis, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	call.resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		call.add(s, &req.Topics[i], &call.resp.Topics[i])
	}
	if len(req.Topics) > 0 && len(call.places) == 0 {
		done(call.resp)
		return nil
	}
	return s.group(rq, req.Group, call.cmd, func(body group.Body, err error) {
		call.fill(body, err)
		done(call.resp)
	})
}

// add takes the partitions of a topic that are there into the command.
func (call *commitCall) add(s *Server, rt *kmsg.OffsetCommitRequestTopic, t *kmsg.OffsetCommitResponseTopic) {
	t.Topic, t.TopicID = rt.Topic, rt.TopicID
	t.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(rt.Partitions))
	topic, err := s.topic(call.resp.Version >= 10, rt.Topic, rt.TopicID)
	var ct group.CommitTopic
	if err == nil {
		ct.Topic, ct.ID = topic.Name, group.TopicID(topic.ID)
	}
	for i := range rt.Partitions {
		p, place := &rt.Partitions[i], &t.Partitions[i]
		place.Partition = p.Partition
		perr := err
		if perr == nil {
			_, perr = partition(topic, p.Partition)
		}
		if perr != nil {
			place.ErrorCode = code(perr)
			continue
		}
		call.places = append(call.places, place)
		ct.Partitions = append(ct.Partitions, group.CommitPartition{
			Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: text(p.Metadata),
		})
	}
	if len(ct.Partitions) > 0 {
		call.cmd.Topics = append(call.cmd.Topics, ct)
	}
}

// fill writes the outcome into the response.
func (call *commitCall) fill(body group.Body, err error) {
	if err != nil {
		for _, place := range call.places {
			place.ErrorCode = coordinatorCode(err)
		}
		return
	}
	places := call.places
	for _, t := range body.(group.CommitReply).Topics {
		for _, p := range t.Partitions {
			places[0].ErrorCode = groupCode(p.Err)
			places = places[1:]
		}
	}
}
