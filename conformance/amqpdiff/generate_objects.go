package amqpdiff

import (
	"math"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

func (g *generator) queueDeclare() {
	m := &wire.QueueDeclare{
		Queue: one(g, g.queue(), g.queueNamed(g.IntN(4)), g.queueNamed(g.IntN(4)), ""), Passive: g.chance(20), Durable: g.chance(70), Exclusive: g.chance(12),
		AutoDelete: g.chance(12), NoWait: g.chance(5), Arguments: g.queueArguments(),
	}
	if g.chance(5) {
		m.Queue = "amq.mine"
	}
	g.add(m)
	if !m.Passive && m.Queue != "" && m.Queue[0] == 's' {
		g.queues = append(g.queues, m.Queue)
	}
}

func (g *generator) queueBind() {
	g.add(&wire.QueueBind{Queue: g.queue(), Exchange: g.exchange(), RoutingKey: g.key(), NoWait: g.chance(5), Arguments: g.bindArguments()})
}

func (g *generator) queueUnbind() {
	if g.chance(60) {
		if m, ok := earlier[*wire.QueueBind](g); ok {
			g.add(&wire.QueueUnbind{Queue: m.Queue, Exchange: m.Exchange, RoutingKey: m.RoutingKey, Arguments: m.Arguments})
			return
		}
	}
	g.add(&wire.QueueUnbind{Queue: g.queue(), Exchange: g.exchange(), RoutingKey: g.key(), Arguments: g.bindArguments()})
}

func (g *generator) queuePurge() { g.add(&wire.QueuePurge{Queue: g.queue(), NoWait: g.chance(10)}) }

func (g *generator) queueDelete() {
	careful := !g.quorum || g.chance(10)
	g.add(&wire.QueueDelete{Queue: g.queue(), IfUnused: careful && g.chance(40), IfEmpty: careful && g.chance(40), NoWait: g.chance(10)})
}

func (g *generator) exchangeDeclare() {
	m := &wire.ExchangeDeclare{
		Exchange: g.exchangeNamed(g.IntN(3)), Type: one(g, "direct", "fanout", "topic", "headers"), Durable: g.chance(70),
		AutoDelete: g.chance(12), Internal: g.chance(8), NoWait: g.chance(5),
	}
	if g.chance(10) {
		m.Exchange = one(g, "", "amq.direct", "amq.topic", "amq.mine", g.exchangeNamed(9))
		m.Passive = g.chance(50)
	}
	if g.chance(2) {
		m.Type = one(g, "", "bogus", "Direct")
	}
	if g.chance(30) {
		m.Arguments = wire.MakeTable(wire.Field{Key: "alternate-exchange", Value: g.nameValue(g.exchange())})
	}
	g.add(m)
	if !m.Passive && m.Exchange != "" && m.Exchange[0] == 's' {
		g.exchanges = append(g.exchanges, m.Exchange, m.Exchange)
	}
}

func (g *generator) exchangeBind() {
	g.add(&wire.ExchangeBind{Destination: g.exchange(), Source: g.exchange(), RoutingKey: g.key(), NoWait: g.chance(5), Arguments: g.bindArguments()})
}

func (g *generator) exchangeUnbind() {
	if g.chance(60) {
		if m, ok := earlier[*wire.ExchangeBind](g); ok {
			g.add(&wire.ExchangeUnbind{Destination: m.Destination, Source: m.Source, RoutingKey: m.RoutingKey, Arguments: m.Arguments})
			return
		}
	}
	g.add(&wire.ExchangeUnbind{Destination: g.exchange(), Source: g.exchange(), RoutingKey: g.key(), NoWait: g.chance(5)})
}

func (g *generator) exchangeDelete() {
	g.add(&wire.ExchangeDelete{Exchange: g.exchange(), IfUnused: g.chance(50), NoWait: g.chance(10)})
}

// earlier is one of the methods of a kind that the script has.
func earlier[M wire.Method](g *generator) (m M, ok bool) {
	var all []M
	for _, s := range g.script {
		if m, ok := s.Method.(M); ok {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return m, false
	}
	return one(g, all...), true
}

// nameValue is a name as an argument, seldom of another type.
func (g *generator) nameValue(name string) wire.Value {
	if g.chance(2) && !g.tame {
		return one(g, wire.IntValue(1), wire.BoolValue(true), wire.VoidValue())
	}
	return wire.TextValue(name)
}

// number is a numeric argument: mostly one of these, seldom something else.
func (g *generator) number64(values ...int64) wire.Value {
	if g.chance(2) && !g.tame {
		return one(g, wire.IntValue(7), wire.TextValue("1"), wire.BoolValue(true), wire.VoidValue(), wire.FloatValue(1), wire.IntValue(-1),
			wire.IntValue(math.MaxInt64), wire.IntValue(math.MaxUint32), wire.IntValue(math.MaxUint32+1), wire.Int32Value(-5))
	}
	n := one(g, values...)
	if g.chance(50) && n == int64(int32(n)) {
		return wire.Int32Value(int32(n))
	}
	return wire.IntValue(n)
}

func (g *generator) textArgument(values ...string) wire.Value {
	if g.chance(2) && !g.tame {
		return one(g, wire.TextValue("bogus"), wire.IntValue(1), wire.TextValue(""))
	}
	return wire.TextValue(one(g, values...))
}

// queueArguments are few most of the time.
func (g *generator) queueArguments() wire.Table {
	var f []wire.Field
	maybe := func(percent int, key string, v func() wire.Value) {
		if g.chance(percent) {
			f = append(f, wire.Field{Key: key, Value: v()})
		}
	}
	number := func(values ...int64) func() wire.Value { return func() wire.Value { return g.number64(values...) } }
	text := func(values ...string) func() wire.Value {
		return func() wire.Value { return g.textArgument(values...) }
	}
	isQuorum := g.chance(5)
	if g.quorum {
		isQuorum = g.chance(85)
	}
	if isQuorum {
		f = append(f, wire.Field{Key: "x-queue-type", Value: wire.TextValue("quorum")})
	} else {
		maybe(10, "x-queue-type", text("classic"))
	}
	if g.chance(15) || g.dying && g.chance(80) {
		f = append(f, wire.Field{Key: "x-dead-letter-exchange", Value: g.nameValue(one(g, "", "", "", g.exchange()))})
		maybe(85, "x-dead-letter-routing-key", func() wire.Value { return g.nameValue(one(g, g.queue(), g.queue(), g.queue(), "a")) })
	}
	maybe(8, "x-message-ttl", number(0, 0, 0, 60000, 60000, 60001))
	maybe(3, "x-expires", number(60000, 600000))
	maybe(20, "x-max-length", number(0, 1, 1, 2, 3))
	maybe(6, "x-max-length-bytes", number(0, 2, 4, 6, 100))
	if isQuorum {
		maybe(4, "x-overflow", text("drop-head", "reject-publish"))
		maybe(30, "x-delivery-limit", number(0, 1, 1, 2, -1))
		maybe(2, "x-dead-letter-strategy", text("at-most-once"))
		maybe(2, "x-quorum-initial-group-size", number(1, 3))
	} else {
		maybe(15, "x-overflow", text("drop-head", "reject-publish", "reject-publish-dlx"))
		maybe(10, "x-max-priority", number(0, 1, 3, 5, 10, 255))
		maybe(2, "x-queue-mode", text("lazy", "default"))
		maybe(2, "x-queue-version", number(1, 2))
	}
	maybe(8, "x-single-active-consumer", func() wire.Value { return wire.BoolValue(g.chance(80)) })
	maybe(2, "x-queue-leader-locator", text("client-local", "balanced"))
	maybe(3, "x-unknown", func() wire.Value { return one(g, wire.IntValue(1), wire.IntValue(2), wire.TextValue("a")) })
	if !g.tame {
		maybe(5, one(g, "x-expires", "x-max-priority", "x-overflow", "x-delivery-limit", "x-queue-mode", "x-queue-version",
			"x-dead-letter-routing-key", "x-dead-letter-strategy", "x-quorum-initial-group-size", "x-single-active-consumer",
			"x-max-age", "x-max-in-memory-length", "x-queue-type"), number(0, 1, 3, 256))
	}
	return wire.MakeTable(f...)
}

func (g *generator) consumerArguments() wire.Table {
	var f []wire.Field
	if g.chance(15) {
		f = append(f, wire.Field{Key: "x-priority", Value: g.number64(-1, 0, 1, 5)})
	}
	if g.chance(3) {
		f = append(f, wire.Field{Key: "x-unknown", Value: wire.TextValue("a")})
	}
	return wire.MakeTable(f...)
}

// headerValue is a value from few, so that some are equal.
func (g *generator) headerValue() wire.Value {
	return one(g, wire.TextValue("1"), wire.TextValue("x"), wire.IntValue(1), wire.Int32Value(1), wire.BoolValue(true),
		wire.FloatValue(1), wire.VoidValue(), wire.TimeValue(time.Unix(1, 0)), wire.TableValue(wire.Table{}))
}

// headers are those of a message.
func (g *generator) headers() []wire.Field {
	var f []wire.Field
	for _, key := range []string{"h", "i", "x-h"} {
		if g.chance(20) {
			f = append(f, wire.Field{Key: key, Value: g.headerValue()})
		}
	}
	for _, key := range []string{"CC", "BCC"} {
		if g.chance(5) {
			f = append(f, wire.Field{Key: key, Value: g.copies()})
		}
	}
	if g.chance(2) {
		f = append(f, wire.Field{Key: "x-death", Value: one(g, wire.TextValue("a"), wire.ArrayValue(wire.MakeArray()))})
	}
	return f
}

// copies is a CC or BCC header.
func (g *generator) copies() wire.Value {
	if g.chance(15) {
		return one(g, wire.TextValue("a"), wire.ArrayValue(wire.MakeArray()), wire.ArrayValue(wire.MakeArray(wire.IntValue(1))), wire.VoidValue())
	}
	keys := []wire.Value{wire.TextValue(g.key())}
	if g.chance(40) {
		keys = append(keys, wire.TextValue(g.key()))
	}
	return wire.ArrayValue(wire.MakeArray(keys...))
}

// bindArguments are those that a headers exchange knows.
func (g *generator) bindArguments() wire.Table {
	if g.chance(50) {
		return wire.Table{}
	}
	var f []wire.Field
	if g.chance(70) {
		f = append(f, wire.Field{Key: "x-match", Value: g.textArgument("all", "any", "all-with-x", "any-with-x")})
	}
	for _, key := range []string{"h", "i", "x-h"} {
		if g.chance(35) {
			f = append(f, wire.Field{Key: key, Value: g.headerValue()})
		}
	}
	return wire.MakeTable(f...)
}
