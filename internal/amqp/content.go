package amqp

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// content is a basic.publish on its way.
type content struct {
	method     wire.BasicPublish
	properties wire.RawProperties
	size       uint64
	body       []byte // what has come; nil before the header
	header     bool   // the header has come
	counted    int64  // bytes that are counted in Server.content
}

// contentHeader takes the header that follows basic.publish.
func (c *conn) contentHeader(ch *channel, payload []byte) error {
	p := ch.content
	switch {
	case p == nil:
		return connectionErrf(wire.UnexpectedFrame, "expected a method frame, got a content header instead")
	case p.header:
		return unexpected("body", "header")
	}
	h, err := wire.ParseContentHeader(payload)
	if err != nil {
		e := asProtocolError(err)
		e.method = wire.IDBasicPublish
		return e
	}
	if h.BodySize > c.s.cfg.MessageBytesMax {
		c.dropContent(ch)
		e := errf(wire.PreconditionFailed, "message size %d is larger than configured max size %d", h.BodySize, c.s.cfg.MessageBytesMax)
		e.method = wire.IDBasicPublish
		return e
	}
	p.properties, p.size, p.header = h.Properties.Clone(), h.BodySize, true
	if p.size == 0 {
		return c.contentWhole(ch, nil)
	}
	return nil
}

// unexpected is the error of content that comes out of order.
func unexpected(wanted, got string) error {
	e := connectionErrf(wire.UnexpectedFrame, "expected content %s for class 60, got %s instead", wanted, got)
	e.method = wire.IDBasicPublish
	return e
}

// contentBody takes a part of a body.
func (c *conn) contentBody(ch *channel, payload []byte) error {
	p := ch.content
	switch {
	case p == nil:
		return connectionErrf(wire.UnexpectedFrame, "expected a method frame, got a content body instead")
	case !p.header:
		return unexpected("header", "body")
	case uint64(len(p.body))+uint64(len(payload)) > p.size:
		return unexpected("body", "body of more bytes than its header says")
	case len(p.body) == 0 && uint64(len(payload)) == p.size:
		return c.contentWhole(ch, payload) // in one piece: not copied
	}
	n := int64(len(payload))
	if c.s.content.Add(n) > c.s.cfg.ContentBytesMax {
		c.s.content.Add(-n)
		return connectionErrf(wire.ResourceError, "too many bytes of unfinished messages on this broker")
	}
	p.counted += n
	p.body = append(p.body, payload...)
	if uint64(len(p.body)) == p.size {
		return c.contentWhole(ch, p.body)
	}
	return nil
}

// contentWhole publishes what has come whole. body is valid until it returns.
func (c *conn) contentWhole(ch *channel, body []byte) error {
	p := ch.content
	c.dropContent(ch)
	if err := c.basicPublish(ch, p, body); err != nil {
		if e := asProtocolError(err); e != nil && e.method == 0 {
			e.method = wire.IDBasicPublish
		}
		return err
	}
	return nil
}

// dropContent forgets a publish that has not come whole.
func (c *conn) dropContent(ch *channel) {
	if ch.content != nil {
		c.s.content.Add(-ch.content.counted)
		ch.content = nil
	}
}
