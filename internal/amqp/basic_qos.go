package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

func (c *conn) basicQos(ch *channel, m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return connectionErrf(wire.NotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	limit := 0 // a limit for consumers takes that of the channel away, as in RabbitMQ
	if m.Global {
		limit = int(m.PrefetchCount)
	} else {
		ch.prefetch = int(m.PrefetchCount)
	}
	if m.Global || ch.limited {
		if _, err := call[*queue.Done](c, &queue.Prefetch{Channel: ch.id, Limit: limit}); err != nil {
			return err
		}
		ch.limited = limit > 0
	}
	c.out.method(ch.number, &wire.BasicQosOk{})
	return nil
}
