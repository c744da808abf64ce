package amqp

import (
	"strings"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// Direct reply-to (RabbitMQ, "Direct Reply-to"): a client consumes, without
// acknowledgements, from the pseudo-queue amq.rabbitmq.reply-to, and publishes
// requests on the same channel with that name as reply-to. The broker puts a
// name of its own there, which leads back to that channel; an answer to it, on
// the default exchange, goes to the channel's output and never into a queue.

const (
	replyToQueue  = "amq.rabbitmq.reply-to"
	replyToPrefix = replyToQueue + "."
)

// replyTable finds the channels that wait for answers.
type replyTable struct {
	mu sync.Mutex
	by map[string]replyChannel // by generated name
}

type replyChannel struct {
	c  *conn
	ch *channel
	k  *consumer
}

func (t *replyTable) add(name string, r replyChannel) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]replyChannel{}
	}
	t.by[name] = r
}

func (t *replyTable) remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.by, name)
}

func (t *replyTable) find(name string) (replyChannel, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.by[name]
	return r, ok
}

// consumeReplies is basic.consume from the pseudo-queue.
func (c *conn) consumeReplies(ch *channel, m *wire.BasicConsume) error {
	switch {
	case !m.NoAck:
		return errf(wire.PreconditionFailed, "reply consumer cannot acknowledge")
	case ch.replies != nil:
		return errf(wire.PreconditionFailed, "reply consumer already set")
	}
	if m.ConsumerTag == "" {
		m.ConsumerTag = generateName("amq.ctag-")
	}
	if ch.consumers[m.ConsumerTag] != nil {
		return connectionErrf(wire.NotAllowed, "attempt to reuse consumer tag '%s'", m.ConsumerTag)
	}
	ch.replies = &consumer{tag: m.ConsumerTag, noAck: true}
	ch.replyName = generateName(replyToPrefix)
	c.s.replies.add(ch.replyName, replyChannel{c, ch, ch.replies})
	if !m.NoWait {
		c.out.method(ch.number, &wire.BasicConsumeOk{ConsumerTag: m.ConsumerTag})
	}
	return nil
}

// declareReplies is queue.declare of the pseudo-queue, or of a name that leads to
// a channel: who has to answer asks so whether that channel is still there.
func (c *conn) declareReplies(name string) (*queue.DeclareReply, error) {
	if _, ok := c.s.replies.find(name); !ok && name != replyToQueue {
		return nil, c.queueFault(queue.NotFound, name)
	}
	return &queue.DeclareReply{Consumers: 1}, nil
}

// forgetReplies ends the channel's reply consumer, if it has one.
func (c *conn) forgetReplies(ch *channel) {
	if ch.replies != nil {
		c.s.replies.remove(ch.replyName)
		ch.replies, ch.replyName = nil, ""
	}
}

// claimReplyTo puts the channel's own name into a request that asks for direct
// replies.
func (c *conn) claimReplyTo(ch *channel, r wire.RawProperties) (wire.RawProperties, error) {
	name, ok := r.Text(wire.PropReplyTo)
	if !ok || string(name) != replyToQueue {
		return r, nil
	}
	if ch.replies == nil {
		return r, errf(wire.PreconditionFailed, "fast reply consumer does not exist")
	}
	p := r.Decode()
	p.ReplyTo = ch.replyName
	return p.Encode(), nil
}

// publishReply sends an answer on its direct way, if it is one.
func (c *conn) publishReply(ch *channel, p *content, body []byte) (handled bool, err error) {
	if p.method.Exchange != "" || !strings.HasPrefix(p.method.RoutingKey, replyToPrefix) {
		return false, nil
	}
	to, ok := c.s.replies.find(p.method.RoutingKey)
	if ok {
		ok = to.c.sendReply(to, p, body)
	}
	if !ok {
		c.s.counters.unroutable.Add(1)
	}
	if !ok && p.method.Mandatory {
		c.giveBack(ch, p, body)
	}
	return true, c.add(ch, itemOfNobody())
}

// replyOutputMax is how many bytes of answers may wait for a client that does
// not read them; more are dropped, as an answer to nobody is.
const replyOutputMax = 16 << 20

// sendReply delivers an answer to the channel that waits for it.
func (c *conn) sendReply(to replyChannel, p *content, body []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to.ch.gone || c.out.size() > replyOutputMax {
		return false
	}
	to.ch.tag++
	c.s.counters.delivered.Add(1)
	d := wire.Delivery{
		ConsumerTag: to.k.tag, DeliveryTag: to.ch.tag,
		Exchange: []byte(p.method.Exchange), RoutingKey: []byte(p.method.RoutingKey),
		Properties: p.properties, Body: body,
	}
	c.out.append(func(dst []byte) []byte { return wire.AppendDelivery(dst, to.ch.number, c.frameMax, &d) })
	return true
}
