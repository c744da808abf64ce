package broker

import (
	"context"
	"hash/fnv"
	"maps"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/topic"
)

// CreateTopic creates a topic: each shard opens its partitions first, then
// the catalogue shows it. When it returns nil the topic is durable and in the
// view. Once it has begun it does not stop halfway when ctx ends.
func (b *Broker) CreateTopic(ctx context.Context, spec TopicSpec) (*Topic, error) {
	if err := b.CheckTopic(spec); err != nil {
		return nil, err
	}
	return b.createTopic(ctx, spec)
}

// createTopic creates a topic that CheckTopic has let through.
func (b *Broker) createTopic(ctx context.Context, spec TopicSpec) (*Topic, error) {
	created := &topic.Created{ID: b.newID(), Name: spec.Name, Settings: maps.Clone(spec.Settings)}
	err := b.openAndShow(ctx, created.ID, 0, spec.Partitions, func(shards []uint32) error {
		created.Shards = shards
		return b.logCreated(created)
	})
	if err != nil {
		return nil, err
	}
	t, ok := b.TopicByID(TopicID(created.ID))
	if !ok {
		return nil, errf(UnknownTopic, "topic %q was deleted at once", spec.Name)
	}
	return t, nil
}

// logCreated decides, in the home shard's sequencer, whether the topic may be.
func (b *Broker) logCreated(e *topic.Created) error {
	home := b.shards[0]
	if home.d.catalog.ByName(e.Name) != nil {
		return errf(TopicExists, "topic %q exists already", e.Name)
	}
	if other := home.d.catalog.Colliding(e.Name); other != "" {
		return errCollides(e.Name, other)
	}
	if err := b.settingsFit(e.Settings, nil); err != nil {
		return err
	}
	if err := home.room(toCommit, int64(topic.SettingsBytes(e.Settings)+len(e.Shards))); err != nil {
		return err
	}
	home.log(typeCreated, e, nil, e)
	return nil
}

// AddPartitions grows a topic to total partitions. Once it has begun it does
// not stop halfway when ctx ends.
func (b *Broker) AddPartitions(ctx context.Context, id TopicID, total int) error {
	t, ok := b.TopicByID(id)
	if !ok {
		return errf(UnknownTopic, "no such topic")
	}
	return b.addPartitions(ctx, t, total)
}

// addPartitions grows a topic that the caller has seen as t.
func (b *Broker) addPartitions(ctx context.Context, t *Topic, total int) error {
	have, id := len(t.Partitions), topic.ID(t.ID)
	if total <= have || total > partitionsMax {
		return errf(InvalidPartitions, "topic %q has %d partitions; %d is not more (at most %d)", t.Name, have, total, partitionsMax)
	}
	return b.openAndShow(ctx, id, have, total, func(shards []uint32) error {
		return b.logGrown(id, have, shards)
	})
}

// logGrown decides, in the home shard's sequencer, whether the topic grows.
func (b *Broker) logGrown(id topic.ID, have int, shards []uint32) error {
	home := b.shards[0]
	t := home.d.catalog.ByID(id)
	if t == nil {
		return errf(UnknownTopic, "no such topic")
	}
	if len(t.Shards) != have {
		return errf(InvalidPartitions, "topic %q was changed meanwhile", t.Name)
	}
	if err := home.room(toCommit, int64(len(shards))); err != nil {
		return err
	}
	e := &topic.Grown{ID: id, Shards: shards}
	home.log(typeGrown, e, nil, e)
	return nil
}

// openAndShow has each shard open its part of the partitions [from, to) of a
// topic, and then the home shard decide to show them. If anything is refused
// on the way, the partitions are closed again. Only a refusal is certain: when
// the log has failed the topic may have them, and the next start finds out.
func (b *Broker) openAndShow(ctx context.Context, id topic.ID, from, to int, show func(shards []uint32) error) error {
	if err := b.placed.begin(id, to-from); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	shards := b.place(id, from, to)
	err := b.openPartitions(ctx, id, from, shards)
	if err == nil {
		_, err = call(ctx, b.shards[0], func(int64) (struct{}, error) { return struct{}{}, show(shards) })
	}
	if isKind(err, Failed) || isKind(err, Stopping) {
		return err // nobody may clear up
	}
	b.placed.end(id, to-from, err == nil)
	if err != nil {
		b.clear(ctx, id)
	}
	return err
}

// place chooses a shard for partitions [from, to): recorded at creation,
// never computed again.
func (b *Broker) place(id topic.ID, from, to int) []uint32 {
	h := fnv.New32a()
	h.Write(id[:])
	shards := make([]uint32, 0, to-from)
	for i := from; i < to; i++ {
		shards = append(shards, (h.Sum32()%uint32(len(b.shards))+uint32(i))%uint32(len(b.shards)))
	}
	return shards
}

// openPartitions has each shard open its part of the partitions that start
// at index first.
func (b *Broker) openPartitions(ctx context.Context, id topic.ID, first int, shards []uint32) error {
	for n, s := range b.shards {
		var mine []int32
		for i, owner := range shards {
			if int(owner) == n {
				mine = append(mine, int32(first+i))
			}
		}
		if len(mine) == 0 {
			continue
		}
		_, err := call(ctx, s, func(int64) (struct{}, error) {
			if err := s.room(toCommit, int64(4*len(mine))); err != nil {
				return struct{}{}, err
			}
			if e, ok := s.d.logs.DecideOpen(id, mine); ok {
				s.log(typeOpened, &e, nil, &e)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DeleteTopic deletes a topic, its data and the offsets committed for it. Once
// it has begun it does not stop halfway when ctx ends.
func (b *Broker) DeleteTopic(ctx context.Context, id TopicID) error {
	type deleted struct {
		name       string
		partitions int
	}
	ctx = context.WithoutCancel(ctx)
	home := b.shards[0]
	t, err := call(ctx, home, func(int64) (deleted, error) {
		t := home.d.catalog.ByID(topic.ID(id))
		if t == nil {
			return deleted{}, errf(UnknownTopic, "no such topic")
		}
		if err := home.room(toFree, 0); err != nil {
			return deleted{}, err
		}
		e := &topic.Deleted{ID: topic.ID(id)}
		home.log(typeDeleted, e, nil, e)
		return deleted{t.Name, len(t.Shards)}, nil
	})
	if err != nil {
		return err
	}
	b.clear(ctx, topic.ID(id))
	b.placed.gone(t.partitions)
	// Offsets that stay are not seen any more: they carry the topic's id.
	if _, err := b.EachGroupShard(ctx, group.TopicDeleted{Topic: t.name, ID: group.TopicID(id)}); err != nil {
		b.cfg.Logger.Warn("offsets of a deleted topic stay until they expire", "topic", t.name, "error", err)
	}
	return nil
}
