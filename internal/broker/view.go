package broker

import (
	"sort"
	"sync"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/settings"
)

// Topic is a topic as the view shows it. It is never changed: a change shows
// a new one.
type Topic struct {
	Name       string
	ID         TopicID
	Overrides  map[string]string // settings given for this topic; read only
	Settings   settings.Topic    // what holds: defaults and overrides together
	Partitions []*Partition
}

// Partition is a partition as the view shows it: only what is durable. It
// stays valid, and keeps its last bounds, after its topic is deleted.
type Partition struct {
	topic TopicID
	index int32
	shard *shard
	log   datafile.LogID

	start, next atomic.Int64
	found       int64 // next when the broker started, or the partition was made
	deleted     atomic.Bool
	watch       watchers

	// See traffic.go.
	bytesIn, bytesOut, recordsOut atomic.Uint64

	mu     sync.Mutex
	epochs []topic.EpochStart
}

// Topic is the id of the partition's topic.
func (p *Partition) Topic() TopicID { return p.topic }

// Index is the partition's number within its topic.
func (p *Partition) Index() int32 { return p.index }

// Deleted says whether the topic is gone.
func (p *Partition) Deleted() bool { return p.deleted.Load() }

// Bounds are the limits of what can be read now.
func (p *Partition) Bounds() Bounds {
	start, next := p.start.Load(), p.next.Load()
	return Bounds{Start: start, HighWatermark: next, LastStable: next, Epoch: int32(p.shard.eng.Epoch())}
}

// advance shows a new high watermark. Only the shard's publisher calls it.
func (p *Partition) advance(base, next int64, epoch uint32) {
	p.mu.Lock()
	if n := len(p.epochs); n == 0 || p.epochs[n-1].Epoch != epoch {
		p.epochs = append(p.epochs, topic.EpochStart{Epoch: epoch, Start: base})
	}
	p.mu.Unlock()
	p.next.Store(next)
	p.watch.wake()
}

// begin shows a new log start.
func (p *Partition) begin(start int64) {
	p.mu.Lock()
	for len(p.epochs) > 1 && p.epochs[1].Start <= start {
		p.epochs = p.epochs[1:]
	}
	p.mu.Unlock()
	p.start.Store(start)
	p.watch.wake()
}

