package amqp

import (
	"maps"
	"math"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// basic.consume (60.20), basic.cancel (60.30) and basic.qos (60.10).
//
// A consumer without acknowledgements (no-ack) is one whose messages are
// acknowledged when they have been written to the socket, with a window of
// noAckWindow: what was never sent is not lost with the connection. The limit of basic.qos
// holds for each consumer that comes after it, or, if global, for the channel.

const (
	// noAckWindow is how many messages are under way to a no-ack consumer.
	noAckWindow = 2000
	// consumersMax is how many consumers a channel may have.
	consumersMax = 4096
)

func (c *conn) basicConsume(ch *channel, m *wire.BasicConsume) error {
	if m.Queue == replyToQueue {
		return c.consumeReplies(ch, m)
	}
	c.forgetGone(ch)
	if ch.consumers[m.ConsumerTag] != nil || ch.replies != nil && ch.replies.tag == m.ConsumerTag {
		return connectionErrf(wire.NotAllowed, "attempt to reuse consumer tag '%s'", m.ConsumerTag)
	}
	stream, isStream := c.stream(ch, &m.Queue)
	var id queue.ID
	if !isStream {
		var err error
		if id, err = c.find(ch, &m.Queue); err != nil {
			return err
		}
	}
	if err := c.allow(access.Read, "queue", m.Queue); err != nil {
		return err
	}
	if m.ConsumerTag == "" {
		m.ConsumerTag = generateName("amq.ctag-")
	}
	if len(ch.consumers) >= consumersMax {
		return errf(wire.ResourceError, "channel %d has %d consumers already", ch.number, consumersMax)
	}
	if isStream {
		return c.consumeStream(ch, stream, m)
	}
	cmd := &queue.Subscribe{
		Channel: ch.id, Consumer: c.s.cfg.Broker.NewConsumerID(), Queue: id,
		Prefetch: ch.prefetch, Exclusive: m.Exclusive,
	}
	if m.NoAck {
		cmd.Prefetch = noAckWindow
	}
	if v, ok := m.Arguments.Get("x-priority"); ok {
		n, err := wholeNumber(v, math.MinInt64, math.MaxInt64)
		if err != nil {
			return errf(wire.PreconditionFailed, "invalid arg 'x-priority' for queue '%s' in vhost '%s': %v", m.Queue, c.vhost.Name(), err)
		}
		cmd.Priority = int32(min(max(n, math.MinInt32), math.MaxInt32))
	}
	info, ok := c.vhost.Queue(m.Queue)
	if ok && m.Exclusive && info.Kind == queue.Classic && singleActive(info) {
		return c.queueFault(queue.ExclusiveUse, m.Queue) // one excludes the other
	}
	k := &consumer{id: cmd.Consumer, tag: m.ConsumerTag, noAck: m.NoAck, quorum: ok && info.Kind == queue.Quorum}
	return c.subscribe(ch, k, cmd, m)
}

// forgetGone forgets the consumers whose queues are gone: their tags are free.
func (c *conn) forgetGone(ch *channel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(ch.consumers, func(_ string, k *consumer) bool { return k.gone })
}

// subscribe starts a consumer. The answer goes out before its first message.
func (c *conn) subscribe(ch *channel, k *consumer, cmd *queue.Subscribe, m *wire.BasicConsume) error {
	c.mu.Lock()
	ch.byID[k.id] = k
	c.mu.Unlock()
	reply, err := c.session.CallThen(c.ctx, cmd, func(reply queue.Reply) {
		if reply.(*queue.SubscribeReply).Err == queue.OK && !m.NoWait {
			c.out.method(ch.number, &wire.BasicConsumeOk{ConsumerTag: k.tag})
		}
	})
	if err == nil {
		err = c.queueFault(reply.(*queue.SubscribeReply).Err, m.Queue)
	} else {
		err = brokerError(err)
	}
	if err != nil {
		c.mu.Lock()
		delete(ch.byID, k.id)
		c.mu.Unlock()
		return err
	}
	ch.consumers[k.tag] = k
	return nil
}
