package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// queue.purge (50.30) drops the messages that are ready.
func (c *conn) queuePurge(ch *channel, m *wire.QueuePurge) error {
	if _, ok := c.stream(ch, &m.Queue); ok {
		return connectionErrf(wire.NotImplemented, "queue.purge not supported by stream queues queue '%s' in vhost '%s'", m.Queue, c.vhost.Name())
	}
	id, err := c.find(ch, &m.Queue)
	if err != nil {
		return err
	}
	if err := c.allow(access.Read, "queue", m.Queue); err != nil {
		return err
	}
	reply, err := call[*queue.PurgeReply](c, &queue.Purge{Queue: id})
	if err == nil {
		err = c.queueFault(reply.Err, m.Queue)
	}
	if err != nil {
		return err
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.QueuePurgeOk{MessageCount: count(reply.Purged)})
	}
	return nil
}
