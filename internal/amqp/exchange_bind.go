package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// exchange.bind (40.30), RabbitMQ's: Destination gets what Source routes to it.
func (c *conn) exchangeBind(ch *channel, m *wire.ExchangeBind) error {
	if err := c.allowBinding("exchange", m.Destination, m.Source, m.RoutingKey); err != nil {
		return err
	}
	err := c.vhost.Bind(c.ctx, route.Bind{
		Source: m.Source, Destination: route.Destination{Kind: route.ToExchange, Name: m.Destination},
		Key: m.RoutingKey, Arguments: arguments(m.Arguments), Raw: m.Arguments.Clone().Bytes(),
	})
	if err != nil {
		return routeError(err)
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.ExchangeBindOk{})
	}
	return nil
}
