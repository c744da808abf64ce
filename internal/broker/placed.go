package broker

import (
	"sync"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
)

// placed knows the partitions that are there or on their way, over all shards:
// before any shard opens a partition, its place is taken here. So the limit
// holds however many requests come at once.
type placed struct {
	mu      sync.Mutex
	max     int
	total   int
	opening map[topic.ID]bool // topics of which partitions are being opened
}

func newPlaced(max int) *placed { return &placed{max: max, opening: map[topic.ID]bool{}} }

// fits says whether n more partitions are allowed now.
func (p *placed) fits(n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fit(n)
}

func (p *placed) fit(n int) error {
	if n > p.max-p.total {
		return errf(InvalidPartitions, "%d partitions more: all topics together have %d, and at most %d", n, p.total, p.max)
	}
	return nil
}

// begin takes the places of n partitions of a topic, of which nobody else may
// open partitions until end.
func (p *placed) begin(id topic.ID, n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opening[id] {
		return errf(InvalidPartitions, "partitions are being added to the topic by another request")
	}
	if err := p.fit(n); err != nil {
		return err
	}
	p.total += n
	p.opening[id] = true
	return nil
}

// end says that what began is over; the n partitions are shown, or not.
func (p *placed) end(id topic.ID, n int, shown bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.opening, id)
	if !shown {
		p.total -= n
	}
}

// gone gives the places of n partitions back.
func (p *placed) gone(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total -= n
}

// isOpening says whether partitions of the topic are being opened now.
func (p *placed) isOpening(id topic.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opening[id]
}