// EpochEnd says where the given leader epoch ended on p, as
// OffsetForLeaderEpoch asks it.
func (b *Broker) EpochEnd(p *Partition, epoch int32) EpochEnd {
	bounds := p.Bounds()
	if epoch < 0 || epoch > bounds.Epoch {
		return EpochEnd{-1, -1}
	}
	if epoch == bounds.Epoch {
		return EpochEnd{epoch, bounds.HighWatermark}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// The first epoch above the one asked for ends it.
	i := sort.Search(len(p.epochs), func(i int) bool { return int32(p.epochs[i].Epoch) > epoch })
	switch {
	case i == 0:
		return EpochEnd{epoch, bounds.Start}
	case i == len(p.epochs):
		return EpochEnd{int32(p.epochs[i-1].Epoch), bounds.HighWatermark}
	}
	return EpochEnd{int32(p.epochs[i-1].Epoch), p.epochs[i].Start}
}

// EpochAt is the leader epoch under which the record at offset was appended,
// -1 if p has no such offset.
func (p *Partition) EpochAt(offset int64) int32 {
	bounds := p.Bounds()
	if offset < bounds.Start || offset >= bounds.HighWatermark {
		return -1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := sort.Search(len(p.epochs), func(i int) bool { return p.epochs[i].Start > offset })
	if i == 0 {
		return -1 // the log start has moved meanwhile
	}
	return int32(p.epochs[i-1].Epoch)
}

// view is what everyone but the sequencers reads: durable facts only.
// The shards' publishers write it.
type view struct {
	mu        sync.RWMutex
	byID      map[TopicID]*Topic
	byName    map[string]*Topic
	parts     map[partitionKey]*Partition // opened, listed in the catalogue or not
	queues    map[queueKey]*QueueInfo
	queueByID map[queueAt]*QueueInfo
	broker    settings.Broker
	overrides map[string]string
}

type partitionKey struct {
	topic TopicID
	index int32
}

func newView() *view {
	return &view{
		byID: map[TopicID]*Topic{}, byName: map[string]*Topic{},
		queues: map[queueKey]*QueueInfo{}, queueByID: map[queueAt]*QueueInfo{},
		parts: map[partitionKey]*Partition{}, overrides: map[string]string{},
	}
}

// Topic returns the topic of that name.
func (b *Broker) Topic(name string) (*Topic, bool) {
	b.view.mu.RLock()
	defer b.view.mu.RUnlock()
	t, ok := b.view.byName[name]
	return t, ok
}

// TopicByID returns the topic with that id.
func (b *Broker) TopicByID(id TopicID) (*Topic, bool) {
	b.view.mu.RLock()
	defer b.view.mu.RUnlock()
	t, ok := b.view.byID[id]
	return t, ok
}

// Topics returns all topics, sorted by name.
func (b *Broker) Topics() []*Topic {
	b.view.mu.RLock()
	out := make([]*Topic, 0, len(b.view.byID))
	for _, t := range b.view.byID {
		out = append(out, t)
	}
	b.view.mu.RUnlock()
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Settings are the broker-wide settings in force.
func (b *Broker) Settings() settings.Broker {
	b.view.mu.RLock()
	defer b.view.mu.RUnlock()
	return b.view.broker
}

// SettingOverrides are the dynamic broker settings. The caller must not
// change the map.
func (b *Broker) SettingOverrides() map[string]string {
	b.view.mu.RLock()
	defer b.view.mu.RUnlock()
	return b.view.overrides
}

// showTopic puts t, as the catalogue has it, into the view.
func (b *Broker) showTopic(id TopicID, name string, overrides map[string]string, partitions int) {
	v := b.view
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &Topic{Name: name, ID: id, Overrides: overrides, Partitions: make([]*Partition, partitions)}
	t.Settings = b.topicSettings(overrides)
	for i := range t.Partitions {
		t.Partitions[i] = v.parts[partitionKey{id, int32(i)}]
	}
	v.byID[id], v.byName[name] = t, t
	b.reconcilePulls()
}

// hideTopic takes a topic out of the view and wakes those who wait for it.
func (b *Broker) hideTopic(id TopicID) {
	v := b.view
	v.mu.Lock()
	t := v.byID[id]
	if t != nil {
		delete(v.byID, id)
		delete(v.byName, t.Name)
		b.reconcilePulls()
	}
	v.mu.Unlock()
	if t == nil {
		return
	}
	for _, p := range t.Partitions {
		p.deleted.Store(true)
		p.watch.wake()
	}
}

// topicSettings parses overrides on top of the broker's settings. Stored
// settings were valid when they were stored; what a later version no longer
// takes falls back to the broker's.
func (b *Broker) topicSettings(overrides map[string]string) settings.Topic {
	t, err := settings.ParseTopic(b.view.broker, overrides)
	if err != nil {
		b.cfg.Logger.Warn("stored topic settings are not valid; the broker's hold", "error", err)
		t, _ = settings.ParseTopic(b.view.broker, nil)
	}
	return t
}

// growTopic shows added partitions.
func (b *Broker) growTopic(id TopicID, added int) {
	if t, ok := b.TopicByID(id); ok {
		b.showTopic(id, t.Name, t.Overrides, len(t.Partitions)+added)
	}
}

// reconfigure shows new settings of a topic, or of the broker and with it of
// all topics.
func (b *Broker) reconfigure(id TopicID, overrides map[string]string) {
	if id != (TopicID{}) {
		if t, ok := b.TopicByID(id); ok {
			b.showTopic(id, t.Name, overrides, len(t.Partitions))
		}
		return
	}
	if err := b.applySettings(overrides); err != nil {
		b.cfg.Logger.Warn("stored broker settings are not valid; the ones before hold", "error", err)
		return
	}
	for _, t := range b.Topics() {
		b.showTopic(t.ID, t.Name, t.Overrides, len(t.Partitions))
	}
}
