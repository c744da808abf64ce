package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/waxwing-mq/waxwing/internal/killpoint"
)

// commitNowAndThen commits until the session ends.
func (s *session) commitNowAndThen() {
	tick := time.NewTicker(s.cfg.commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.commit(s.ctx, nil)
		}
	}
}

// commit commits what is handled of some partitions, or of all that are ours. One
// at a time. What could not be committed is tried again the next time; a kill
// point that fails ends the session.
func (s *session) commit(ctx context.Context, parts []*partition) {
	select {
	case <-s.committing:
		defer func() { s.committing <- struct{}{} }()
	case <-ctx.Done():
		return
	}
	if errors.Is(context.Cause(s.ctx), errAckLost) {
		return
	}
	if parts == nil {
		parts = s.all()
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for _, p := range parts {
		if next, ok := p.toCommit(); ok {
			if offsets[p.at.topic] == nil {
				offsets[p.at.topic] = map[int32]kgo.EpochOffset{}
			}
			offsets[p.at.topic][p.at.partition] = next
		}
	}
	if len(offsets) == 0 {
		return
	}
	if killpoint.At(ctx, killpoint.Ack, killpoint.Before) != nil {
		s.end(errAckLost)
		return
	}
	// It is not cut off when ctx ends: the broker could then take it in after the next one.
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	within = kgo.PreCommitFnContext(within, s.stillOurs)
	s.cl.CommitOffsetsSync(within, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err == nil {
			s.noteCommitted(offsets, resp)
		}
	})
	if killpoint.At(ctx, killpoint.Ack, killpoint.After) != nil {
		s.end(errAckLost)
	}
}

var errNotOurs = errors.New("kafka: the partitions are somebody else's by now")

// stillOurs takes out of a commit, at the moment in which it is sent, what has been given
// up since it was put together: under the group's new generation it would set back what
// the new owner has committed.
func (s *session) stillOurs(req *kmsg.OffsetCommitRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range req.Topics {
		t := &req.Topics[i]
		t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.OffsetCommitRequestTopicPartition) bool {
			return s.parts[topicPartition{t.Topic, p.Partition}] == nil
		})
	}
	req.Topics = slices.DeleteFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool { return len(t.Partitions) == 0 })
	if len(req.Topics) == 0 {
		return errNotOurs
	}
	return nil
}

// noteCommitted notes the partitions of which the answer says no error.
func (s *session) noteCommitted(offsets map[string]map[int32]kgo.EpochOffset, resp *kmsg.OffsetCommitResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range resp.Topics {
		for _, at := range t.Partitions {
			if p := s.parts[topicPartition{t.Topic, at.Partition}]; p != nil && kerr.ErrorForCode(at.ErrorCode) == nil {
				p.isCommitted(offsets[t.Topic][at.Partition].Offset)
			}
		}
	}
}
