package amqp_test

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// What RabbitMQ 4.0.5 answers was found by the differential test in
// conformance/amqpdiff; here it is held without one.

// code is the reply code of an error, 0 if there is none.
func code(t *testing.T, err error) int {
	t.Helper()
	var e *amqp091.Error
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &e):
		t.Fatal(err)
	}
	return e.Code
}

// refuses does something on a channel of its own, and checks the reply code
// that it brings.
func (n *node) refuses(conn *amqp091.Connection, what string, want int, do func(ch *amqp091.Channel) error) {
	n.t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		n.t.Fatal(err)
	}
	defer ch.Close()
	if got := code(n.t, do(ch)); got != want {
		n.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// TestQueueArguments: each kind of queue refuses the arguments of the other
// kinds and values that mean nothing, and ignores what nobody knows.
func TestQueueArguments(t *testing.T) {
	n := start(t)
	conn := n.dial()
	for i, c := range []struct {
		kind, key string
		value     any
		want      int
	}{
		{"classic", "x-message-ttl", int64(315360000000), 0},
		{"classic", "x-message-ttl", int64(315360000001), 406},
		{"classic", "x-expires", int64(315360000000), 0},
		{"classic", "x-expires", 0, 406},
		{"classic", "x-delivery-limit", 1, 406},
		{"classic", "x-dead-letter-strategy", "at-most-once", 406},
		{"classic", "x-quorum-initial-group-size", 1, 406},
		{"classic", "x-max-in-memory-length", 1, 406},
		{"classic", "x-max-age", "1h", 406},
		{"classic", "x-queue-mode", "lazy", 0},
		{"classic", "x-queue-mode", "other", 406},
		{"classic", "x-queue-version", 2, 0},
		{"classic", "x-queue-version", 3, 406},
		{"classic", "x-queue-leader-locator", "balanced", 0},
		{"classic", "x-queue-leader-locator", "other", 406},
		{"classic", "x-unknown", 1, 0},
		{"quorum", "x-delivery-limit", 1, 0},
		{"quorum", "x-delivery-limit", -5, 0},
		{"quorum", "x-delivery-limit", int64(1) << 40, 0},
		{"quorum", "x-delivery-limit", "1", 0},
		{"quorum", "x-delivery-limit", 1.5, 0},
		{"quorum", "x-max-priority", 0, 406},
		{"quorum", "x-queue-mode", "lazy", 406},
		{"quorum", "x-queue-version", 2, 406},
		{"quorum", "x-queue-master-locator", "client-local", 406},
		{"quorum", "x-quorum-initial-group-size", 3, 0},
		{"quorum", "x-quorum-initial-group-size", 0, 406},
		{"quorum", "x-dead-letter-strategy", "other", 406},
		{"quorum", "x-unknown", 1, 0},
	} {
		n.refuses(conn, fmt.Sprintf("%s with %s %v", c.kind, c.key, c.value), c.want, func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclare("q"+strconv.Itoa(i), true, false, false, false, amqp091.Table{"x-queue-type": c.kind, c.key: c.value})
			return err
		})
	}
}

// TestArgumentTwice: of arguments with the same name the first counts.
func TestArgumentTwice(t *testing.T) {
	n := start(t)
	r := n.raw().open()
	args := wire.MakeTable(
		wire.Field{Key: "x-queue-type", Value: wire.TextValue("quorum")}, wire.Field{Key: "x-delivery-limit", Value: wire.IntValue(1)},
		wire.Field{Key: "x-queue-type", Value: wire.IntValue(0)}, wire.Field{Key: "x-delivery-limit", Value: wire.IntValue(2)},
	)
	r.method(1, &wire.QueueDeclare{Queue: "q", Durable: true, Arguments: args})
	r.expect(1, &wire.QueueDeclareOk{})
	n.refuses(n.dial(), "the same without the second ones", 0, func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": 1})
		return err
	})
}

