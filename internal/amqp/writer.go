package amqp

import (
	"errors"
	"slices"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
)

// writeLoop sends what is due, in order, and heartbeats while there is nothing,
// until output is closed. It gathers small things and reads messages from
// their logs at the last moment, so that a backlog of deliveries holds no
// message in memory.
func (c *conn) writeLoop() error {
	w := &writer{c: c, messages: c.session.Messages()}
	var items []outItem
	for {
		items = c.out.take(items)
		if err := w.sendAll(items); err != nil {
			return err
		}
		clear(items)
		if len(items) == 0 && c.out.ended() {
			return nil
		}
		if len(items) == 0 {
			if err := w.sleep(); err != nil {
				return err
			}
		}
	}
}

// writer is the writing side of a connection.
type writer struct {
	c        *conn
	messages *broker.MessageReader
	buf      []byte
	sent     []held // no-ack messages in buf, of channel
	channel  *channel
	timer    *time.Timer
}

// sendAll sends items and lets no-ack consumers have more.
func (w *writer) sendAll(items []outItem) error {
	for _, it := range items {
		if it.delivery != nil {
			if err := w.deliver(it.delivery); err != nil {
				return err
			}
		} else {
			w.buf = append(w.buf, it.bytes...)
		}
		if len(w.buf) >= outputFlush {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

// deliver gathers a message.
func (w *writer) deliver(d *delivery) error {
	if d.noAck && w.channel != d.ch {
		if err := w.flush(); err != nil {
			return err
		}
		w.channel = d.ch
	}
	m, err := w.messages.Read(w.c.ctx, d.at.Log, d.at.Ref.Offset)
	if errors.Is(err, broker.ErrGone) {
		return nil // its queue was deleted meanwhile
	}
	if err != nil {
		return err
	}
	properties, err := wire.ParseProperties(m.Properties)
	if err != nil {
		return err
	}
	if d.at.Count > 0 {
		properties = withDeliveryCount(properties, d.at.Count)
	}
	if d.consumer == nil {
		w.buf = wire.AppendMethod(w.buf, d.ch.number, &wire.BasicGetOk{
			DeliveryTag: d.tag, Redelivered: d.at.Redelivered, Exchange: m.Exchange, RoutingKey: m.RoutingKey, MessageCount: count(d.ready),
		})
		w.buf = wire.AppendContentHeader(w.buf, d.ch.number, wire.ContentHeader{BodySize: uint64(len(m.Body)), Properties: properties})
		w.buf = wire.AppendBody(w.buf, d.ch.number, w.c.frameMax, m.Body)
	} else {
		w.buf = wire.AppendDelivery(w.buf, d.ch.number, w.c.frameMax, &wire.Delivery{
			ConsumerTag: d.consumer.tag, DeliveryTag: d.tag, Redelivered: d.at.Redelivered,
			Exchange: []byte(m.Exchange), RoutingKey: []byte(m.RoutingKey), Properties: properties, Body: m.Body,
		})
	}
	w.c.s.counters.delivered.Add(1)
	if d.noAck {
		w.sent = append(w.sent, held{tag: d.tag, ref: d.at.Ref})
	}
	return nil
}

// withDeliveryCount adds the header by which a quorum queue says how often a
// message came back.
func withDeliveryCount(r wire.RawProperties, n uint32) wire.RawProperties {
	p := r.Decode()
	p.Flags.Set(wire.PropHeaders)
	p.Headers = p.Headers.With("x-delivery-count", wire.IntValue(int64(n)))
	return p.Encode()
}

// flush writes what is gathered, and acknowledges what of it needs no
// acknowledgement by the client.
func (w *writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	c := w.c
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.writeMax())); err != nil {
		return err
	}
	n, err := c.nc.Write(w.buf)
	if c.s.cfg.Metrics.BytesOut != nil {
		c.s.cfg.Metrics.BytesOut(int64(n))
	}
	if w.buf = w.buf[:0]; cap(w.buf) > outputKeep {
		w.buf = nil
	}
	if err != nil {
		return err
	}
	if len(w.sent) == 0 {
		return nil
	}
	item := broker.SessionItem{Settle: &queue.Settle{Kind: queue.Acknowledge, Channel: w.channel.id, Refs: ranges(w.sent)}}
	w.sent = slices.Delete(w.sent, 0, len(w.sent))
	return c.session.Submit(c.ctx, &broker.SessionBatch{Items: []broker.SessionItem{item}})
}

// writeMax is how long a write may make no progress.
func (c *conn) writeMax() time.Duration {
	if c.ctx.Err() != nil {
		return closeMax
	}
	if c.heartbeat > 0 {
		return max(2*c.heartbeat, closeMax)
	}
	return stallMax
}

// sleep waits for something to send. When nothing comes for half of the time
// after which the client would miss it, it is a heartbeat.
func (w *writer) sleep() error {
	c := w.c
	if c.heartbeat == 0 {
		<-c.out.wake
		return nil
	}
	if w.timer == nil {
		w.timer = time.NewTimer(c.heartbeat / 2)
	} else {
		w.timer.Reset(c.heartbeat / 2)
	}
	select {
	case <-c.out.wake:
		w.timer.Stop()
		return nil
	case <-w.timer.C:
		w.buf = wire.AppendHeartbeat(w.buf)
		return w.flush()
	}
}
