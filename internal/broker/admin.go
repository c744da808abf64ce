package broker

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/broker/group"
	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// Limits of the catalogue.
const (
	topicNameMax     = 249 // bytes, as in Kafka
	partitionsMax    = 100_000
	settingsBytesMax = 64 << 10
)

// TopicSpec says what topic to create.
type TopicSpec struct {
	Name       string
	Partitions int               // number of partitions; at least 1
	Settings   map[string]string // overrides
}

// ClusterID is the id of this cluster, made at the first start: 22
// characters of URL-safe base64.
func (b *Broker) ClusterID() string { return b.clusterID }

// CheckTopic says whether the topic could be created now.
func (b *Broker) CheckTopic(spec TopicSpec) error {
	if err := checkTopicName(spec.Name); err != nil {
		return err
	}
	if spec.Partitions < 1 || spec.Partitions > partitionsMax {
		return errf(InvalidPartitions, "a topic has 1 to %d partitions, not %d", partitionsMax, spec.Partitions)
	}
	if _, err := settings.ParseTopic(b.Settings(), spec.Settings); err != nil {
		return errf(InvalidConfig, "%v", err)
	}
	if err := checkSettingsSize(spec.Settings); err != nil {
		return err
	}
	if t, ok := b.Topic(spec.Name); ok {
		return errf(TopicExists, "topic %q exists already", t.Name)
	}
	if !strings.ContainsAny(spec.Name, "._") {
		return nil
	}
	for _, t := range b.Topics() {
		if flatName(t.Name) == flatName(spec.Name) {
			return errf(InvalidTopic, "topic %q collides with %q: '.' and '_' count as the same", spec.Name, t.Name)
		}
	}
	return nil
}

// checkSettingsSize bounds what free text among the settings can take.
func checkSettingsSize(m map[string]string) error {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	if n > settingsBytesMax {
		return errf(InvalidConfig, "settings of %d bytes; at most %d", n, settingsBytesMax)
	}
	return nil
}

// flatName is what metrics make of a name.
func flatName(name string) string { return strings.ReplaceAll(name, ".", "_") }

// checkTopicName applies Kafka's rules for topic names.
func checkTopicName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > topicNameMax {
		return errf(InvalidTopic, "topic name %.260q: it has 1 to %d characters and is not \".\" or \"..\"", name, topicNameMax)
	}
	for _, c := range []byte(name) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
		if !ok {
			return errf(InvalidTopic, "topic name %q: only letters, digits, '.', '_' and '-' are allowed", name)
		}
	}
	return nil
}

// CreateTopic creates a topic: each shard opens its partitions first, then
// the catalogue shows it. When it returns nil the topic is durable and in the
// view.
func (b *Broker) CreateTopic(ctx context.Context, spec TopicSpec) (*Topic, error) {
	if err := b.CheckTopic(spec); err != nil {
		return nil, err
	}
	created := &topic.Created{ID: b.newID(), Name: spec.Name, Settings: maps.Clone(spec.Settings)}
	created.Shards = b.place(created.ID, 0, spec.Partitions)
	if err := b.openPartitions(ctx, created.ID, 0, created.Shards); err != nil {
		return nil, err
	}
	home := b.shards[0]
	_, err := call(ctx, home, func(int64) (struct{}, error) {
		if err := home.room(toCommit, 0); err != nil {
			return struct{}{}, err
		}
		if home.d.catalog.ByName(spec.Name) != nil {
			return struct{}{}, errf(TopicExists, "topic %q exists already", spec.Name)
		}
		home.log(typeCreated, created, nil, created)
		return struct{}{}, nil
	})
	if isKind(err, TopicExists) {
		// Only a refusal is certain. After any other error the topic may
		// exist, and its partitions must; the next start clears up.
		b.dropPartitions(context.WithoutCancel(ctx), created.ID)
	}
	if err != nil {
		return nil, err
	}
	t, ok := b.TopicByID(TopicID(created.ID))
	if !ok {
		return nil, errf(UnknownTopic, "topic %q was deleted at once", spec.Name)
	}
	return t, nil
}

// newID makes a random (version 4) UUID.
func (b *Broker) newID() (id topic.ID) {
	b.randMu.Lock()
	defer b.randMu.Unlock()
	if _, err := io.ReadFull(b.cfg.Rand, id[:]); err != nil {
		panic(fmt.Sprintf("no random numbers: %v", err))
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
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
			if err := s.room(toCommit, 0); err != nil {
				return struct{}{}, err
			}
			if e, ok := s.d.logs.DecideOpen(id, mine); ok {
				s.log(typeOpened, &e, nil, &e)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return err // what was opened is dropped at the next start
		}
	}
	return nil
}

// dropPartitions has each shard forget its logs of a topic. What a crash
// leaves undone is done at the next start.
func (b *Broker) dropPartitions(ctx context.Context, id topic.ID) {
	for _, s := range b.shards {
		_, err := call(ctx, s, func(int64) (struct{}, error) {
			if err := s.room(toFree, 0); err != nil {
				return struct{}{}, err
			}
			if s.d.logs.Has(id) {
				e := &topic.Dropped{Topic: id}
				s.log(typeDropped, e, nil, e)
			}
			return struct{}{}, nil
		})
		if err != nil {
			b.cfg.Logger.Warn("partitions of a deleted topic stay until the next start", "error", err)
		}
	}
}

