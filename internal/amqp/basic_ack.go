package amqp

import (
	"cmp"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// basic.ack (60.80), basic.reject (60.90) and RabbitMQ's basic.nack (60.120)
// settle deliveries of their channel. Tag 0 with multiple means all. A tag that
// is not there, one that was settled before included, ends the channel. On a
// channel with transactions they count from the commit on.

func (c *conn) basicAck(ch *channel, m *wire.BasicAck) error {
	return c.settle(ch, queue.Acknowledge, m.DeliveryTag, m.Multiple)
}

func (c *conn) basicNack(ch *channel, m *wire.BasicNack) error {
	return c.settle(ch, rejection(m.Requeue), m.DeliveryTag, m.Multiple)
}

func (c *conn) basicReject(ch *channel, m *wire.BasicReject) error {
	return c.settle(ch, rejection(m.Requeue), m.DeliveryTag, false)
}

func rejection(requeue bool) queue.SettleKind {
	if requeue {
		return queue.Release
	}
	return queue.Reject
}

func (c *conn) settle(ch *channel, kind queue.SettleKind, tag uint64, multiple bool) error {
	c.mu.Lock()
	taken, ok := ch.held.take(nil, tag, multiple)
	c.mu.Unlock()
	switch {
	case !ok:
		return errf(wire.PreconditionFailed, "unknown delivery tag %d", tag)
	case len(taken) == 0:
		return nil
	}
	if kind == queue.Acknowledge {
		c.s.counters.acknowledged.Add(int64(len(taken)))
	}
	switch {
	case ch.tx != nil:
		return ch.tx.settle(kind, taken)
	}
	giveCredit(taken)
	c.settleHeld(ch, kind, taken)
	return nil
}

// settleHeld gathers a settlement. One that goes on where the last one ends
// becomes part of it. What comes back does so as in RabbitMQ, one after another
// and with what that brings about in between: first each message that was got,
// then what the consumers hold, by their tags.
func (c *conn) settleHeld(ch *channel, kind queue.SettleKind, hs []held) {
	if kind != queue.Release {
		c.gatherSettle(ch, kind, hs)
		return
	}
	slices.SortFunc(hs, compareReleases)
	for len(hs) > 0 {
		n := 1
		for n < len(hs) && hs[n].consumer != nil && hs[n].releaseKey() == hs[0].releaseKey() {
			n++
		}
		c.gatherSettle(ch, kind, hs[:n])
		hs = hs[n:]
	}
}

// compareReleases sorts what a client gives back by when it comes back.
func compareReleases(a, b held) int {
	return cmp.Or(cmp.Compare(a.releaseKey(), b.releaseKey()), cmp.Compare(a.tag, b.tag))
}

// releaseKey is what comes before a delivery's tag when it is given back.
func (h *held) releaseKey() string {
	if h.consumer == nil {
		return ""
	}
	return h.consumer.tag
}

// gatherSettle adds one settlement to the batch.
func (c *conn) gatherSettle(ch *channel, kind queue.SettleKind, hs []held) {
	refs := ranges(hs)
	if len(refs) == 0 {
		return // all of streams
	}
	if n := len(c.batch); n > 0 && kind != queue.Release {
		if last := c.batch[n-1].Settle; last != nil && last.Kind == kind && last.Channel == ch.id {
			last.Refs = append(last.Refs, refs...)
			return
		}
	}
	c.batch = append(c.batch, broker.SessionItem{Settle: &queue.Settle{Kind: kind, Channel: ch.id, Refs: refs}})
}
