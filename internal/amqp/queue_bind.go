package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// queue.bind (50.20). With an empty queue name an empty routing key means the
// queue's name. Rights are looked at first, and the exchange before the queue.
func (c *conn) queueBind(ch *channel, m *wire.QueueBind) error {
	if m.Queue == "" && m.RoutingKey == "" {
		m.RoutingKey = ch.queue
	}
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
	if err := c.vhost.CheckExchange(m.Exchange); err != nil {
		return routeError(err)
	}
	m.Queue = name
	if _, ok := c.stream(ch, &m.Queue); !ok {
		if _, err := c.find(ch, &m.Queue); err != nil {
			return err
		}
	}
	err = c.vhost.Bind(c.ctx, route.Bind{
		Source: m.Exchange, Destination: route.Destination{Kind: route.ToQueue, Name: m.Queue},
		Key: m.RoutingKey, Arguments: arguments(m.Arguments), Raw: m.Arguments.Clone().Bytes(),
	})
	if err != nil {
		return routeError(err)
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.QueueBindOk{})
	}
	return nil
}
