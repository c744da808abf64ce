package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// queue.delete (50.40). Deleting what is not there succeeds.
func (c *conn) queueDelete(ch *channel, m *wire.QueueDelete) error {
	name, err := c.named(ch, m.Queue)
	if err != nil {
		return err
	}
	if err := c.allow(access.Configure, "queue", name); err != nil {
		return err
	}
	if s, ok := c.stream(ch, &name); ok {
		return c.deleteStream(ch, s, m)
	}
	var ready int64
	if q, ok := c.vhost.Queue(name); ok {
		reply, err := call[*queue.DeleteReply](c, &queue.Delete{Queue: q.ID, IfUnused: m.IfUnused, IfEmpty: m.IfEmpty})
		if err == nil && reply.Err != queue.NotFound {
			err = c.queueFault(reply.Err, name)
		}
		if err != nil {
			return err
		}
		ready = reply.Ready
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.QueueDeleteOk{MessageCount: count(ready)})
	}
	return nil
}