// DeleteTopic deletes a topic, its data and the offsets committed for it.
func (b *Broker) DeleteTopic(ctx context.Context, id TopicID) error {
	home := b.shards[0]
	name, err := call(ctx, home, func(int64) (string, error) {
		t := home.d.catalog.ByID(topic.ID(id))
		if t == nil {
			return "", errf(UnknownTopic, "no such topic")
		}
		if err := home.room(toFree, 0); err != nil {
			return "", err
		}
		e := &topic.Deleted{ID: topic.ID(id)}
		home.log(typeDeleted, e, nil, e)
		return t.Name, nil
	})
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	b.dropPartitions(ctx, topic.ID(id))
	_, err = b.EachGroupShard(ctx, group.TopicDeleted{Topic: name, ID: group.TopicID(id)})
	return err
}

// AddPartitions grows a topic to total partitions.
func (b *Broker) AddPartitions(ctx context.Context, id TopicID, total int) error {
	t, ok := b.TopicByID(id)
	if !ok {
		return errf(UnknownTopic, "no such topic")
	}
	have := len(t.Partitions)
	if total <= have || total > partitionsMax {
		return errf(InvalidPartitions, "topic %q has %d partitions; %d is not more (at most %d)", t.Name, have, total, partitionsMax)
	}
	shards := b.place(topic.ID(id), have, total)
	for n, s := range b.shards {
		var mine []int32
		for i, owner := range shards {
			if int(owner) == n {
				mine = append(mine, int32(have+i))
			}
		}
		_, err := call(ctx, s, func(int64) (struct{}, error) {
			if err := s.room(toCommit, 0); err != nil {
				return struct{}{}, err
			}
			if e, ok := s.d.logs.DecideOpen(topic.ID(id), mine); ok {
				s.log(typeOpened, &e, nil, &e)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return err
		}
	}
	home := b.shards[0]
	_, err := call(ctx, home, func(int64) (struct{}, error) {
		t := home.d.catalog.ByID(topic.ID(id))
		switch {
		case t == nil:
			return struct{}{}, errf(UnknownTopic, "no such topic")
		case home.room(toCommit, 0) != nil:
			return struct{}{}, home.room(toCommit, 0)
		case len(t.Shards) != have:
			return struct{}{}, errf(InvalidPartitions, "topic %q was changed meanwhile", t.Name)
		}
		e := &topic.Grown{ID: topic.ID(id), Shards: shards}
		home.log(typeGrown, e, nil, e)
		return struct{}{}, nil
	})
	return err
}

// ConfigureTopic replaces all overrides of a topic.
func (b *Broker) ConfigureTopic(ctx context.Context, id TopicID, overrides map[string]string) error {
	if _, err := settings.ParseTopic(b.Settings(), overrides); err != nil {
		return errf(InvalidConfig, "%v", err)
	}
	if err := checkSettingsSize(overrides); err != nil {
		return err
	}
	return b.configure(ctx, topic.ID(id), overrides)
}

// ConfigureBroker replaces all dynamic broker settings.
func (b *Broker) ConfigureBroker(ctx context.Context, overrides map[string]string) error {
	if _, err := settings.ParseBroker(b.cfg.Settings, overrides); err != nil {
		return errf(InvalidConfig, "%v", err)
	}
	if err := checkSettingsSize(overrides); err != nil {
		return err
	}
	return b.configure(ctx, topic.ID{}, overrides)
}

func (b *Broker) configure(ctx context.Context, id topic.ID, overrides map[string]string) error {
	home := b.shards[0]
	e := &topic.Configured{ID: id, Settings: maps.Clone(overrides)}
	_, err := call(ctx, home, func(int64) (struct{}, error) {
		if id != (topic.ID{}) && home.d.catalog.ByID(id) == nil {
			return struct{}{}, errf(UnknownTopic, "no such topic")
		}
		if err := home.room(toFree, 0); err != nil { // a shorter retention makes room
			return struct{}{}, err
		}
		home.log(typeConfigured, e, nil, e)
		return struct{}{}, nil
	})
	return err
}

// DeleteRecords moves the log start of p up to offset (-1: the high
// watermark) and returns the new log start.
func (b *Broker) DeleteRecords(ctx context.Context, p *Partition, offset int64) (int64, error) {
	high := p.Bounds().HighWatermark
	if offset == -1 {
		offset = high
	}
	if offset < 0 || offset > high {
		return -1, errf(OffsetOutOfRange, "offset %d is above the high watermark %d", offset, high)
	}
	return p.shard.trim(ctx, p, offset)
}

// trim logs that p starts at offset, unless it starts later already.
func (s *shard) trim(ctx context.Context, p *Partition, offset int64) (int64, error) {
	return call(ctx, s, func(int64) (int64, error) {
		l := s.d.logs.Get(p.log)
		switch {
		case l == nil:
			return -1, errf(UnknownTopic, "the topic was deleted")
		case offset <= l.Start:
			return l.Start, nil
		}
		if err := s.room(toFree, 0); err != nil {
			return l.Start, err
		}
		e := &topic.Started{Log: p.log, Start: offset}
		s.log(typeStarted, e, nil, e)
		return offset, nil
	})
}

// NewProducerID returns a producer id that was never given out before.
func (b *Broker) NewProducerID(ctx context.Context) (int64, error) {
	home := b.shards[0]
	return call(ctx, home, func(int64) (int64, error) {
		if err := home.room(toCommit, 0); err != nil {
			return -1, err
		}
		id := home.d.catalog.NextProducer
		home.log(typeProducerGiven, &topic.ProducerGiven{ProducerID: id}, nil, nil)
		return id, nil
	})
}

// Producers lists the idempotent producers that p knows, by id.
func (b *Broker) Producers(ctx context.Context, p *Partition) ([]topic.Producer, error) {
	return call(ctx, p.shard, func(int64) ([]topic.Producer, error) {
		l := p.shard.d.logs.Get(p.log)
		if l == nil {
			return nil, errf(UnknownTopic, "the topic was deleted")
		}
		return l.Producers(), nil
	})
}
