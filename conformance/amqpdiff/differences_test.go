package amqpdiff

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
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

// TestDocumented: docs/rabbitmq-differences.md lists the differences, all of them and
// no others, 20 at most, each with what it rests on.
func TestDocumented(t *testing.T) {
	root, err := harness.Root()
	harness.Must(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "rabbitmq-differences.md"))
	harness.Must(t, err)
	var listed []string
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 && strings.HasPrefix(cells[1], " `") {
			listed = append(listed, strings.Trim(cells[1], " `"))
			if strings.TrimSpace(cells[4]) == "" {
				t.Errorf("%s rests on nothing", cells[1])
			}
		}
	}
	have := []string{quorumConsumers}
	for _, d := range differences {
		have = append(have, d.Name)
	}
	slices.Sort(listed)
	slices.Sort(have)
	if !slices.Equal(listed, have) || len(listed) > 20 {
		t.Errorf("%d are listed:\n%q, and there are\n%q", len(listed), listed, have)
	}
}

// excused checks what a script's difference is taken for at its last step.
func excused(t *testing.T, what string, script []Step, waxwing, rabbit []string, want string) {
	t.Helper()
	if got := known(script, len(script)-1, waxwing, rabbit); got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestQosCountsGet: a channel with a limit that has got messages may have fewer
// deliveries from RabbitMQ, if those are still there.
func TestQosCountsGet(t *testing.T) {
	qos := on(&wire.BasicQos{PrefetchCount: 1, Global: true})
	consume := on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"})
	other := Step{Channel: 2, Method: &wire.BasicConsume{Queue: "d", ConsumerTag: "e"}}
	script := []Step{declare("d"), get("d"), qos, other, consume}
	const delivered, elsewhere, gone, left, two = `A/1 consumer c #000 "m"`, `A/2 consumer e #000 "m"`, "queue d #000 messages=0", "queue d #000 messages=1", "queue d #000 messages=2"
	const want = "qos-counts-get"
	a, b := []string{delivered, gone}, []string{left}
	excused(t, "a delivery that RabbitMQ withholds", script, a, b, want)
	excused(t, "one that another consumer gets", script, a, []string{elsewhere, gone}, want)
	excused(t, "one that Waxwing withholds", script, b, a, "")
	excused(t, "one of another channel", script, []string{elsewhere, gone}, b, "")
	excused(t, "one that RabbitMQ has lost", script, a, []string{gone}, "")
	excused(t, "one that Waxwing has twice", script, a, []string{two}, "")
	excused(t, "another message", script, a, []string{`A/2 consumer e #000 "n"`, gone}, "")
	excused(t, "and a return", script, append(a, "A/1 return #000"), b, "")
	excused(t, "nothing was got", []Step{declare("d"), qos, consume}, a, b, "")
	excused(t, "got on another channel", []Step{declare("d"), {Channel: 2, Method: &wire.BasicGet{Queue: "d"}}, qos, consume}, a, b, "")
}

// TestQuorumRejectPublish: what one broker takes and the other does not is a matter
// of one message, of its confirm, and of the queue that has a limit.
func TestQuorumRejectPublish(t *testing.T) {
	script := []Step{
		declare("d", "x-queue-type", "quorum", "x-overflow", "reject-publish"), declare("e", "x-queue-type", "quorum"),
		on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicConsume{Queue: "e", ConsumerTag: "e"}), publish("d", "m", 0, ""),
	}
	refused := []string{"A/1 confirm m #000 refused", "queue d #000 messages=1", "queue e #000 messages=1"}
	taken := []string{"A/1 confirm m #000 confirmed", "queue d #000 messages=2", "queue e #000 messages=1"}
	const want = "quorum-reject-publish"
	with := func(lines []string, at int, line string) []string {
		lines = append([]string(nil), lines...)
		lines[at] = line
		return lines
	}
	excused(t, "RabbitMQ takes more", script, refused, taken, want)
	excused(t, "RabbitMQ takes less", script, taken, refused, want)
	excused(t, "and delivers it", script, refused, append(with(taken, 1, "queue d #000 messages=1"), `A/1 consumer c #000 "m"`), want)
	excused(t, "two messages", script, refused, with(taken, 1, "queue d #000 messages=3"), "")
	excused(t, "of another queue", script, refused, with(taken, 2, "queue e #000 messages=2"), "")
	excused(t, "to a consumer of another queue", script, refused, append(taken, `A/1 consumer e #000 "m"`), "")
	excused(t, "and a return", script, refused, append(taken, "A/1 return #000"), "")
	classic := append([]Step{declare("d", "x-overflow", "reject-publish")}, script[1:]...)
	excused(t, "a classic queue", classic, refused, taken, "")
}

