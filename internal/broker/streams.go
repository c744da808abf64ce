package broker

import (
	"context"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// streamVHost is the vhost in which topics are seen as stream queues.
const streamVHost = "/"

// Stream is a topic's partition, seen as a queue. A topic with one partition
// has the topic's name; of one with several, partition N is NAME-N, as in
// super streams.
type Stream struct {
	Topic     *Topic
	Partition *Partition
}

// Append is a record, in a batch of its own, for the stream.
func (s Stream) Append(r record.Record) AppendItem {
	batch := record.Append(nil, record.BatchSpec{Records: []record.Record{r}})
	h, err := record.ReadHeader(batch)
	if err != nil {
		panic(err) // just made
	}
	return AppendItem{Partition: s.Partition, Batch: batch, Header: h}
}

// Stream returns the stream queue of that name. There are some in the vhost "/"
// only. A queue of the same name is found first by those who look for both.
func (v *VHost) Stream(name string) (Stream, bool) { return v.b.stream(v.name, name) }

// stream is the stream queue of that name in a vhost.
func (b *Broker) stream(vhost, name string) (Stream, bool) {
	if vhost != streamVHost || name == "" {
		return Stream{}, false
	}
	if t, ok := b.Topic(name); ok && len(t.Partitions) == 1 {
		return Stream{t, t.Partitions[0]}, true
	}
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return Stream{}, false
	}
	n, err := strconv.Atoi(name[i+1:])
	if err != nil || n < 0 || strconv.Itoa(n) != name[i+1:] {
		return Stream{}, false
	}
	t, ok := b.Topic(name[:i])
	if !ok || len(t.Partitions) < 2 || n >= len(t.Partitions) {
		return Stream{}, false
	}
	return Stream{t, t.Partitions[n]}, true
}

// LastBatch is the offset at which the last batch of p begins, the high
// watermark if there is none.
func (b *Broker) LastBatch(ctx context.Context, p *Partition) (int64, error) {
	bounds := p.Bounds()
	last := bounds.HighWatermark
	it := p.shard.index.Find(p.log, bounds.HighWatermark-1, bounds.HighWatermark)
	defer it.Close()
	for bounds.HighWatermark > bounds.Start && it.Next() {
		err := walkBatches(ctx, p.shard.index, it.Place(), func(at batchAt) bool {
			last = at.base
			return true
		})
		if err != nil {
			return 0, err
		}
	}
	return max(last, bounds.Start), it.Err()
}
