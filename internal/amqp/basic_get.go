package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// singleActive says whether a queue has one active consumer at a time.
func singleActive(q *broker.QueueInfo) bool {
	t, err := wire.ParseTable(q.Arguments)
	if err != nil {
		return false
	}
	v, _ := t.Get("x-single-active-consumer")
	yes, _ := v.Bool()
	return yes
}

// basic.get (60.70) takes one message. Limits of basic.qos do not count it.
func (c *conn) basicGet(ch *channel, m *wire.BasicGet) error {
	if _, ok := c.stream(ch, &m.Queue); ok {
		return connectionErrf(wire.NotImplemented, "basic.get not supported by stream queues queue '%s' in vhost '%s'", m.Queue, c.vhost.Name())
	}
	id, err := c.find(ch, &m.Queue)
	if err != nil {
		return err
	}
	if err := c.allow(access.Read, "queue", m.Queue); err != nil {
		return err
	}
	info, ok := c.vhost.Queue(m.Queue)
	quorum := ok && info.Kind == queue.Quorum
	if quorum && singleActive(info) {
		return errf(wire.ResourceLocked, "cannot obtain access to locked queue '%s' in vhost '%s'. basic.get operations are not supported by quorum queues with single active consumer", m.Queue, c.vhost.Name())
	}
	reply, err := c.session.CallThen(c.ctx, &queue.Get{Channel: ch.id, Queue: id, SelfSettled: m.NoAck}, func(reply queue.Reply) {
		got := reply.(*queue.GetReply)
		if !got.Found {
			return
		}
		if !quorum {
			got.Delivery.Count = 0
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		d := ch.hold(nil, &got.Delivery, m.NoAck)
		d.ready = got.Ready
		c.out.deliver(d)
	})
	if err != nil {
		return brokerError(err)
	}
	got := reply.(*queue.GetReply)
	if err := c.queueFault(got.Err, m.Queue); err != nil {
		return err
	}
	if !got.Found {
		c.out.method(ch.number, &wire.BasicGetEmpty{})
	}
	return nil
}
