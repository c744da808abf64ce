package broker

import (
	"cmp"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/internal/journal"
)

// Latency says how often something took how long, since the start.
type Latency struct {
	Bounds []time.Duration // growing, inclusive
	Counts []uint64        // for each bound, those above the one before; the last is of what is above all
	Sum    time.Duration
}

// Syncs is how long the durable writes of all shards took: each is one slot,
// from when the engine got it until it was synced.
func (b *Broker) Syncs() Latency {
	l := Latency{Bounds: make([]time.Duration, journal.LatencyBounds)}
	for i := range l.Bounds {
		l.Bounds[i] = journal.LatencyBound(i)
	}
	var counts [journal.LatencyBounds + 1]uint64
	for _, s := range b.shards {
		s.j.Stats().Syncs.AddTo(&l.Sum, &counts)
	}
	l.Counts = counts[:]
	return l
}

// Traffic is what went into and out of a topic since the broker started.
type Traffic struct {
	Topic                 string
	RecordsIn, RecordsOut uint64
	BytesIn, BytesOut     uint64 // of record batches, as they are stored
}

// Traffic lists the topics that had any, by name, at most that many; leftOut
// is how many more there are. It costs a look at each partition.
func (b *Broker) Traffic(most int) (list []Traffic, leftOut int) {
	b.view.mu.RLock()
	topics := make([]*Topic, 0, len(b.view.byID))
	for _, t := range b.view.byID {
		topics = append(topics, t)
	}
	b.view.mu.RUnlock()
	for _, t := range topics {
		sum := Traffic{Topic: t.Name}
		for _, p := range t.Partitions {
			sum.RecordsIn += uint64(p.next.Load() - p.found)
			sum.BytesIn += p.bytesIn.Load()
			sum.RecordsOut += p.recordsOut.Load()
			sum.BytesOut += p.bytesOut.Load()
		}
		if sum != (Traffic{Topic: t.Name}) {
			list = append(list, sum)
		}
	}
	slices.SortFunc(list, func(a, b Traffic) int { return cmp.Compare(a.Topic, b.Topic) })
	if leftOut = max(0, len(list)-most); leftOut > 0 {
		list = list[:most]
	}
	return list, leftOut
}

// Sent counts a plan that is being sent to a client that asked p for offset
// and what follows.
func (p *Partition) Sent(offset int64, plan *Plan) {
	if plan.bytes > 0 {
		p.recordsOut.Add(uint64(max(0, plan.end-offset)))
		p.bytesOut.Add(uint64(plan.bytes))
	}
}
