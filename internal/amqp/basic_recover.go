package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// basic.recover (60.110) and recover-async (60.100) give back what the channel
// holds. Without requeue they are not supported, as in RabbitMQ.
func (c *conn) basicRecover(ch *channel, requeue, answer bool) error {
	if !requeue {
		return connectionErrf(wire.NotImplemented, "requeue=false")
	}
	if err := c.settle(ch, queue.Release, 0, true); err != nil {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	if answer {
		c.out.method(ch.number, &wire.BasicRecoverOk{})
	}
	return nil
}
