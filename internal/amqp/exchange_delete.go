package amqp

import (
	"strings"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
)

// exchange.delete (40.20). Deleting what is not there succeeds.
func (c *conn) exchangeDelete(ch *channel, m *wire.ExchangeDelete) error {
	if m.Exchange == "" || strings.HasPrefix(m.Exchange, "amq.") {
		return errf(wire.AccessRefused, "exchange name '%s' contains reserved prefix 'amq.*'", m.Exchange)
	}
	if err := c.allow(access.Configure, "exchange", m.Exchange); err != nil {
		return err
	}
	if m.Exchange == broker.TopicsExchange && c.vhost.Name() == "/" {
		return errf(wire.AccessRefused, "exchange '%s' in vhost '/' is the broker's own", m.Exchange)
	}
	if err := c.vhost.DeleteExchange(c.ctx, m.Exchange, m.IfUnused); err != nil {
		return routeError(err)
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.ExchangeDeleteOk{})
	}
	return nil
}