// TestDeclareAgain: what is there is not judged, only compared; whose it is
// comes first.
func TestDeclareAgain(t *testing.T) {
	n := start(t)
	mine, other := n.dial(), n.dial()
	ch := must(mine.Channel())(t)
	must(ch.QueueDeclare("shared", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("mine", false, false, true, false, nil))(t)
	gen := must(ch.QueueDeclare("", true, false, false, false, nil))(t)
	declare := func(name string, durable, exclusive bool, args amqp091.Table) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclare(name, durable, false, exclusive, false, args)
			return err
		}
	}
	n.refuses(other, "another's, with a bad argument", 405, declare("mine", false, false, amqp091.Table{"x-queue-version": 7}))
	n.refuses(mine, "an exclusive one as shared", 405, declare("mine", false, false, nil))
	n.refuses(other, "a shared one as exclusive", 405, declare("shared", true, true, amqp091.Table{"x-max-length": 1}))
	n.refuses(other, "naming the kind that it has", 0, declare("shared", true, false, amqp091.Table{"x-queue-type": "classic"}))
	n.refuses(other, "an argument of another kind", 0, declare("shared", true, false, amqp091.Table{"x-delivery-limit": 1}))
	n.refuses(other, "a bad argument of another kind", 0, declare("shared", true, false, amqp091.Table{"x-dead-letter-strategy": 1}))
	n.refuses(other, "a new queue with one", 406, declare("new", true, false, amqp091.Table{"x-dead-letter-strategy": 1}))
	n.refuses(other, "a name that the broker made up", 403, declare(gen.Name, true, false, nil))
	n.refuses(mine, "no name, passive", 404, func(ch *amqp091.Channel) error {
		must(ch.QueueDeclare("shared", true, false, false, false, nil))(t)
		_, err := ch.QueueDeclarePassive("", true, false, false, false, nil)
		return err
	})
}

// TestBindingsOfAnother: ending a binding of a queue that is another connection's
// is refused if the binding is there, and making one if its exchange is.
func TestBindingsOfAnother(t *testing.T) {
	n := start(t)
	mine, other := n.dial(), n.dial()
	ch := must(mine.Channel())(t)
	must(ch.QueueDeclare("mine", false, false, true, false, nil))(t)
	bound := amqp091.Table{"a": int32(1)}
	if err := ch.QueueBind("mine", "k", "amq.headers", false, bound); err != nil {
		t.Fatal(err)
	}
	unbind := func(key, exchange string, args amqp091.Table) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error { return ch.QueueUnbind("mine", key, exchange, args) }
	}
	n.refuses(other, "unbind", 405, unbind("k", "amq.headers", bound))
	n.refuses(other, "unbind with another key", 0, unbind("l", "amq.headers", bound))
	n.refuses(other, "unbind with other arguments", 0, unbind("k", "amq.headers", amqp091.Table{"a": int32(2)}))
	n.refuses(other, "unbind another exchange", 0, unbind("k", "amq.topic", bound))
	n.refuses(other, "unbind an exchange that is not there", 0, unbind("k", "nobody", bound))
	bind := func(exchange string) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error { return ch.QueueBind("mine", "l", exchange, false, nil) }
	}
	n.refuses(other, "bind", 405, bind("amq.topic"))
	n.refuses(other, "bind to an exchange that is not there", 404, bind("nobody"))
	n.refuses(mine, "unbind what is one's own", 0, unbind("k", "amq.headers", bound))
	n.refuses(other, "unbind once it is gone", 0, unbind("k", "amq.headers", bound))
}

// TestRefusalsOfConsumers: which consumers may not be.
func TestRefusalsOfConsumers(t *testing.T) {
	n := start(t)
	conn := n.dial()
	ch := must(conn.Channel())(t)
	must(ch.QueueDeclare("classic", true, false, false, false, amqp091.Table{"x-single-active-consumer": true}))(t)
	must(ch.QueueDeclare("quorum", true, false, false, false, amqp091.Table{"x-single-active-consumer": true, "x-queue-type": "quorum"}))(t)
	n.refuses(conn, "exclusive among single active ones", 403, func(ch *amqp091.Channel) error {
		_, err := ch.Consume("classic", "", false, true, false, false, nil)
		return err
	})
	n.refuses(conn, "basic.get from a quorum queue with a single active consumer", 405, func(ch *amqp091.Channel) error {
		_, _, err := ch.Get("quorum", true)
		return err
	})
	n.refuses(conn, "a priority beyond 32 bits", 0, func(ch *amqp091.Channel) error {
		_, err := ch.Consume("quorum", "", false, false, false, false, amqp091.Table{"x-priority": int64(1) << 32})
		return err
	})
	n.refuses(conn, "binding to the default exchange", 403, func(ch *amqp091.Channel) error {
		return ch.QueueBind("nobody", "key", "", false, nil)
	})
	n.refuses(n.dial(), "a tag that is taken, for a queue that is not there", 530, func(ch *amqp091.Channel) error {
		must(ch.Consume("classic", "twice", false, false, false, false, nil))(t)
		closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
		_, err := ch.Consume("nobody", "twice", false, false, false, true, nil)
		if err == nil {
			err = <-closed
		}
		return err
	})
}

