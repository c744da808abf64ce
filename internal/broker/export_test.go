package broker

import (
	"context"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/journal"
)

// CreateChecked creates a topic as a request does that CheckTopic let through
// before another one was decided.
func (b *Broker) CreateChecked(ctx context.Context, spec TopicSpec) (*Topic, error) {
	return b.createTopic(ctx, spec)
}

// AddPartitionsTo grows a topic as a request does that saw it as t.
func (b *Broker) AddPartitionsTo(ctx context.Context, t *Topic, total int) error {
	return b.addPartitions(ctx, t, total)
}

// Logs counts the logs that the shards hold for a topic.
func (b *Broker) Logs(id TopicID) (n int) {
	for _, s := range b.shards {
		for _, log := range s.d.logs.IDs() {
			if s.d.logs.Get(log).Topic == topic.ID(id) {
				n++
			}
		}
	}
	return n
}

// Shard is the number of the shard that p lies in.
func (p *Partition) Shard() int { return int(p.shard.id) }

// SetPartitionsMax sets the limit for all topics together.
func (b *Broker) SetPartitionsMax(n int) {
	b.placed.mu.Lock()
	defer b.placed.mu.Unlock()
	b.placed.max = n
}

// Placed is how many partitions count against the limit, and that limit.
func (b *Broker) Placed() (n, max int) {
	b.placed.mu.Lock()
	defer b.placed.mu.Unlock()
	return b.placed.total, b.placed.max
}

// Waiting is how many shards have dead files that wait for checkpoints, and
// Rewritten how many rewritten files there are.
func (b *Broker) Waiting() (n int) {
	for _, s := range b.shards {
		if s.maintain.waiting {
			n++
		}
	}
	return n
}

// Rewritten is told with Waiting.
func (b *Broker) Rewritten() (n int) {
	for _, s := range b.shards {
		n += len(s.d.files.rewritten)
	}
	return n
}

// Replaced is how many journal files the state remembers as replaced.
func (b *Broker) Replaced() (n int) {
	for _, s := range b.shards {
		n += len(s.d.files.gone)
	}
	return n
}

// Short says whether the disk is full for any shard.
func (b *Broker) Short() bool { return b.short() }

// SetProducersMax sets how many producers each shard remembers.
func (b *Broker) SetProducersMax(n int) {
	for _, s := range b.shards {
		s.producersMax = n
	}
}

// ProducersKnown is how many all shards remember.
func (b *Broker) ProducersKnown() (n int) {
	for _, s := range b.shards {
		n += s.d.logs.Producers()
	}
	return n
}

// StoreSettings stores dynamic broker settings as they are, as another version
// may have.
func (b *Broker) StoreSettings(ctx context.Context, m map[string]string) error {
	return b.configure(ctx, topic.ID{}, m)
}

// HideAmongStrangers has shard 0 forget a topic's partitions among others that
// cannot be looked at.
func (b *Broker) HideAmongStrangers(id TopicID) {
	s := b.shards[0]
	for log := range s.parts {
		if s.parts[log].topic != id {
			s.parts[log] = nil
		}
	}
	s.hidePartitions(id, 0)
}

// EachEntry calls fn with every entry of shard i that is still in the journal.
func (b *Broker) EachEntry(i int, fn func(e journal.Entry) error) error {
	s := b.shards[i]
	return s.eng.Scan(context.Background(), 0, s.j.Last(), func(slot engine.Slot) error {
		return journal.Entries(slot.Head, fn)
	})
}

// Replay restores a shard's state, applies an entry unless its type is 0, and
// returns the state after that.
func Replay(snapshot []byte, e journal.Entry) ([]byte, error) {
	d := newDurable()
	if snapshot != nil {
		if err := d.Restore(snapshot); err != nil {
			return nil, err
		}
	}
	if e.Type != 0 {
		if err := d.Apply(e); err != nil {
			return nil, err
		}
	}
	return d.Snapshot(nil), nil
}

// Hurry makes background work due at least every d.
func (c *Config) Hurry(d time.Duration) {
	c.intervals = &intervals{step: d, checkpoint: d, checkpointBytes: usual.checkpointBytes, producers: d}
}

// DueInRewrite makes checkpoints always due.
func (c *Config) DueInRewrite() {
	c.intervals = &intervals{step: time.Hour, checkpoint: time.Nanosecond, checkpointBytes: 1, producers: usual.producers}
}

// Yield does what a rewrite of shard 0 does between two reads. The broker has
// no goroutines of its own (Config.Inline), which a rewrite would not wait for.
func (b *Broker) Yield(ctx context.Context) error {
	b.cfg.Inline = false
	defer func() { b.cfg.Inline = true }()
	return b.shards[0].maintain.yield(ctx, 1)
}

// Leftovers are the vhosts that have exchanges, by name. The broker has no
// goroutines of its own (Config.Inline).
func (b *Broker) Leftovers() (names []string) {
	for _, s := range b.shards {
		names = append(names, s.d.routes.VHosts()...)
	}
	slices.Sort(names)
	return names
}

// VHostShard is where a vhost of that name is put.
func VHostShard(b *Broker, name string) int { return int(b.shardOfVHost(name)) }
