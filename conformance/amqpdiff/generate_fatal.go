package amqpdiff

import (
	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// fatal does on the last connection, of which the only channel may hold things,
// what a broker answers by closing the connection, or should not mind.
func (g *generator) fatal() {
	g.conn, g.number = connections-1, 1
	for range g.IntN(4) {
		one(g, g.consume, g.get, g.publish, g.queueDeclare)()
	}
	g.conn, g.number = connections-1, 1
	switch g.IntN(14) {
	case 0:
		g.add(&wire.BasicRecover{Requeue: false})
	case 1:
		g.add(&wire.BasicQos{PrefetchSize: 1})
	case 2:
		g.publish()
		g.script[len(g.script)-1].Method.(*wire.BasicPublish).Immediate = true
	case 3:
		g.add(&wire.ChannelFlow{Active: false})
	case 4:
		g.twoConsumers()
	case 5:
		g.add(&wire.ChannelOpen{})
	case 6:
		g.unopened()
	case 7:
		g.add(g.serversOwn())
	case 8:
		g.number = 0
		g.add(one[wire.Method](g, &wire.ConnectionStartOk{Mechanism: "PLAIN"}, &wire.ConnectionTuneOk{}, &wire.ConnectionOpen{VirtualHost: "/"}, &wire.ChannelOpen{}))
	case 9:
		g.add(&wire.AccessRequest{Realm: "/data"})
	case 10:
		g.add(&wire.BasicRecoverAsync{Requeue: false})
	default:
		g.junk()
	}
}

// twoConsumers uses a consumer tag twice.
func (g *generator) twoConsumers() {
	q := g.queueNamed(0)
	g.add(&wire.BasicConsume{Queue: q, ConsumerTag: "twice"})
	g.add(&wire.BasicConsume{Queue: one(g, q, q, g.queue()), ConsumerTag: "twice"})
}

// unopened uses a channel that is not open, or cannot be.
func (g *generator) unopened() {
	m := one[wire.Method](g, &wire.BasicGet{Queue: g.queueNamed(0)}, &wire.BasicAck{DeliveryTag: 1}, &wire.ChannelClose{ReplyCode: 200}, &wire.TxCommit{}, &wire.ChannelCloseOk{})
	g.number = 3
	if g.chance(20) {
		g.number, m = channelMax+1, &wire.ChannelOpen{}
	}
	g.add(m).Unopened = true
}

// serversOwn is a method that no client may send.
func (g *generator) serversOwn() wire.Method {
	return one[wire.Method](g, &wire.QueueDeclareOk{Queue: "a"}, &wire.BasicGetEmpty{}, &wire.ConfirmSelectOk{}, &wire.BasicConsumeOk{ConsumerTag: "a"},
		&wire.ConnectionTuneOk{}, &wire.ConnectionClose{ReplyCode: 200}, &wire.ChannelOpenOk{}, &wire.ExchangeUnbindOk{})
}

// junk sends frames that are wrong, or in the wrong order.
func (g *generator) junk() {
	raw := one(g, junk(g.queueNamed(0))...)
	g.script = append(g.script, Step{Conn: g.conn, Channel: 1, Raw: raw})
}

// junk are frames for channel 1 that are wrong, or in the wrong order.
func junk(queue string) [][]byte {
	frame := func(t wire.FrameType, channel uint16, payload ...byte) []byte {
		b := wire.AppendFrameHeader(nil, t, channel, uint32(len(payload)))
		return append(append(b, payload...), wire.FrameEnd)
	}
	header := wire.AppendContentHeader(nil, 1, wire.ContentHeader{BodySize: 3})
	publish := wire.AppendMethod(nil, 1, &wire.BasicPublish{RoutingKey: queue})
	get := wire.AppendMethod(nil, 1, &wire.BasicGet{Queue: queue})
	badEnd := append(get[:len(get)-1:len(get)-1], 0)
	otherClass := append([]byte(nil), header...)
	otherClass[8] = wire.ClassQueue
	return [][]byte{
		frame(wire.TypeMethod, 1, 0, 99, 0, 10),                    // no such class
		frame(wire.TypeMethod, 1, 0, 60, 0, 99),                    // no such method
		frame(wire.TypeMethod, 1, 0, 60),                           // an id cut off
		frame(wire.TypeMethod, 1, 0, 50, 0, 10, 0, 0),              // fields cut off
		frame(wire.TypeHeartbeat, 1),                               // on a channel
		frame(wire.TypeHeartbeat, 0),                               // quite right
		frame(9, 1),                                                // no such type
		frame(wire.TypeBody, 1, 1, 2, 3),                           // without a method
		frame(wire.TypeBody, 0, 1),                                 // on channel 0
		header,                                                     // without a method
		join(publish, get),                                         // without content
		join(publish, frame(wire.TypeBody, 1, 1)),                  // without a header
		join(publish, header, header),                              // two headers
		join(publish, header, get),                                 // without the body
		join(publish, header, frame(wire.TypeBody, 1, 1, 2, 3, 4)), // too much body
		join(publish, otherClass),
		badEnd,
		wire.AppendFrameHeader(nil, wire.TypeMethod, 1, frameMax*4), // too large
		[]byte("garbage, garbage, garbage"),
	}
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