// TestPriorityExpiry: RabbitMQ may have messages in a queue with priorities that have
// expired, and Waxwing their dead letters.
func TestPriorityExpiry(t *testing.T) {
	script := []Step{
		declare("d", "x-max-priority", 1, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "e"), declare("e"), declare("f"),
		on(&wire.BasicConsume{Queue: "e", ConsumerTag: "e"}), publish("d", "m", 0, "0"),
	}
	dead := func(reason string) string {
		return `A/1 consumer e #000 "m" from "" key "e" {headers={x-death:[{reason:S(` + reason + `)}]}}`
	}
	lines := func(d, e, f int, more ...string) []string {
		return append([]string{fmt.Sprintf("queue d #000 messages=%d", d), fmt.Sprintf("queue e #000 messages=%d", e), fmt.Sprintf("queue f #000 messages=%d", f)}, more...)
	}
	const want = "priority-expiry"
	excused(t, "one that RabbitMQ still has", script, lines(1, 1, 0), lines(2, 0, 0), want)
	excused(t, "of which Waxwing delivers the dead letter", script, lines(1, 0, 0, dead("expired")), lines(2, 0, 0), want)
	excused(t, "of which there is no dead letter", script, lines(1, 0, 0), lines(2, 0, 0), want)
	excused(t, "one that Waxwing still has", script, lines(2, 0, 0), lines(1, 1, 0), "")
	excused(t, "of which the dead letter says something else", script, lines(1, 0, 0, dead("maxlen")), lines(2, 0, 0), "")
	excused(t, "one that RabbitMQ has lost", script, lines(1, 1, 0), lines(1, 0, 0), "")
	excused(t, "one more in a queue without priorities", script, lines(1, 0, 0), lines(1, 0, 1), "")
	excused(t, "another delivery of RabbitMQ's", script, lines(1, 0, 0), lines(1, 0, 0, `A/1 consumer e #000 "n" from "" key "e" {}`), "")
	excused(t, "and a confirm", script, lines(1, 1, 0, "A/1 confirm m #000 refused"), lines(2, 0, 0), "")
	excused(t, "nothing expires", append(script[:4:4], publish("d", "m", 0, "")), lines(1, 1, 0), lines(2, 0, 0), "")
}

// TestTxIsAtomic: a commit delivers its messages in another order, to other consumers,
// or drops some of them; others and other queues have no part in it.
func TestTxIsAtomic(t *testing.T) {
	script := []Step{declare("d", "x-max-length", 1), on(&wire.TxSelect{}), publish("d", "m", 0, ""), on(&wire.TxCommit{})}
	to := func(consumer, at, id string) string {
		return "A/1 consumer " + consumer + " #00" + at + " \"" + id + "\""
	}
	const none, one = "queue d #000 messages=0", "queue d #000 messages=1"
	const want = "tx-is-atomic"
	both := []string{to("c", "0", "m"), to("c", "1", "n"), none}
	excused(t, "another order", script, both, []string{to("c", "0", "n"), to("c", "1", "m"), none}, want)
	excused(t, "other consumers", script, both, []string{to("c", "0", "n"), to("e", "0", "m"), none}, want)
	excused(t, "one over the limit", script, []string{to("c", "0", "n"), none}, both, want)
	excused(t, "one that RabbitMQ has lost", script, both, []string{to("c", "0", "n"), none}, "")
	excused(t, "one without a limit", append([]Step{declare("d")}, script[1:]...), []string{to("c", "0", "n"), none}, both, "")
	excused(t, "one twice", script, []string{to("c", "0", "m"), one}, []string{to("c", "0", "m"), none}, "")
	excused(t, "another message", script, []string{to("c", "0", "o"), none}, both, "")
	excused(t, "and a return", script, append(both, "A/1 return #000"), both, "")
	excused(t, "no commit", script[:3], both, []string{to("c", "0", "n"), to("e", "0", "m"), none}, "")
}

