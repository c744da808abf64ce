package amqp_test

import (
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestTagOfCancelledConsumer: when the broker ends a consumer, with its queue, the
// tag is free again on the channel.
func TestTagOfCancelledConsumer(t *testing.T) {
	n := start(t)
	ch, other := n.channel(), n.channel()
	if err := ch.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	cancelled := ch.NotifyCancel(make(chan string, 10))
	for _, args := range []amqp091.Table{nil, {"x-queue-type": "stream"}} {
		for range 3 {
			must(ch.QueueDeclare("q", true, false, false, false, args))(t)
			must(ch.Consume("q", "tag", false, false, false, false, nil))(t)
			must(other.QueueDelete("q", false, false, false))(t)
			select {
			case tag := <-cancelled:
				if tag != "tag" {
					t.Fatalf("%q was cancelled", tag)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("nobody was told")
			}
		}
	}
}

// TestQosOfConsumersEndsThatOfTheChannel, as in RabbitMQ; the other way round both
// hold.
func TestQosOfConsumersEndsThatOfTheChannel(t *testing.T) {
	n := start(t)
	for _, c := range []struct {
		first  bool // whether the channel's limit comes first
		limits int  // messages that come
	}{{true, 3}, {false, 1}} {
		ch := n.channel()
		must(ch.QueueDeclare("q", false, false, false, false, nil))(t)
		for range 3 {
			if err := ch.Publish("", "q", false, false, amqp091.Publishing{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, global := range []bool{c.first, !c.first} {
			limit := 10
			if global {
				limit = 1
			}
			if err := ch.Qos(limit, 0, global); err != nil {
				t.Fatal(err)
			}
		}
		ds := must(ch.Consume("q", "", false, false, false, false, nil))(t)
		for range c.limits {
			<-ds
		}
		// What comes, comes before the answer to a later question.
		must(ch.QueueDeclarePassive("q", false, false, false, false, nil))(t)
		if extra := len(ds); extra != 0 {
			t.Errorf("limit of the channel first: %t: %d messages too many", c.first, extra)
		}
		must(ch.QueueDelete("q", false, false, false))(t)
		ch.Close()
	}
}

// TestDelayedDeadLetters: a dead letter waits in an exchange of delayed messages,
// and says afterwards that it has: whoever publishes it again does not delay it.
func TestDelayedDeadLetters(t *testing.T) {
	n := start(t)
	ch := n.channel()
	if err := ch.ExchangeDeclare("late", "x-delayed-message", true, false, false, false, amqp091.Table{"x-delayed-type": "direct"}); err != nil {
		t.Fatal(err)
	}
	must(ch.QueueDeclare("jobs", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "late", "x-dead-letter-routing-key": "dead"}))(t)
	must(ch.QueueDeclare("dead", true, false, false, false, nil))(t)
	if err := ch.QueueBind("dead", "dead", "late", false, nil); err != nil {
		t.Fatal(err)
	}
	const delay = 300 * time.Millisecond
	if err := ch.Publish("", "jobs", false, false, amqp091.Publishing{Headers: amqp091.Table{"x-delay": delay.Milliseconds()}}); err != nil {
		t.Fatal(err)
	}
	d := next2(t, ch, "jobs")
	rejected := time.Now()
	if err := d.Reject(false); err != nil {
		t.Fatal(err)
	}
	next(t, ch, "dead")
	if took := time.Since(rejected); took < delay-time.Millisecond { // the broker counts whole milliseconds
		t.Errorf("it came after %v", took)
	}
	if err := ch.Publish("late", "dead", false, false, amqp091.Publishing{Headers: amqp091.Table{"x-delay": int32(1)}}); err != nil {
		t.Fatal(err)
	}
	if d := next(t, ch, "dead"); d.Headers["x-delay"] != int64(-1) {
		t.Errorf("headers %v", d.Headers)
	}
}

// TestStreamArguments: what only other queues can have is refused.
func TestStreamArguments(t *testing.T) {
	n := start(t)
	conn := n.dial()
	for argument, value := range map[string]any{
		"x-message-ttl": int32(1), "x-expires": int32(1000), "x-max-length": int32(1), "x-overflow": "drop-head", "x-dead-letter-exchange": "",
		"x-single-active-consumer": true, "x-max-priority": int32(1), "x-delivery-limit": int32(1),
	} {
		n.refuses(conn, argument, 406, func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclare("s", true, false, false, false, amqp091.Table{"x-queue-type": "stream", argument: value})
			return err
		})
	}
	must(n.channel().QueueDeclare("s", true, false, false, false, amqp091.Table{
		"x-queue-type": "stream", "x-max-length-bytes": int64(1 << 20), "x-max-age": "1D", "x-stream-max-segment-size-bytes": int32(1 << 20),
		"x-initial-cluster-size": int32(1), "x-queue-leader-locator": "client-local", "x-unknown": "x",
	}))(t)
}
