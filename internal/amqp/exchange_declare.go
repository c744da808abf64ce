package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// exchange.declare (40.10). A passive one asks whether the exchange is there
// and nothing else. Declaring what is there must be equivalent, or 406.
func (c *conn) exchangeDeclare(ch *channel, m *wire.ExchangeDeclare) error {
	if m.Passive {
		if err := c.vhost.CheckExchange(m.Exchange); err != nil {
			return routeError(err)
		}
	} else {
		if err := c.allow(access.Configure, "exchange", m.Exchange); err != nil {
			return err
		}
		if err := c.allowAlternate(m); err != nil {
			return err
		}
		err := c.vhost.DeclareExchange(c.ctx, route.Declare{
			Name: m.Exchange, Type: m.Type, Durable: m.Durable, AutoDelete: m.AutoDelete, Internal: m.Internal,
			Arguments: arguments(m.Arguments), Raw: m.Arguments.Clone().Bytes(),
		})
		if err != nil {
			return routeError(err)
		}
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.ExchangeDeclareOk{})
	}
	return nil
}

// allowAlternate checks that whoever names an alternate exchange may read from
// the exchange and write to the alternate.
func (c *conn) allowAlternate(m *wire.ExchangeDeclare) error {
	v, ok := m.Arguments.Get("alternate-exchange")
	alternate, text := v.Text()
	if !ok || !text {
		return nil
	}
	if err := c.allow(access.Read, "exchange", m.Exchange); err != nil {
		return err
	}
	return c.allow(access.Write, "exchange", alternate)
}
