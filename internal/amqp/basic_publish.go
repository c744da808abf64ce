package amqp

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/access"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

func (c *conn) basicPublish(ch *channel, p *content, body []byte) error {
	c.s.counters.published.Add(1)
	m := &p.method
	if m.Immediate {
		return connectionErrf(wire.NotImplemented, "immediate=true") // as RabbitMQ since 3.0
	}
	if err := c.allow(access.Write, "exchange", m.Exchange); err != nil {
		return err
	}
	meta, err := c.checkProperties(p, len(body))
	if err != nil {
		return c.exchangeFirst(p, err)
	}
	if handled, err := c.publishReply(ch, p, body); handled || err != nil {
		return err
	}
	if p.properties, err = c.claimReplyTo(ch, p.properties); err != nil {
		return err
	}
	to, err := c.match(ch, p, &meta)
	if err != nil {
		return err
	}
	if to.nobody() {
		c.s.counters.unroutable.Add(1)
		if ch.tx == nil && m.Mandatory {
			c.giveBack(ch, p, body)
		}
	}
	stored := broker.Message{
		Exchange: m.Exchange, RoutingKey: m.RoutingKey, HiddenKeys: to.hidden,
		Properties: p.properties.Bytes(), Body: body, Time: time.Now().UnixMilli(),
	}
	publish := &broker.Publish{Targets: to.queues, Message: meta}
	if len(to.queues) > 0 {
		publish.Batch = stored.AppendBatch(make([]byte, 0, stored.BatchBytes()))
	}
	for _, stream := range to.streams {
		publish.Appends = append(publish.Appends, stream.Append(recordOf(&stored)))
	}
	item := broker.SessionItem{Publish: publish}
	if ch.tx != nil {
		returned := p
		if !to.nobody() || !m.Mandatory {
			returned = nil
		} else {
			p.body = append([]byte(nil), body...)
		}
		return ch.tx.publish(item, returned)
	}
	return c.add(ch, item)
}

// checkProperties reads what the queues need to know of a message, and refuses
// what RabbitMQ refuses.
func (c *conn) checkProperties(p *content, size int) (queue.Message, error) {
	m := queue.Message{Size: int64(size), ExpiresAfter: queue.None, Transient: true}
	if mode, _ := p.properties.DeliveryMode(); mode == wire.Persistent {
		m.Transient = false
	}
	m.Priority, _ = p.properties.Priority()
	if text, ok := p.properties.Text(wire.PropExpiration); ok {
		ms, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || ms < 0 || ms > expiryMax {
			return m, errf(wire.PreconditionFailed, "invalid expiration '%s': must be a whole number of milliseconds from 0 to %d", text, int64(expiryMax))
		}
		m.ExpiresAfter = time.Duration(ms) * time.Millisecond
	}
	if user, ok := p.properties.Text(wire.PropUserID); ok && string(user) != c.user {
		return m, errf(wire.PreconditionFailed, "user_id property set to '%s' but authenticated user was '%s'", user, c.user)
	}
	headers, _ := p.properties.Headers()
	if v, ok := headers.Get("x-deduplication-header"); ok {
		m.DedupID, _ = v.Text()
	}
	return m, nil
}

// targets are where a message goes.
type targets struct {
	queues  []queue.ID
	streams []broker.Stream
	hidden  []string // of BCC, which nobody is told
}

func (t *targets) nobody() bool { return len(t.queues)+len(t.streams) == 0 }

// match finds where a message goes.
func (c *conn) match(ch *channel, p *content, meta *queue.Message) (to targets, err error) {
	headers, _ := p.properties.Headers()
	c.routing.Keys = append(c.routing.Keys[:0], p.method.RoutingKey)
	var shown int
	for _, name := range []string{"CC", "BCC"} {
		shown = len(c.routing.Keys)
		v, ok := headers.Get(name)
		if !ok {
			continue
		}
		keys, ok := v.Array()
		if !ok {
			return to, c.exchangeFirst(p, errf(wire.PreconditionFailed, "invalid header '%s': must be an array of strings", name))
		}
		for key := range keys.All() {
			if text, ok := key.Text(); ok { // others mean nothing
				c.routing.Keys = append(c.routing.Keys, text)
			}
		}
		if name == "BCC" {
			to.hidden = slices.Clone(c.routing.Keys[shown:])
			p.properties = withoutHeader(p.properties, "BCC")
		}
	}
	c.fields = fields{properties: p.properties, headers: headers}
	c.routing.Fields = &c.fields
	c.routing.Random++
	delay, delayed := delayOf(headers)
	c.routing.Delay = delayed
	if err := c.vhost.Match(&c.matched, p.method.Exchange, &c.routing); err != nil {
		return to, c.publishError(p, err)
	}
	if err := c.allowTopic(access.Write, p.method.Exchange, c.routing.Keys...); err != nil {
		return to, err
	}
	c.resolve(&to, c.matched.Queues)
	if len(c.matched.Delayed) > 0 {
		meta.NotBefore = time.Now().Add(delay)
		p.properties = delayServed(p.properties, headers)
		c.resolve(&to, c.matched.Delayed)
	}
	return to, nil
}