// TestQuorumTxDeleted: a commit is refused whose quorum queue is gone; none else is.
func TestQuorumTxDeleted(t *testing.T) {
	script := func(kind string, deleted string) []Step {
		return []Step{
			declare("d", "x-queue-type", kind), declare("e", "x-queue-type", "classic"), on(&wire.TxSelect{}), publish("d", "m", 0, ""),
			on(&wire.QueueDelete{Queue: deleted}), on(&wire.TxCommit{}),
		}
	}
	closed, ok := []string{"A/1 answer #000 channel.close ReplyCode=406 ClassID=90 MethodID=20"}, []string{"A/1 answer #000 tx.commit-ok "}
	at := func(name string, s []Step, waxwing, rabbit []string, want string) {
		if got := known(s, len(s)-1, waxwing, rabbit); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	at("a quorum queue", script("quorum", "d"), closed, ok, "quorum-tx-deleted")
	at("the other way round", script("quorum", "d"), ok, closed, "")
	at("a classic queue", script("classic", "d"), closed, ok, "")
	at("another queue", script("quorum", "e"), closed, ok, "")
}

// TestQuorumFadingConsumer: RabbitMQ may withhold what Waxwing delivers to a single
// active consumer of a quorum queue, and has it still.
func TestQuorumFadingConsumer(t *testing.T) {
	prior := on(&wire.BasicConsume{Queue: "d", ConsumerTag: "e", Arguments: wire.MakeTable(wire.Field{Key: "x-priority", Value: wire.IntValue(1)})})
	script := []Step{
		declare("d", "x-queue-type", "quorum", "x-single-active-consumer", true), declare("f", "x-queue-type", "quorum"),
		on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicConsume{Queue: "f", ConsumerTag: "f"}), prior,
	}
	const want = "quorum-fading-consumer"
	a, b := []string{`A/1 consumer c #000 "m"`, "queue d #000 messages=0"}, []string{"queue d #000 messages=1"}
	excused(t, "a delivery that RabbitMQ withholds", script, a, b, want)
	excused(t, "one that Waxwing withholds", script, b, a, "")
	excused(t, "one that RabbitMQ has lost", script, a, a[1:], "")
	excused(t, "one of another queue", script, []string{`A/1 consumer f #000 "m"`, "queue d #000 messages=0"}, b, "")
	excused(t, "and a consumer less", script, []string{a[0], "queue d #000 messages=0 consumers=1"}, []string{"queue d #000 messages=1 consumers=0"}, "")
	excused(t, "without priorities of consumers", script[:4], a, b, "")
}

// TestQuorumConsumers: RabbitMQ counts who holds messages as consumers, and no others.
func TestQuorumConsumers(t *testing.T) {
	script := []Step{
		declare("d", "x-queue-type", "quorum"), declare("s", "x-queue-type", "quorum", "x-single-active-consumer", true), declare("c"),
	}
	for _, c := range []struct {
		queue                    string
		consumers, rabbit, holds int
		agree                    bool
	}{
		{"d", 1, 1, 0, true}, {"d", 1, 3, 2, true}, {"d", 1, 2, 2, false}, {"d", 1, 2, 0, false}, {"d", 1, 0, 1, false},
		{"c", 1, 1, 1, true}, {"c", 1, 2, 1, false},
		{"s", 3, 1, 0, true}, {"s", 3, 2, 1, true}, {"s", 3, 0, 0, false}, {"s", 3, 5, 1, false},
	} {
		line := func(n int) []string {
			return []string{
				fmt.Sprintf(`A/1 answer #000 queue.declare-ok %q messages=1 consumers=%d holding=%d`, c.queue, n, c.holds),
				fmt.Sprintf("queue %s #000 messages=1 consumers=%d holding=%d", c.queue, n, c.holds),
			}
		}
		a, b, counted := agreeOnConsumers(script, line(c.consumers), line(c.rabbit))
		if slices.Equal(a, b) != c.agree || counted != (c.agree && c.consumers != c.rabbit) {
			t.Errorf("%+v: %q, %q, %v", c, a, b, counted)
		}
	}
}

