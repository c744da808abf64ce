package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

func (c *conn) basicQos(ch *channel, m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return connectionErrf(wire.NotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	if m.Global {
		_, err := call[*queue.Done](c, &queue.Prefetch{Channel: ch.id, Limit: int(m.PrefetchCount)})
		if err != nil {
			return err
		}
	} else {
		ch.prefetch = int(m.PrefetchCount)
	}
	c.out.method(ch.number, &wire.BasicQosOk{})
	return nil
}
