package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// exchange.unbind (40.40), RabbitMQ's. Ending what is not there succeeds.
func (c *conn) exchangeUnbind(ch *channel, m *wire.ExchangeUnbind) error {
	if err := c.allowBinding("exchange", m.Destination, m.Source, m.RoutingKey); err != nil {
		return err
	}
	err := c.vhost.Unbind(c.ctx, route.Bind{
		Source: m.Source, Destination: route.Destination{Kind: route.ToExchange, Name: m.Destination},
		Key: m.RoutingKey, Arguments: arguments(m.Arguments),
	})
	if err != nil {
		return routeError(err)
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.ExchangeUnbindOk{})
	}
	return nil
}