// TestDifferencesOfDeliveriesEndAlike: what a script may show of deliveries excuses no
// channel that only one broker closes.
func TestDifferencesOfDeliveriesEndAlike(t *testing.T) {
	script := []Step{declare("d", "x-queue-type", "quorum", "x-overflow", "reject-publish"), declare("e", "x-max-priority", 1), publish("e", "m", 0, "1")}
	a, b := []string{"A/1 confirm m #000 refused"}, []string{"A/1 confirm m #000 confirmed"}
	if got := known(script, 1, a, b); got != "quorum-reject-publish" {
		t.Errorf("a message that is refused: %q", got)
	}
	closed := append(b, "A/1 answer #000 channel.close ReplyCode=406")
	if got := known(script, 1, a, closed); got != "" {
		t.Errorf("and a channel that ends: %q", got)
	}
}

// intendedScripts show each intended difference, some of them several times. What
// is behind a slash is not part of the name.
var intendedScripts = map[string][]Step{
	"rabbitmq-fails": {on(&wire.QueueDeclare{Arguments: wire.MakeTable(
		wire.Field{Key: "x-queue-type", Value: wire.IntValue(1)},
	)})},
	"tx-is-atomic/consumers": {
		declare("d"), publish("d", "m0", 0, ""), {Channel: 2, Method: &wire.TxSelect{}}, {Channel: 2, Method: &wire.BasicGet{Queue: "d"}},
		on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "e"}),
		onSecond(publish("d", "m1", 0, "")), onSecond(giveBack(&wire.BasicReject{Requeue: true})), {Channel: 2, Method: &wire.TxCommit{}},
	},
	"tx-is-atomic/limit": {
		declare("d", "x-max-length", 1), publish("d", "m0", 0, ""), {Channel: 2, Method: &wire.TxSelect{}}, {Channel: 2, Method: &wire.BasicGet{Queue: "d"}},
		on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
		onSecond(publish("d", "m1", 0, "")), onSecond(giveBack(&wire.BasicReject{Requeue: true})), {Channel: 2, Method: &wire.TxCommit{}},
	},
	"unknown-method":    {declare("d"), {Channel: 1, Raw: junk("d")[0]}},
	"quorum-global-qos": {declare("d", "x-queue-type", "quorum"), on(&wire.BasicQos{PrefetchCount: 1, Global: true}), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"})},
	"quorum-global-qos/later": {
		declare("d", "x-queue-type", "quorum"), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicQos{PrefetchCount: 1, Global: true}),
		publish("d", "m0", 0, ""), publish("d", "m1", 0, ""),
	},
	"quorum-delete-if": {declare("d", "x-queue-type", "quorum"), on(&wire.QueueDelete{Queue: "d", IfUnused: true})},
	"quorum-exclusive-consumer": {
		declare("d", "x-queue-type", "quorum"), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
		on(&wire.BasicConsume{Queue: "d", ConsumerTag: "e", Exclusive: true}),
	},
	"quorum-reject-publish": {
		declare("d", "x-queue-type", "quorum", "x-max-length", 0, "x-overflow", "reject-publish"), publish("d", "m", 0, ""),
	},
	"tx-is-atomic": {
		declare("d", "x-max-length", 2, "x-overflow", "reject-publish"), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
		on(&wire.TxSelect{}), publish("d", "m0", 0, ""), publish("d", "m1", 0, ""), publish("d", "m2", 0, ""), on(&wire.TxCommit{}),
	},
	"quorum-tx-deleted": {
		declare("d", "x-queue-type", "quorum"), onSecond(on(&wire.TxSelect{})), onSecond(publish("d", "m", 0, "")),
		on(&wire.QueueDelete{Queue: "d"}), onSecond(on(&wire.TxCommit{})),
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

	"mandatory-reply": {
		declare("d"), on(&wire.BasicConsume{Queue: "amq.rabbitmq.reply-to", ConsumerTag: "r", NoAck: true}),
		answerable(publish("d", "m", 0, "")), get("d"), mandatory(publish("@0", "answer", 0, "")),
	},
	"close-is-atomic": { // what dies last comes first
		declare("e"), deadLettersTo("d", "e", "x-queue-type", "quorum", "x-max-length", 0), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
		publish("d", "m0", 0, ""), publish("d", "m1", 0, ""), on(&wire.ChannelClose{ReplyCode: wire.ReplySuccess}),
	},
}

