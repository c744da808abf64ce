package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// basicCancel ends a consumer. What it holds stays with the channel. Cancelling
// what is not there succeeds.
func (c *conn) basicCancel(ch *channel, m *wire.BasicCancel) error {
	if ch.replies != nil && ch.replies.tag == m.ConsumerTag {
		c.forgetReplies(ch)
	} else if k := ch.consumers[m.ConsumerTag]; k != nil {
		delete(ch.consumers, m.ConsumerTag)
		if k.stream != nil {
			k.stream.stop()
		} else if _, err := call[*queue.Done](c, &queue.Cancel{Consumer: k.id}); err != nil {
			return err
		}
		c.mu.Lock()
		delete(ch.byID, k.id)
		c.mu.Unlock()
	}
	if !m.NoWait {
		c.out.method(ch.number, &wire.BasicCancelOk{ConsumerTag: m.ConsumerTag})
	}
	return nil
}
