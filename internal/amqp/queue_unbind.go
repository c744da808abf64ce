package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// queue.unbind (50.50). Ending what is not there succeeds, whosever the queue is.
func (c *conn) queueUnbind(ch *channel, m *wire.QueueUnbind) error {
	name, err := c.named(ch, m.Queue)
	if err != nil {
		return err
	}
	if err := c.notDefault(ch, name, m.Exchange); err != nil {
		return err
	}
	if err := c.allowBinding("queue", name, m.Exchange, m.RoutingKey); err != nil {
		return err
	}
	b := route.Bind{
		Source: m.Exchange, Destination: route.Destination{Kind: route.ToQueue, Name: name},
		Key: m.RoutingKey, Arguments: arguments(m.Arguments),
	}
	q, ok := c.vhost.Queue(name)
	switch locked := ok && q.Exclusive != 0 && q.Exclusive != c.session.Connection(); {
	case !locked:
		err = c.vhost.Unbind(c.ctx, b)
	case c.vhost.Bound(b):
		return c.queueFault(queue.Locked, name)
	}
	if err != nil {
		return routeError(err)
	}
	c.out.method(ch.number, &wire.QueueUnbindOk{})
	return nil
}