// onSecond is a step on the second channel.
func onSecond(s Step) Step {
	s.Channel = 2
	return s
}

// answerable asks for an answer by direct reply-to.
func answerable(s Step) Step {
	s.Content.Properties.ReplyTo = "amq.rabbitmq.reply-to"
	s.Content.Properties.Flags.Set(wire.PropReplyTo)
	return s
}

func mandatory(s Step) Step {
	s.Method.(*wire.BasicPublish).Mandatory = true
	return s
}

// intended checks that each intended difference is there, and is told from
// others.
func intended(t *testing.T, p *Pair) {
	for name, script := range intendedScripts {
		t.Run(name, func(t *testing.T) { shows(t, p, name, script, Steady, 1) })
	}
	for name, script := range chanceScripts {
		t.Run(name, func(t *testing.T) { shows(t, p, name, script, Quick, chanceTries) })
	}
	t.Run(quorumConsumers, func(t *testing.T) { counted(t, p) })
	for _, d := range differences {
		_, script := intendedScripts[d.Name]
		_, chance := chanceScripts[d.Name]
		if !script && !chance {
			t.Errorf("%s has no script", d.Name)
		}
	}
}

// chanceScripts do so sooner or later: it is a matter of chance.
var chanceScripts = map[string][]Step{
	"qos-turn": {
		declare("d"), declare("e"), publish("d", "m0", 0, ""), publish("d", "m1", 0, ""), publish("d", "m2", 0, ""),
		publish("e", "m3", 0, ""), publish("e", "m4", 0, ""), publish("e", "m5", 0, ""), on(&wire.BasicQos{PrefetchCount: 1, Global: true}),
		on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicConsume{Queue: "e", ConsumerTag: "e"}),
		giveBack(&wire.BasicAck{}), giveBack(&wire.BasicAck{}), giveBack(&wire.BasicAck{}), giveBack(&wire.BasicAck{}),
	},
	"close-is-atomic/delivery": { // a dead letter comes to a consumer of the channel that closes
		declare("e"), deadLettersTo("d", "e", "x-max-length", 0),
		on(&wire.BasicConsume{Queue: "e", ConsumerTag: "e"}), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}),
		publish("d", "m0", 0, ""), on(&wire.ChannelClose{ReplyCode: wire.ReplySuccess}),
	},
}

// chanceTries is how often a chanceScript is carried out at most: one in three or
// more shows its difference.
const chanceTries = 60

// shows checks that a script shows a difference, and no other, within so many tries.
func shows(t *testing.T, p *Pair, name string, script []Step, pace Pace, tries int) {
	name, _, _ = strings.Cut(name, "/")
	for range tries {
		found, err := p.Run(script, pace)
		harness.Must(t, err)
		if found != nil && found.Known == "" && pace != Steady {
			found, err = p.Run(script, Steady)
			harness.Must(t, err)
		}
		if found == nil {
			continue
		}
		if found.Known != name {
			t.Errorf("at step %d %q\n%v", found.Step, found.Known, found)
		}
		return
	}
	t.Errorf("both do the same, %d times", tries)
}

