package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// delivery is a message that is due to a client.
type delivery struct {
	ch       *channel
	consumer *consumer // nil: the answer to basic.get
	tag      uint64
	at       queue.Delivery
	ready    int64 // for basic.get: messages that are left
	noAck    bool
}

// Deliver implements broker.SessionSink: messages for consumers, in order.
func (c *conn) Deliver(ds []queue.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range ds {
		ch := c.byID[ds[i].Channel]
		if ch == nil {
			continue // closed meanwhile: the queue has it back, or will have
		}
		k := ch.byID[ds[i].Consumer]
		if k == nil {
			continue
		}
		if !k.quorum {
			ds[i].Count = 0
		}
		c.out.deliver(ch.hold(k, &ds[i], k.noAck))
	}
}

// hold makes a delivery the next of its channel. conn.mu is held.
func (ch *channel) hold(k *consumer, d *queue.Delivery, noAck bool) *delivery {
	ch.tag++
	if !noAck {
		ch.held.push(held{tag: ch.tag, ref: d.Ref, consumer: k})
	}
	return &delivery{ch: ch, consumer: k, tag: ch.tag, at: *d, noAck: noAck}
}

// Cancelled implements broker.SessionSink: consumers whose queue is gone.
func (c *conn) Cancelled(gone []queue.Cancelled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range gone {
		ch := c.byID[g.Channel]
		if ch == nil || ch.byID[g.Consumer] == nil {
			continue
		}
		k := ch.byID[g.Consumer]
		tag := k.tag
		k.gone = true
		delete(ch.byID, g.Consumer)
		if c.client.consumerCancel {
			c.out.method(ch.number, &wire.BasicCancel{ConsumerTag: tag, NoWait: true})
		}
	}
}
