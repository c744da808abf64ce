package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// allowBinding: to bind takes the right to write to the destination and to read
// from the source, with that key if it is a topic exchange.
func (c *conn) allowBinding(kind, destination, source, key string) error {
	if err := c.allow(access.Write, kind, destination); err != nil {
		return err
	}
	if err := c.allow(access.Read, "exchange", source); err != nil {
		return err
	}
	return c.allowTopic(access.Read, source, key)
}

// allowTopic checks a right to use keys with an exchange, which only topic
// exchanges ask for.
func (c *conn) allowTopic(right access.Right, exchange string, keys ...string) error {
	for _, key := range keys {
		if c.vhost.AllowTopic(c.user, exchange, right, key) {
			continue
		}
		if x, ok := c.vhost.Exchange(exchange); !ok || x.Type != route.Topic {
			return nil
		}
		return errf(wire.AccessRefused, "%v access to topic '%s' in exchange topic '%s' in vhost '%s' refused for user '%s'",
			right, key, exchange, c.vhost.Name(), c.user)
	}
	return nil
}

// notDefault refuses to bind a queue to the default exchange, which has its
// bindings by itself.
func (c *conn) notDefault(ch *channel, queue, source string) error {
	if _, err := c.named(ch, queue); err != nil {
		return err
	}
	if source == "" {
		return errf(wire.AccessRefused, "operation not permitted on the default exchange")
	}
	return nil
}

// allow checks a right of the connection's user.
func (c *conn) allow(right access.Right, kind, name string) error {
	if c.vhost.Allow(c.user, right, name) {
		return nil
	}
	return errf(wire.AccessRefused, "%v access to %s '%s' in vhost '%s' refused for user '%s'", right, kind, name, c.vhost.Name(), c.user)
}

// allowDeadLetter: to dead-letter takes the right to read from the queue and to
// write to the exchange.
func (c *conn) allowDeadLetter(m *wire.QueueDeclare) error {
	v, ok := m.Arguments.Get("x-dead-letter-exchange")
	if !ok {
		return nil
	}
	if err := c.allow(access.Read, "queue", m.Queue); err != nil {
		return err
	}
	exchange, _ := v.Text()
	return c.allow(access.Write, "exchange", exchange)
}
