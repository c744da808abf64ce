package broker

import (
	"context"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/broker/topic"
	"github.com/waxwing-mq/waxwing/internal/journal"
	"github.com/waxwing-mq/waxwing/internal/mutant"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// producersMax bounds how many idempotent producers a shard remembers, counted
// in each of its partitions. One takes about 200 bytes. Beyond it those that were
// silent for longest are forgotten, as producer.id.expiration.ms would sooner or
// later: then the next batch of theirs is taken whatever its sequence.
const producersMax = 1_000_000

// AppendItem is one record batch for one partition.
type AppendItem struct {
	Partition *Partition
	// Batch is one validated record batch (record.Validate). The broker
	// patches its base offset and leader epoch, and owns it until Done.
	Batch  []byte
	Header record.Header

	// The outcome, valid once Done is called.
	Base  int64 // offset of the first record; for a repeated batch the original one
	Start int64 // log start offset
	Err   error // *Error or nil
}

// AppendRequest appends batches and is answered once all are durable.
type AppendRequest struct {
	Items []AppendItem
	// Done is called exactly once, from a goroutine of the broker, when
	// every item is durable or has failed. It must not block.
	Done func(*AppendRequest)

	waiting atomic.Int32 // shards that have not answered yet
	parts   [1]appendCommand
}

// Append submits a request. It may wait while a shard is behind (this is how
// back-pressure reaches the sockets), never for the disk.
func (b *Broker) Append(ctx context.Context, req *AppendRequest) {
	if len(b.shards) == 1 {
		req.waiting.Store(1)
		req.parts[0] = appendCommand{req: req, all: true}
		b.shards[0].submit(ctx, &req.parts[0])
		return
	}
	byShard := make(map[*shard]*appendCommand)
	var order []*appendCommand
	for i := range req.Items {
		s := req.Items[i].Partition.shard
		c := byShard[s]
		if c == nil {
			c = &appendCommand{req: req, shard: s}
			byShard[s] = c
			order = append(order, c)
		}
		c.items = append(c.items, i)
	}
	if len(order) == 0 {
		req.Done(req)
		return
	}
	req.waiting.Store(int32(len(order)))
	for _, c := range order {
		c.shard.submit(ctx, c)
	}
}

// appendCommand is the part of an AppendRequest that concerns one shard.
type appendCommand struct {
	req   *AppendRequest
	shard *shard
	all   bool
	items []int // into req.Items, unless all
}

func (s *shard) submit(ctx context.Context, c *appendCommand) {
	var size int64
	c.each(func(it *AppendItem) { size += int64(len(it.Batch)) })
	if !s.inbox.put(ctx, data, c, size) {
		c.refuse(errf(Stopping, "the broker is shutting down"))
	}
}

func (c *appendCommand) each(fn func(*AppendItem)) {
	if c.all {
		for i := range c.req.Items {
			fn(&c.req.Items[i])
		}
		return
	}
	for _, i := range c.items {
		fn(&c.req.Items[i])
	}
}

func (c *appendCommand) decide(s *shard, now int64) {
	repeats := true
	c.each(func(it *AppendItem) { repeats = s.append(it) && repeats })
	if repeats && mutant.On(mutant.RepeatBeforeDurable) {
		c.answered()
		return
	}
	s.j.Attach(c)
}

// append decides one batch, and logs it unless it is a repeat or refused. It
// says whether it is a repeat.
func (s *shard) append(it *AppendItem) (repeat bool) {
	id := it.Partition.log
	l := s.d.logs.Get(id)
	if l == nil {
		it.Err = errf(UnknownTopic, "the topic was deleted")
		return false
	}
	it.Start = l.Start
	size := int64(len(it.Batch))
	if limit := s.traits.SlotBytesMax - journal.SlotMargin; size > limit {
		it.Err = errf(RecordTooLarge, "a batch of %d bytes; a journal file takes %d", size, limit)
		return false
	}
	if err := s.roomToStore(size); err != nil {
		s.full.Store(true)
		it.Err = err
		return false
	}
	s.full.Store(false)
	h := &it.Header
	e, outcome := l.DecideAppend(id, topic.Batch{
		Count:      int64(h.LastOffsetDelta) + 1,
		ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, FirstSequence: h.BaseSequence,
	})
	switch outcome {
	case topic.Duplicate:
		it.Base = e.Base
		return true
	case topic.SequenceOutOfOrder:
		it.Err = errf(OutOfOrderSequence, "producer %d, epoch %d: sequence %d does not follow", h.ProducerID, h.ProducerEpoch, h.BaseSequence)
		return false
	case topic.StaleEpoch:
		it.Err = errf(InvalidProducerEpoch, "producer %d: epoch %d is old", h.ProducerID, h.ProducerEpoch)
		return false
	}
	if h.ProducerID >= 0 && !l.Knows(h.ProducerID) {
		if f, full := s.d.logs.DecideForget(s.producersMax); full {
			s.log(typeForgotten, &f, nil, nil)
		}
	}
	it.Base = e.Base
	record.Patch(it.Batch, e.Base, int32(s.eng.Epoch()))
	s.log(typeAppended, &e, &journal.Data{
		Log: id, Base: e.Base, Count: e.Count, MaxTime: s.ageFrom(h.MaxTimestamp), Bytes: it.Batch,
	}, nil)
	return false
}

// ageFrom is the time that retention counts from: that of the records, or, if
// they have none, now.
func (s *shard) ageFrom(timestamp int64) int64 {
	if timestamp < 0 {
		return s.now
	}
	return timestamp
}

// Durable implements journal.Waiter.
func (c *appendCommand) Durable(err error) {
	if err != nil {
		c.refuse(errf(Failed, "the log failed: %v", err))
		return
	}
	c.answered()
}

func (c *appendCommand) refuse(err error) {
	c.each(func(it *AppendItem) { it.Err = err })
	c.answered()
}

func (c *appendCommand) answered() {
	if c.req.waiting.Add(-1) == 0 {
		c.req.Done(c.req)
	}
}
