package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
)

// OffsetFetch (key 9), versions 1 to 10.
//
// Behaviour: a partition without an offset has offset -1 and no error, and so
// has everything of a group that is not known.
//
// Version notes: from 2 on null topics mean all that have an offset. 7 brings
// require_stable, which makes no difference without transactions. From 8 on
// several groups are asked for at once. 9 brings member id and epoch, for the
// new group protocol. 10 names topics by id; one that is not known is
// UNKNOWN_TOPIC_ID.

func (s *Server) offsetFetch(rq *request, req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	rq.lend()
	if rq.version >= 8 {
		named := once[string]{}
		for i := range req.Groups {
			if rq.gone() {
				break
			}
			if g := &req.Groups[i]; g.Topics != nil || named.first(g.Group) {
				resp.Groups = append(resp.Groups, s.fetchGroupOffsets(rq, g))
			}
		}
		return resp
	}
	// The old form is the new one with one group.
	want := kmsg.OffsetFetchRequestGroup{Group: req.Group}
	for _, t := range req.Topics {
		want.Topics = append(want.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	if rq.version < 2 && want.Topics == nil || len(req.Topics) == 0 && req.Topics != nil {
		want.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	got := s.fetchGroupOffsets(rq, &want)
	if rq.version >= 2 {
		resp.ErrorCode = got.ErrorCode
	}
	for _, t := range got.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// fetchGroupOffsets answers for one group.
func (s *Server) fetchGroupOffsets(rq *request, want *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = want.Group
	byID := rq.version >= 10
	ask := group.FetchGroup{Group: want.Group, All: want.Topics == nil}
	for i := range want.Topics {
		wt := &want.Topics[i]
		ft := group.FetchTopic{Topic: wt.Topic, Partitions: wt.Partitions}
		t, err := s.topic(byID, wt.Topic, wt.TopicID)
		switch {
		case err == nil:
			ft.Topic, ft.ID = t.Name, group.TopicID(t.ID)
		case byID:
			resp.Topics = append(resp.Topics, noOffsets(wt, code(kerr.UnknownTopicID)))
			continue
		}
		ask.Topics = append(ask.Topics, ft)
	}
	groups, err := s.askOffsets(rq.ctx, ask)
	if err == nil && !rq.grow(fetchedOffsetsBytes(&groups)) {
		err = errNoRoom
	}
	if err != nil {
		resp.ErrorCode = coordinatorCode(err)
		for i := range want.Topics {
			resp.Topics = append(resp.Topics, noOffsets(&want.Topics[i], resp.ErrorCode))
		}
		return resp
	}
	for i := range groups.Topics {
		if t, ok := s.fetchedTopic(byID, &groups.Topics[i]); ok {
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

func (s *Server) askOffsets(ctx context.Context, ask group.FetchGroup) (group.FetchedGroup, error) {
	body, err := s.broker.GroupWait(ctx, ask.Group, group.FetchOffsets{Groups: []group.FetchGroup{ask}})
	if err != nil {
		return group.FetchedGroup{}, err
	}
	return body.(group.FetchReply).Groups[0], nil
}

// offsetFetchBytes is what the response takes before the broker has said how
// many offsets there are, and what texts go with them.
func (s *Server) offsetFetchBytes(req *kmsg.OffsetFetchRequest) int64 {
	n := int64(answerBytes)
	all := req.Version >= 2 && req.Version < 8 && req.Topics == nil
	for i := range req.Topics {
		n += fetchedTopicBytes(req.Topics[i].Topic, len(req.Topics[i].Partitions))
	}
	for i := range req.Groups {
		g := &req.Groups[i]
		n += answerElementBytes + longTextTimes*int64(len(g.Group))
		all = all || g.Topics == nil
		for j := range g.Topics {
			n += fetchedTopicBytes(g.Topics[j].Topic, len(g.Topics[j].Partitions))
		}
	}
	if all {
		n += topicRefBytes * int64(s.broker.Stats().Partitions)
	}
	return n
}

func fetchedTopicBytes(name string, partitions int) int64 {
	return answerElementBytes + longTextTimes*int64(len(name)) + offsetBytes*int64(partitions)
}

func fetchedOffsetsBytes(g *group.FetchedGroup) int64 {
	n := int64(0)
	for i := range g.Topics {
		n += answerElementBytes + longTextTimes*int64(len(g.Topics[i].Topic))
		for j := range g.Topics[i].Partitions {
			n += offsetBytes + longTextTimes*int64(len(g.Topics[i].Partitions[j].Metadata))
		}
	}
	return n
}

// noOffsets answers for a topic about which there is nothing to say.
func noOffsets(wt *kmsg.OffsetFetchRequestGroupTopic, code int16) kmsg.OffsetFetchResponseGroupTopic {
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic, t.TopicID = wt.Topic, wt.TopicID
	for _, index := range wt.Partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		empty := ""
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = index, group.NoOffset, -1, &empty, code
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// fetchedTopic is false for a topic that has no id to name it by.
func (s *Server) fetchedTopic(byID bool, from *group.FetchedTopic) (kmsg.OffsetFetchResponseGroupTopic, bool) {
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic, t.TopicID = from.Topic, from.ID
	if byID && from.ID == (group.TopicID{}) {
		known, ok := s.broker.Topic(from.Topic)
		if !ok {
			return t, false
		}
		t.TopicID = known.ID
	}
	for _, fp := range from.Partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = fp.Partition, fp.Offset, fp.LeaderEpoch, &fp.Metadata
		t.Partitions = append(t.Partitions, p)
	}
	return t, true
}
