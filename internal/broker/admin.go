package broker

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// Limits of the catalogue.
const (
	topicNameMax       = 249 // bytes, as in Kafka
	partitionsMax      = 100_000
	partitionsTotalMax = 200_000  // of all topics; each takes memory in its shard and in the view
	settingsBytesMax   = 64 << 10 // of one topic, or of the broker
	settingsTotalMax   = 16 << 20 // of all together
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

// CheckTopic says whether the topic could be created now. It reads the view.
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
	if other := b.flat.colliding(spec.Name); other != "" {
		return errCollides(spec.Name, other)
	}
	return b.placed.fits(spec.Partitions)
}

func errCollides(name, other string) *Error {
	return errf(InvalidTopic, "topic %q collides with %q: '.' and '_' count as the same", name, other)
}

// checkSettingsSize bounds what free text among the settings can take.
func checkSettingsSize(m map[string]string) error {
	if n := topic.SettingsBytes(m); n > settingsBytesMax {
		return errf(InvalidConfig, "settings of %d bytes; at most %d", n, settingsBytesMax)
	}
	return nil
}

// settingsFit says, in the home shard's sequencer, whether settings may take
// the place of others (nil: of none).
func (b *Broker) settingsFit(m, old map[string]string) error {
	have, more := b.shards[0].d.catalog.SettingsBytes(), topic.SettingsBytes(m)-topic.SettingsBytes(old)
	if more > 0 && more > settingsTotalMax-have {
		return errf(InvalidConfig, "all settings together have %d bytes, and at most %d", have, settingsTotalMax)
	}
	return nil
}

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
		old := home.d.catalog.Settings
		if id != (topic.ID{}) {
			t := home.d.catalog.ByID(id)
			if t == nil {
				return struct{}{}, errf(UnknownTopic, "no such topic")
			}
			old = t.Settings
		}
		if err := b.settingsFit(e.Settings, old); err != nil {
			return struct{}{}, err
		}
		if err := home.room(toFree, int64(topic.SettingsBytes(e.Settings))); err != nil { // a shorter retention makes room
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
