package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// basic.recover (60.110) and recover-async (60.100) give back what the channel
// holds, at once, on a channel with transactions too. Without requeue they are
// not supported, as in RabbitMQ.
func (c *conn) basicRecover(ch *channel, requeue, answer bool) error {
	if !requeue {
		return connectionErrf(wire.NotImplemented, "requeue=false")
	}
	c.mu.Lock()
	all, _ := ch.held.take(nil, 0, true)
	c.mu.Unlock()
	giveCredit(all)
	c.settleHeld(ch, queue.Release, all)
	if err := c.flush(); err != nil {
		return err
	}
	if answer {
		c.out.method(ch.number, &wire.BasicRecoverOk{})
	}
	return nil
}