// exchangeFirst is an error of a message, unless the exchange takes none at all:
// that counts before.
func (c *conn) exchangeFirst(p *content, err error) error {
	c.routing.Fields = &c.fields
	c.routing.Keys = append(c.routing.Keys[:0], p.method.RoutingKey)
	if none := c.vhost.Match(&c.matched, p.method.Exchange, &c.routing); none != nil {
		return c.publishError(p, none)
	}
	return err
}

// publishError says why a message cannot be published.
func (c *conn) publishError(p *content, err error) error {
	var e *route.Error
	if errors.As(err, &e) && e.Kind == route.AccessRefused {
		return errf(wire.AccessRefused, "cannot publish to internal exchange '%s' in vhost '%s'", p.method.Exchange, c.vhost.Name())
	}
	return routeError(err)
}

// resolve adds the queues and streams of these names that are there.
func (c *conn) resolve(to *targets, names []string) {
	for _, name := range names {
		if q, ok := c.vhost.Queue(name); ok {
			to.queues = append(to.queues, q.ID)
		} else if s, ok := c.vhost.Stream(name); ok {
			to.streams = append(to.streams, s)
		}
	}
}

// delayMax is the longest delay, about 49 days, as in the plugin for RabbitMQ.
const delayMax = (1<<32 - 1) * time.Millisecond

// delayOf is what the header x-delay asks an x-delayed-message exchange for.
func delayOf(headers wire.Table) (time.Duration, bool) {
	v, ok := headers.Get("x-delay")
	if !ok {
		return 0, false
	}
	ms, ok := v.Int()
	if text, isText := v.Text(); isText {
		var err error
		ms, err = strconv.ParseInt(text, 10, 64)
		ok = err == nil
	}
	if !ok || ms <= 0 {
		return 0, false
	}
	return min(time.Duration(min(ms, int64(delayMax/time.Millisecond)))*time.Millisecond, delayMax), true
}

// delayServed are the properties with a negative x-delay, as the plugin for RabbitMQ
// has them: whoever publishes the message again does not delay it again.
func delayServed(r wire.RawProperties, headers wire.Table) wire.RawProperties {
	v, _ := headers.Get("x-delay")
	ms, ok := v.Int()
	if !ok {
		return r
	}
	p := r.Decode()
	p.Headers = p.Headers.With("x-delay", wire.IntValue(-ms))
	return p.Encode()
}

// withoutHeader are the properties without one of their headers.
func withoutHeader(r wire.RawProperties, name string) wire.RawProperties {
	p := r.Decode()
	p.Headers = p.Headers.Without(name)
	return p.Encode()
}

// giveBack returns a message that no queue takes.
func (c *conn) giveBack(ch *channel, p *content, body []byte) {
	c.s.counters.returned.Add(1)
	m := &wire.BasicReturn{
		ReplyCode: wire.NoRoute, ReplyText: wire.NoRoute.String(),
		Exchange: p.method.Exchange, RoutingKey: p.method.RoutingKey,
	}
	c.sendContent(ch.number, m, p.properties, body)
}

// sendContent sends a method with a content.
func (c *conn) sendContent(channel uint16, m wire.Method, properties wire.RawProperties, body []byte) {
	c.out.append(func(dst []byte) []byte {
		dst = wire.AppendMethod(dst, channel, m)
		dst = wire.AppendContentHeader(dst, channel, wire.ContentHeader{BodySize: uint64(len(body)), Properties: properties})
		return wire.AppendBody(dst, channel, c.frameMax, body)
	})
}
