package amqpdiff

import (
	"fmt"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// declare is a step that declares a durable queue with so many arguments.
func declare(name string, args ...any) Step {
	var f []wire.Field
	for i := 0; i < len(args); i += 2 {
		v := wire.TextValue("")
		switch x := args[i+1].(type) {
		case string:
			v = wire.TextValue(x)
		case bool:
			v = wire.BoolValue(x)
		case int:
			v = wire.IntValue(int64(x))
		}
		f = append(f, wire.Field{Key: args[i].(string), Value: v})
	}
	return Step{Channel: 1, Method: &wire.QueueDeclare{Queue: name, Durable: true, Arguments: wire.MakeTable(f...)}}
}

// on is a method on the first channel of the first connection.
func on(m wire.Method) Step { return Step{Channel: 1, Method: m} }

// publish publishes to a queue.
func publish(queue, id string, priority uint8, expiration string) Step {
	p := wire.Properties{MessageID: id, Priority: priority, Expiration: expiration}
	p.Flags.Set(wire.PropMessageID)
	p.Flags.Set(wire.PropPriority)
	if expiration != "" {
		p.Flags.Set(wire.PropExpiration)
	}
	return Step{Channel: 1, Method: &wire.BasicPublish{RoutingKey: queue}, Content: &Content{p, []byte(id)}}
}

// copied is a step with a header CC.
func copied(s Step, header, to string) Step {
	s.Content.Properties.Headers = wire.MakeTable(wire.Field{Key: header, Value: wire.ArrayValue(wire.MakeArray(wire.TextValue(to)))})
	s.Content.Properties.Flags.Set(wire.PropHeaders)
	return s
}

// TestKnownTogether: two intended differences in one line are known, and a third
// that is none is not.
func TestKnownTogether(t *testing.T) {
	script := []Step{declare("d", "x-queue-type", "quorum")}
	const dead = `content e #000 "m" from "" key "e"%s {headers={%sx-death:[{reason:S(rejected)}]%s}}`
	line := func(again, cc, count string) []string { return []string{fmt.Sprintf(dead, again, cc, count)} }
	waxwing := line("", "", "")
	for _, c := range []struct {
		rabbit []string
		want   string
	}{
		{line("", "CC:[S(a)], ", ""), "dead-letter-cc"},
		{line(" again", "", ""), "dead-letter-delivery-count"},
		{line(" again", "CC:[S(a)], ", ""), "dead-letter-delivery-count+dead-letter-cc"},
		{line(" again", "CC:[S(a)], ", ", x:I(1)"), ""},
	} {
		if got := known(script, len(script), waxwing, c.rabbit); got != c.want {
			t.Errorf("%q: %q, want %q", c.rabbit, got, c.want)
		}
	}
}

// TestQosTurn: whose turn it is under a limit that consumers share is no fault, what
// else comes of it is.
func TestQosTurn(t *testing.T) {
	qos := on(&wire.BasicQos{PrefetchCount: 1, Global: true})
	consume := func(tag string) Step { return on(&wire.BasicConsume{Queue: "d", ConsumerTag: tag}) }
	shared := []Step{declare("d"), qos, consume("c"), consume("e")}
	a, b := []string{`A/1 consumer c #000 "m"`, "queue d #000 messages=0"}, []string{`A/1 consumer e #000 "m"`, "queue d #000 messages=1"}
	if got := known(shared, len(shared), a, b); got != "qos-turn" {
		t.Errorf("another consumer: %q", got)
	}
	if got := known(shared[:3], 3, a, b); got != "" {
		t.Errorf("one consumer: %q", got)
	}
	if got := known(shared, len(shared), append(a, "A/1 return #000"), b); got != "" {
		t.Errorf("and a return: %q", got)
	}
}

// TestDifferencesOfDeliveriesEndAlike: what a script may show of deliveries excuses no
// channel that only one broker closes.
func TestDifferencesOfDeliveriesEndAlike(t *testing.T) {
	script := []Step{declare("d", "x-queue-type", "quorum", "x-overflow", "reject-publish"), declare("e", "x-max-priority", 1), publish("e", "m", 0, "1")}
	a, b := []string{"A/1 confirm #000 refused"}, []string{"A/1 confirm #000 confirmed"}
	if got := known(script, 1, a, b); got != "quorum-reject-publish" {
		t.Errorf("a message that is refused: %q", got)
	}
	closed := append(b, "A/1 answer #000 channel.close ReplyCode=406")
	if got := known(script, 1, a, closed); got != "" {
		t.Errorf("and a channel that ends: %q", got)
	}
}

// intended checks that each intended difference is there, and is told from
// others.
func intended(t *testing.T, p *Pair) {
	for name, script := range map[string][]Step{
		"rabbitmq-fails": {on(&wire.QueueDeclare{Arguments: wire.MakeTable(
			wire.Field{Key: "x-queue-type", Value: wire.IntValue(1)},
		)})},
		"unknown-method":    {declare("d"), {Channel: 1, Raw: junk("d")[0]}},
		"quorum-global-qos": {declare("d", "x-queue-type", "quorum"), on(&wire.BasicQos{PrefetchCount: 1, Global: true}), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"})},
		"quorum-delete-if":  {declare("d", "x-queue-type", "quorum"), on(&wire.QueueDelete{Queue: "d", IfUnused: true})},
		"quorum-exclusive-consumer": {
			declare("d", "x-queue-type", "quorum"), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
			on(&wire.BasicConsume{Queue: "d", ConsumerTag: "e", Exclusive: true}),
		},
		"delivery-limit-type": {declare("d", "x-queue-type", "quorum", "x-delivery-limit", "1")},
		"quorum-reject-publish": {
			declare("d", "x-queue-type", "quorum", "x-max-length", 0, "x-overflow", "reject-publish"), publish("d", "m", 0, ""),
		},
		"tx-is-atomic": {
			declare("d", "x-max-length", 2, "x-overflow", "reject-publish"), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
			on(&wire.TxSelect{}), publish("d", "m0", 0, ""), publish("d", "m1", 0, ""), publish("d", "m2", 0, ""), on(&wire.TxCommit{}),
		},
		"unbind-exclusive": {
			{Conn: 1, Channel: 1, Method: &wire.QueueDeclare{Queue: "d", Exclusive: true}},
			on(&wire.QueueUnbind{Queue: "d", Exchange: "amq.direct", RoutingKey: "a"}),
		},
		"priority-expiry": {declare("d", "x-max-priority", 1), publish("d", "m0", 1, ""), publish("d", "m1", 0, "0")},
		"dead-letter-delivery-count": {
			declare("d", "x-queue-type", "quorum", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "e"), declare("e", "x-queue-type", "quorum"),
			publish("d", "m", 0, ""), on(&wire.BasicGet{Queue: "d"}), {Channel: 1, Method: &wire.BasicReject{}, Settle: &Settle{}},
		},
		"dead-letter-overtakes": {
			declare("d", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "e"), declare("e", "x-queue-type", "quorum"),
			copied(publish("d", "m", 0, "0"), "CC", "e"),
		},
		"quorum-fading-consumer": {
			declare("d", "x-queue-type", "quorum", "x-single-active-consumer", true), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), publish("d", "m0", 0, ""),
			{Channel: 2, Method: &wire.BasicConsume{Queue: "d", ConsumerTag: "e", Arguments: wire.MakeTable(wire.Field{Key: "x-priority", Value: wire.IntValue(1)})}},
			{Channel: 2, Method: &wire.ChannelClose{ReplyCode: wire.ReplySuccess}}, publish("d", "m1", 0, ""),
		},
		"dead-letter-cc": {
			declare("d", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "e"), declare("e"), copied(publish("d", "m", 0, ""), "CC", "nobody"),
			on(&wire.BasicGet{Queue: "d"}), {Channel: 1, Method: &wire.BasicReject{}, Settle: &Settle{}},
		},
		"dead-letter-delivery-count+dead-letter-cc": {
			declare("d", "x-queue-type", "quorum", "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "e"), declare("e", "x-queue-type", "quorum"),
			copied(publish("d", "m", 0, ""), "CC", "nobody"), on(&wire.BasicGet{Queue: "d"}), {Channel: 1, Method: &wire.BasicReject{}, Settle: &Settle{}},
		},
		"quorum-requeue-priority": {
			declare("d", "x-queue-type", "quorum", "x-delivery-limit", -1), publish("d", "m0", 9, ""), get("d"),
			publish("d", "m1", 0, ""), giveBack(&wire.BasicReject{Requeue: true}),
		},
		"qos-counts-get": {
			declare("d"), publish("d", "m0", 0, ""), publish("d", "m1", 0, ""), on(&wire.BasicGet{Queue: "d"}),
			on(&wire.BasicQos{PrefetchCount: 1, Global: true}), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
		},
	} {
		found, err := p.Run(script, Steady)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", name, err)
		case found == nil:
			t.Errorf("%s: both do the same", name)
		case found.Known != name:
			t.Errorf("%s: at step %d %q\n%v", name, found.Step, found.Known, found)
		}
	}
}
