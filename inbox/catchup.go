package inbox

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/waxwing-mq/waxwing/bus"
)

// catchUp finds out whether a consumer has caught up: only then is it sure that
// what lies in the broker is not older than what cleanup removes. That one place is
// up to date says nothing about another, whose messages may all be old.
type catchUp struct {
	start atomic.Int64 // of Run

	mu     sync.RWMutex
	places map[place]*progressOf
}

// A place is where messages come from: a partition, or the queue of a topic, which is
// the one that the handler was registered for.
type place struct {
	topic     string
	partition int32 // -1 of a queue
}

// progressOf is how far a place is.
type progressOf struct {
	newest atomic.Int64 // time of the newest message so far
	last   atomic.Int64 // when a message came last
}

func (c *catchUp) begin(now int64) { c.start.Store(now) }

// saw notes a message's time. One without a time does not say how old it is.
func (c *catchUp) saw(d *bus.Delivery, topic string, now int64) {
	if d.Time.IsZero() {
		return
	}
	at := place{topic, -1}
	if d.Position != nil {
		at = place{d.Position.Topic, d.Position.Partition}
	}
	p := c.of(at)
	p.last.Store(now)
	for made := d.Time.UnixMicro(); ; {
		was := p.newest.Load()
		if made <= was || p.newest.CompareAndSwap(was, made) {
			return
		}
	}
}

// of is the progress of a place.
func (c *catchUp) of(at place) *progressOf {
	c.mu.RLock()
	p := c.places[at]
	c.mu.RUnlock()
	if p != nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.places == nil {
		c.places = map[place]*progressOf{}
	}
	if c.places[at] == nil {
		c.places[at] = &progressOf{}
	}
	return c.places[at]
}

// done says whether the consumer has caught up: somewhere it has seen a message that is
// newer than its start, and of the other places from which messages came none that was
// older has sent one for a while. Once it has run for as long as anything may come
// again, it has.
func (c *catchUp) done(now int64, o *options) bool {
	up := time.Duration(now-c.start.Load()) * time.Microsecond
	if up < o.minUp || up >= o.horizon {
		return up >= o.minUp
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	current := false
	for _, p := range c.places {
		quiet := time.Duration(now-p.last.Load()) * time.Microsecond
		switch {
		case p.newest.Load() >= c.start.Load():
			current = true
		case quiet < o.minUp:
			return false
		}
	}
	return current
}
