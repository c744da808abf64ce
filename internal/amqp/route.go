package amqp

import (
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// channelMethod carries out a method on an open channel.
func (c *conn) channelMethod(ch *channel, payload []byte) error {
	if id, _ := wire.PeekID(payload); id == wire.IDBasicPublish { // the hot path
		if err := c.awaitNoAlarm(); err != nil {
			return err
		}
		ch.content = &content{}
		return wire.DecodeInto(payload, &ch.content.method)
	}
	m, err := wire.DecodeMethod(payload)
	if err != nil {
		return err
	}
	if told := c.s.cfg.Metrics.Method; told != nil && isAnswered(m) {
		defer func(since time.Time) { told(m.ID().String(), time.Since(since)) }(time.Now())
	}
	if err := c.route(ch, m); err != nil {
		if e := asProtocolError(err); e != nil && e.method == 0 {
			e.method = m.ID()
		}
		return err
	}
	return nil
}

// isAnswered says whether a client may wait for what comes of a method.
func isAnswered(m wire.Method) bool {
	switch m.(type) {
	case *wire.BasicAck, *wire.BasicNack, *wire.BasicReject, *wire.BasicRecoverAsync, *wire.BasicCancelOk,
		*wire.ChannelFlowOk, *wire.ChannelCloseOk:
		return false
	}
	return true
}

// route carries out a method. An error ends the channel or the connection.
func (c *conn) route(ch *channel, m wire.Method) error {
	switch m := m.(type) {
	// Acknowledgements are gathered, like publishes.
	case *wire.BasicAck:
		return c.basicAck(ch, m)
	case *wire.BasicNack:
		return c.basicNack(ch, m)
	case *wire.BasicReject:
		return c.basicReject(ch, m)
	}
	// What follows sees what came before.
	if err := c.flush(); err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.ChannelClose:
		return c.channelClose(ch)
	case *wire.ChannelFlow:
		return c.channelFlow(ch, m)
	case *wire.ChannelFlowOk, *wire.ChannelCloseOk:
		return nil
	case *wire.AccessRequest:
		c.out.method(ch.number, &wire.AccessRequestOk{Ticket: 1})
		return nil

	case *wire.ExchangeDeclare:
		return c.exchangeDeclare(ch, m)
	case *wire.ExchangeDelete:
		return c.exchangeDelete(ch, m)
	case *wire.ExchangeBind:
		return c.exchangeBind(ch, m)
	case *wire.ExchangeUnbind:
		return c.exchangeUnbind(ch, m)

	case *wire.QueueDeclare:
		return c.queueDeclare(ch, m)
	case *wire.QueueBind:
		return c.queueBind(ch, m)
	case *wire.QueueUnbind:
		return c.queueUnbind(ch, m)
	case *wire.QueuePurge:
		return c.queuePurge(ch, m)
	case *wire.QueueDelete:
		return c.queueDelete(ch, m)

	case *wire.BasicQos:
		return c.basicQos(ch, m)
	case *wire.BasicConsume:
		return c.basicConsume(ch, m)
	case *wire.BasicCancel:
		return c.basicCancel(ch, m)
	case *wire.BasicCancelOk:
		return nil
	case *wire.BasicGet:
		return c.basicGet(ch, m)
	case *wire.BasicRecover:
		return c.basicRecover(ch, m.Requeue, true)
	case *wire.BasicRecoverAsync:
		return c.basicRecover(ch, m.Requeue, false)

	case *wire.ConfirmSelect:
		return c.confirmSelect(ch, m)
	case *wire.TxSelect:
		return c.txSelect(ch)
	case *wire.TxCommit:
		return c.txCommit(ch)
	case *wire.TxRollback:
		return c.txRollback(ch)

	case *wire.ChannelOpen:
		return connectionErrf(wire.ChannelError, "second 'channel.open' seen")
	}
	if m.ID().Class() == wire.ClassConnection {
		return connectionErrf(wire.CommandInvalid, "%v on channel %d", m.ID(), ch.number)
	}
	return connectionErrf(wire.CommandInvalid, "%v is not for a broker", m.ID())
}
