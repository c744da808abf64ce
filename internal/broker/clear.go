package broker

import (
	"context"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
)

// A topic's partitions are opened before the catalogue shows it, and dropped
// after it was hidden. What is left over in between, because a request was
// refused, the disk was full or the process died, is cleared up here.

// clear has each shard let go of what it holds of a topic and the catalogue
// does not show. What cannot be done now is done by maintenance.
func (b *Broker) clear(ctx context.Context, id topic.ID) {
	for _, s := range b.shards {
		_, err := call(ctx, s, func(int64) (struct{}, error) {
			s.clear(id)
			return struct{}{}, nil
		})
		if err != nil {
			b.cfg.Logger.Warn("partitions that no topic has stay until the next start", "error", err)
		}
	}
}

// clearAll does so for all topics.
func (s *shard) clearAll(ctx context.Context) error {
	_, err := call(ctx, s, func(int64) (struct{}, error) {
		s.leftovers.Store(false)
		for _, id := range s.d.logs.Topics() {
			s.clear(id)
		}
		return struct{}{}, nil
	})
	return err
}

// clear decides for one topic. What is being opened is left alone: who opens
// it comes back here if it is not shown. That is asked before the view, where
// partitions are before they are no longer being opened.
func (s *shard) clear(id topic.ID) {
	if s.b.placed.isOpening(id) {
		return
	}
	shown := 0
	if t, ok := s.b.TopicByID(TopicID(id)); ok {
		shown = len(t.Partitions)
	}
	if !s.d.logs.HasFrom(id, int32(shown)) {
		return
	}
	if s.room(toFree, 0) != nil {
		s.leftovers.Store(true)
		return
	}
	if shown == 0 {
		e := &topic.Dropped{Topic: id}
		s.log(typeDropped, e, nil, e)
		return
	}
	e := &topic.Closed{Topic: id, From: int32(shown)}
	s.log(typeClosed, e, nil, e)
}