// counted checks that quorumConsumers is there, and that nothing else is seen of it:
// an answer to basic.get and a cancelled consumer that hold messages, and consumers
// that wait for their turn.
func counted(t *testing.T, p *Pair) {
	for name, script := range map[string][]Step{
		"got":       {declare("d", "x-queue-type", "quorum"), publish("d", "m", 0, ""), get("d")},
		"cancelled": {declare("d", "x-queue-type", "quorum"), publish("d", "m", 0, ""), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicCancel{ConsumerTag: "c"})},
		"waits": {
			declare("d", "x-queue-type", "quorum", "x-single-active-consumer", true),
			on(&wire.BasicConsume{Queue: "d", ConsumerTag: "c"}), on(&wire.BasicConsume{Queue: "d", ConsumerTag: "e"}),
		},
	} {
		before := p.Seen[quorumConsumers]
		found, err := p.Run(script, Steady)
		harness.Must(t, err)
		if found != nil {
			t.Errorf("%s: it differs at step %d\n%v", name, found.Step, found)
		}
		if p.Seen[quorumConsumers] == before {
			t.Errorf("%s: both count the same", name)
		}
	}
}

// alike are scripts in which Waxwing once did something else than RabbitMQ.
func alike(t *testing.T, p *Pair) {
	quorumWith := func(limit wire.Value) Step {
		return on(&wire.QueueDeclare{Queue: "d", Durable: true, Arguments: wire.MakeTable(
			wire.Field{Key: "x-queue-type", Value: wire.TextValue("quorum")}, wire.Field{Key: "x-delivery-limit", Value: limit},
		)})
	}
	mine := Step{Conn: 1, Channel: 1, Method: &wire.QueueDeclare{Queue: "d", Exclusive: true}}
	bound := Step{Conn: 1, Channel: 1, Method: &wire.QueueBind{Queue: "d", Exchange: "amq.direct", RoutingKey: "b"}}
	scripts := map[string][]Step{
		"an acknowledgement out of turn that is taken back": {
			declare("d"), publish("d", "m0", 0, ""), publish("d", "m1", 0, ""), get("d"), get("d"), on(&wire.TxSelect{}),
			{Channel: 1, Method: &wire.BasicAck{}, Settle: &Settle{At: 1}}, on(&wire.TxRollback{}),
			{Channel: 1, Method: &wire.BasicAck{}, Settle: &Settle{At: 1}}, on(&wire.TxCommit{}),
		},
		"bindings of another connection's queue": {
			mine, bound, on(&wire.QueueUnbind{Queue: "d", Exchange: "amq.direct", RoutingKey: "a"}), on(&wire.QueueUnbind{Queue: "d", Exchange: "nobody", RoutingKey: "b"}),
			on(&wire.QueueUnbind{Queue: "d", Exchange: "amq.direct", RoutingKey: "b"}),
			on(&wire.QueueBind{Queue: "d", Exchange: "amq.direct", RoutingKey: "b"}), on(&wire.QueueBind{Queue: "d", Exchange: "nobody", RoutingKey: "b"}),
		},
	}
	limits := []wire.Value{
		wire.TextValue("1"), wire.BoolValue(true), wire.VoidValue(), wire.FloatValue(1.5), wire.FloatValue(-0.5), wire.TableValue(wire.Table{}), wire.IntValue(1),
	}
	for _, limit := range limits {
		script := []Step{quorumWith(limit)}
		for _, other := range limits {
			script = append(script, quorumWith(other))
		}
		script = append(script, declare("d", "x-queue-type", "quorum"), publish("d", "m0", 0, ""), publish("d", "m1", 0, ""))
		for range 3 {
			script = append(script, get("d"), giveBack(&wire.BasicReject{Requeue: true}))
		}
		scripts["a delivery limit of "+valueText(limit)] = script
	}
	for name, script := range scripts {
		found, err := p.Confirm(script)
		harness.Must(t, err)
		if found != nil {
			t.Errorf("%s: it differs at step %d\n%v", name, found.Step, found)
		}
	}
}
