package amqp

import (
	"context"
	"sync"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/record"
)

// A consumer of a stream reads the partition with a place of its own: nothing
// is taken away, and an acknowledgement is credit for more. It begins where
// x-stream-offset says: "first", "last" (the last batch), "next" (the default),
// an offset, a timestamp, or an interval such as "1h" before now. Each message
// has its offset in the header x-stream-offset.

// streamConsumer is one consumer of a stream. Its goroutine ends with stop, and
// with its connection.
type streamConsumer struct {
	c    *conn
	ch   *channel
	k    *consumer
	from broker.Stream

	mu     sync.Mutex
	credit int
	wake   chan struct{} // has a token when there is more credit
	quit   chan struct{}
	once   sync.Once
}

// consumeStream is basic.consume of a stream.
func (c *conn) consumeStream(ch *channel, s broker.Stream, m *wire.BasicConsume) error {
	switch {
	case ch.prefetch == 0:
		return errf(wire.PreconditionFailed, "consumer prefetch count is not set for 'queue '%s' in vhost '%s''", m.Queue, c.vhost.Name())
	case m.NoAck:
		return connectionErrf(wire.NotImplemented, "automatic acknowledgement not supported by stream queues queue '%s' in vhost '%s'", m.Queue, c.vhost.Name())
	case m.Exclusive:
		return errf(wire.AccessRefused, "queue '%s' in vhost '%s' in exclusive use", m.Queue, c.vhost.Name())
	}
	offset, err := c.streamOffset(s.Partition, m.Arguments)
	if err != nil {
		return errf(wire.PreconditionFailed, "invalid arg 'x-stream-offset' for queue '%s' in vhost '%s': %v", m.Queue, c.vhost.Name(), err)
	}
	k := &consumer{id: c.s.cfg.Broker.NewConsumerID(), tag: m.ConsumerTag}
	k.stream = &streamConsumer{
		c: c, ch: ch, k: k, from: s, credit: ch.prefetch, wake: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	ch.consumers[k.tag] = k
	if !m.NoWait {
		c.out.method(ch.number, &wire.BasicConsumeOk{ConsumerTag: k.tag})
	}
	c.streams.Go(func() {
		if err := c.guard(func() error { return k.stream.run(offset) }); err != nil {
			c.stop(err)
		}
	})
	return nil
}

// streamOffset is where a consumer begins.
func (c *conn) streamOffset(p *broker.Partition, args wire.Table) (int64, error) {
	b := p.Bounds()
	v, ok := args.Get("x-stream-offset")
	if !ok {
		return b.HighWatermark, nil
	}
	if t, ok := v.Time(); ok {
		return c.offsetAt(p, t)
	}
	if n, ok := v.Int(); ok {
		return max(n, b.Start), nil
	}
	text, _ := v.Text()
	switch text {
	case "first":
		return b.Start, nil
	case "next":
		return b.HighWatermark, nil
	case "last":
		return c.s.cfg.Broker.LastBatch(c.ctx, p)
	}
	if age, ok := parseAge(text); ok {
		return c.offsetAt(p, time.Now().Add(-age))
	}
	return 0, errf(wire.PreconditionFailed, "%s", v)
}

func (c *conn) offsetAt(p *broker.Partition, t time.Time) (int64, error) {
	found, err := c.s.cfg.Broker.FindTime(c.ctx, p, t.UnixMilli())
	if err != nil {
		return 0, err
	}
	if found.Offset < 0 {
		return p.Bounds().HighWatermark, nil
	}
	return found.Offset, nil
}

func (s *streamConsumer) stop() {
	if s != nil {
		s.once.Do(func() { close(s.quit) })
	}
}

// giveCredit lets the consumers of streams have as many messages more as were
// settled.
func giveCredit(hs []held) {
	for _, h := range hs {
		if s := h.stream; s != nil {
			s.mu.Lock()
			s.credit++
			s.mu.Unlock()
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
	}
}

// take uses up to n messages' credit.
func (s *streamConsumer) take(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, s.credit)
	s.credit -= n
	return n
}

func (s *streamConsumer) hasCredit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.credit > 0
}

// streamReadMax is how many bytes of a stream are read at once.
const streamReadMax = 256 << 10

// run delivers from offset on.
func (s *streamConsumer) run(offset int64) error {
	w := broker.NewWatcher()
	defer w.Stop()
	w.Watch(s.from.Partition)
	for {
		b := s.from.Partition.Bounds()
		offset = max(offset, b.Start)
		var more <-chan struct{}
		switch {
		case s.from.Partition.Deleted():
			s.cancelled()
			return nil
		case !s.hasCredit():
			more = s.wake
		case offset >= b.LastStable:
			more = w.C()
		default:
			next, err := s.deliver(s.c.ctx, offset, b.LastStable)
			if err != nil {
				return err
			}
			offset = next
			continue
		}
		select {
		case <-more:
		case <-s.quit:
			return nil
		case <-s.c.ctx.Done():
			return nil
		}
	}
}

// deliver delivers what there is from offset on, as credit allows, and returns
// the offset to go on with.
func (s *streamConsumer) deliver(ctx context.Context, offset, end int64) (int64, error) {
	plan, err := s.c.s.cfg.Broker.Plan(ctx, s.from.Partition, offset, end, streamReadMax, true)
	if err != nil {
		return offset, err
	}
	defer plan.Close()
	var buf sliceWriter
	if _, err := plan.WriteTo(&buf); err != nil {
		return offset, err
	}
	if len(buf) == 0 {
		return end, nil // nothing but gaps
	}
	for batch := range record.Batches(buf) {
		h, err := record.ReadHeader(batch)
		if err != nil {
			return offset, err
		}
		stopped := false
		if !h.Control() {
			err = record.Iterate(batch, func(r record.Record) bool {
				if r.Offset < offset {
					return true
				}
				if s.take(1) == 0 {
					stopped = true
					return false
				}
				s.send(r)
				offset = r.Offset + 1
				return true
			})
			if err != nil {
				return offset, err
			}
		}
		if stopped {
			return offset, nil
		}
		offset = h.LastOffset() + 1
	}
	return offset, nil
}

// sliceWriter gathers what is written.
type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

// send delivers one record.
func (s *streamConsumer) send(r record.Record) {
	m := messageOf(s.from.Topic.Name, r)
	raw, err := wire.ParseProperties(m.Properties)
	if err != nil {
		raw = wire.RawProperties{}
	}
	p := raw.Decode()
	p.Flags.Set(wire.PropHeaders)
	p.Headers = p.Headers.With("x-stream-offset", wire.IntValue(r.Offset))
	c := s.c
	c.out.await()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.ch.gone {
		return
	}
	s.ch.tag++
	c.s.counters.delivered.Add(1)
	s.ch.held.push(held{tag: s.ch.tag, stream: s, ref: queue.Ref{}})
	d := wire.Delivery{
		ConsumerTag: s.k.tag, DeliveryTag: s.ch.tag, Exchange: []byte(m.Exchange), RoutingKey: []byte(m.RoutingKey),
		Properties: p.Encode(), Body: m.Body,
	}
	c.out.append(func(dst []byte) []byte { return wire.AppendDelivery(dst, s.ch.number, c.frameMax, &d) })
}

// cancelled tells the client that its stream is gone.
func (s *streamConsumer) cancelled() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	s.k.gone = true
	if !s.ch.gone && c.client.consumerCancel {
		c.out.method(s.ch.number, &wire.BasicCancel{ConsumerTag: s.k.tag, NoWait: true})
	}
}
