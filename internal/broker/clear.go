package broker

import (
	"context"
	"maps"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/topic"
)

// A topic's partitions are opened before the catalogue shows it, and dropped
// after it was hidden. A vhost's queues and exchanges come after it, and go after it
// is gone. What is left over in between, because a request was refused, the disk was
// full or the process died, is cleared up here.

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

// clearAll does so for all topics and vhosts.
func (s *shard) clearAll(ctx context.Context) error {
	vhosts, err := call(ctx, s, func(int64) ([]string, error) {
		s.leftovers.Store(false)
		for _, id := range s.d.logs.Topics() {
			s.clear(id)
		}
		return s.vhosts(), nil
	})
	for _, name := range vhosts {
		if _, ok := s.b.access.VHost(name); ok || err != nil {
			continue
		}
		if err = s.clearVHost(ctx, name); isKind(err, StorageFull) {
			err = nil
		}
	}
	return err
}

// vhosts are those that have exchanges or queues in the shard, by name.
func (s *shard) vhosts() []string {
	names := map[string]bool{}
	for _, name := range s.d.routes.VHosts() {
		names[name] = true
	}
	s.d.queues.Each(func(_ queue.ID, spec *queue.Spec) { names[spec.VHost] = true })
	return slices.Sorted(maps.Keys(names))
}

// clearVHostMost is how many queues one call deletes.
const clearVHostMost = 1000

// clearVHost ends what is in a vhost that is no more: first that anything can be
// declared there, then the queues. One that is shown is left alone: it was made anew,
// after it was cleared. What a full disk does not let go of is left over.
func (s *shard) clearVHost(ctx context.Context, name string) error {
	var ids []queue.ID
	for first := true; first || len(ids) > 0; first = false {
		left, err := call(ctx, s, func(now int64) ([]queue.ID, error) {
			if _, ok := s.b.access.VHost(name); ok {
				return nil, nil
			}
			if err := s.room(toFree, 0); err != nil {
				s.leftovers.Store(true)
				return nil, err
			}
			left := ids
			if first {
				s.logRoutes(s.d.routes.DecideClose(name))
				left = s.d.queues.InVHost(name) // there will be no more
			}
			n := min(clearVHostMost, len(left))
			for _, id := range left[:n] {
				s.decideQueues(now, &queue.Delete{Queue: id}, nil)
			}
			s.releaseEffects()
			return left[n:], nil
		})
		if err != nil {
			return err
		}
		ids = left
	}
	return nil
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