// TestRefusalsOfMessages: which messages are refused; the exchange counts first.
func TestRefusalsOfMessages(t *testing.T) {
	n := start(t)
	conn := n.dial()
	ch := must(conn.Channel())(t)
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	for _, c := range []struct {
		what, exchange string
		message        amqp091.Publishing
		want           int
	}{
		{"ten years", "", amqp091.Publishing{Expiration: "315360000000"}, 0},
		{"more than ten years", "", amqp091.Publishing{Expiration: "315360000001"}, 406},
		{"a sign", "", amqp091.Publishing{Expiration: "+5"}, 0},
		{"no number", "", amqp091.Publishing{Expiration: "1.5"}, 406},
		{"no number, to nowhere", "nowhere", amqp091.Publishing{Expiration: "1.5"}, 404},
		{"CC of numbers", "", amqp091.Publishing{Headers: amqp091.Table{"CC": []any{int32(1), "q"}}}, 0},
		{"CC that is no array", "", amqp091.Publishing{Headers: amqp091.Table{"CC": "q"}}, 406},
		{"CC that is no array, to nowhere", "nowhere", amqp091.Publishing{Headers: amqp091.Table{"CC": "q"}}, 404},
		{"another user, to nowhere", "nowhere", amqp091.Publishing{UserId: "nobody"}, 404},
	} {
		n.refuses(conn, c.what, c.want, func(ch *amqp091.Channel) error {
			closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
			if err := ch.Publish(c.exchange, "q", false, false, c.message); err != nil {
				return err
			}
			if _, err := ch.QueueDeclarePassive("q", true, false, false, false, nil); err != nil {
				return <-closed
			}
			return nil
		})
	}
}

// TestDeliveryCount: quorum queues say how often a message came back, classic
// ones do not.
func TestDeliveryCount(t *testing.T) {
	n := start(t)
	ch := n.channel()
	for kind, want := range map[string]any{"classic": nil, "quorum": int64(1)} {
		must(ch.QueueDeclare(kind, true, false, false, false, amqp091.Table{"x-queue-type": kind}))(t)
		if err := ch.Publish("", kind, false, false, amqp091.Publishing{}); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			d, ok, err := ch.Get(kind, false)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if got := d.Headers["x-delivery-count"]; i == 1 && got != want {
				t.Errorf("%s: x-delivery-count is %v, want %v", kind, got, want)
			}
			if err := d.Reject(true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPriorityZero: a queue with x-max-priority 0 has two priorities, 0 and
// above.
func TestPriorityZero(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-max-priority": 0}))(t)
	for _, p := range []uint8{0, 4} {
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Priority: p}); err != nil {
			t.Fatal(err)
		}
	}
	if d, ok, err := ch.Get("q", true); err != nil || !ok || d.Priority != 4 {
		t.Errorf("first came priority %d (%v, %v)", d.Priority, ok, err)
	}
}

// TestHeadersOfOtherTypes: a float is equal to no whole number, of which the
// width does not matter. A time is the number of its seconds in an argument, and
// of its milliseconds in a message.
func TestHeadersOfOtherTypes(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("t", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("k", true, false, false, false, nil))(t)
	for queue, value := range map[string]any{"q": int64(1), "t": time.Unix(1, 0), "k": int64(1000)} {
		if err := ch.QueueBind(queue, "", "amq.headers", false, amqp091.Table{"h": value}); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []any{time.Unix(1, 0), float64(1), int32(1)} {
		if err := ch.Publish("amq.headers", "", false, false, amqp091.Publishing{Headers: amqp091.Table{"h": v}}); err != nil {
			t.Fatal(err)
		}
	}
	for queue, want := range map[string]any{"q": int32(1), "t": int32(1), "k": time.Unix(1, 0)} {
		q := must(ch.QueueDeclarePassive(queue, true, false, false, false, nil))(t)
		if d := next(t, ch, queue); q.Messages != 1 || d.Headers["h"] != want {
			t.Errorf("%s: %d messages, the first has %v, want %v", queue, q.Messages, d.Headers["h"], want)
		}
	}
}
