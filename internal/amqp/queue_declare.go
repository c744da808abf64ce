package amqp

import (
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// queue.declare (50.10). An empty name asks for one: amq.gen- and 22 letters. A
// passive one asks whether the queue is there (and may be used) and nothing
// else. Declaring what is there must be equivalent: its flags, and those
// arguments that mean something; others are kept and ignored.
func (c *conn) queueDeclare(ch *channel, m *wire.QueueDeclare) error {
	reply, err := c.declare(ch, m)
	if err != nil {
		return err
	}
	ch.queue = m.Queue
	if !m.NoWait {
		c.out.method(ch.number, &wire.QueueDeclareOk{
			Queue: m.Queue, MessageCount: count(reply.Ready), ConsumerCount: uint32(reply.Consumers),
		})
	}
	return nil
}

func (c *conn) declare(ch *channel, m *wire.QueueDeclare) (*queue.DeclareReply, error) {
	if m.Queue == replyToQueue || strings.HasPrefix(m.Queue, replyToPrefix) {
		return c.declareReplies(m.Queue)
	}
	if m.Passive {
		if s, ok := c.stream(ch, &m.Queue); ok {
			return streamReply(s), nil
		}
		return c.declared(&queue.Declare{Spec: queue.Spec{Name: m.Queue}, Passive: true})
	}
	generated := m.Queue == ""
	if generated {
		m.Queue = generateName("amq.gen-")
	} else if strings.HasPrefix(m.Queue, "amq.") {
		return nil, errf(wire.AccessRefused, "queue name '%s' contains reserved prefix 'amq.*'", m.Queue)
	}
	if err := c.allow(access.Configure, "queue", m.Queue); err != nil {
		return nil, err
	}
	m.Arguments = c.withQueueType(m)
	if v, ok := m.Arguments.Get("x-queue-type"); ok {
		if kind, _ := v.Text(); kind == "stream" {
			return c.declareStream(ch, m, generated)
		}
	}
	if _, ok := c.stream(ch, &m.Queue); ok {
		return nil, errf(wire.PreconditionFailed, "inequivalent arg 'x-queue-type' for queue '%s' in vhost '%s': received none but current is the value 'stream' of type 'longstr'", m.Queue, c.vhost.Name())
	}
	if q, ok := c.vhost.Queue(m.Queue); ok && q.Exclusive != c.owner(m.Exclusive) {
		return nil, c.queueFault(queue.Locked, m.Queue) // before any word on the arguments
	}
	spec, err := c.queueSpec(m, generated)
	if err != nil {
		return nil, err
	}
	return c.declared(&queue.Declare{Spec: spec})
}

// withQueueType are the arguments with the vhost's default type, if they name none
// and the queue can be of it.
func (c *conn) withQueueType(m *wire.QueueDeclare) wire.Table {
	kind := c.vhost.DefaultQueueType()
	if _, ok := m.Arguments.Get("x-queue-type"); ok || kind == "" {
		return m.Arguments
	}
	if kind != "classic" && (!m.Durable || m.Exclusive || m.AutoDelete) {
		return m.Arguments
	}
	return m.Arguments.With("x-queue-type", wire.TextValue(kind))
}

// owner is whose a queue is that this connection declares.
func (c *conn) owner(exclusive bool) queue.ConnectionID {
	if exclusive {
		return c.session.Connection()
	}
	return 0
}

// declared carries the command out.
func (c *conn) declared(d *queue.Declare) (*queue.DeclareReply, error) {
	reply, err := call[*queue.DeclareReply](c, d)
	if err != nil {
		return nil, err
	}
	if reply.Err == queue.Inequivalent {
		return nil, errf(wire.PreconditionFailed, "inequivalent arg '%s' for queue '%s' in vhost '%s'",
			reply.Argument, d.Spec.Name, c.vhost.Name())
	}
	if err := c.queueFault(reply.Err, d.Spec.Name); err != nil {
		return nil, err
	}
	return reply, nil
}
