package amqp_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/record"
)

func (n *node) createTopic(name string, partitions int) {
	n.t.Helper()
	if _, err := n.broker.CreateTopic(context.Background(), broker.TopicSpec{Name: name, Partitions: partitions}); err != nil {
		n.t.Fatal(err)
	}
}

// next waits for a message of a queue.
func next(t *testing.T, ch *amqp091.Channel, queue string) amqp091.Delivery {
	t.Helper()
	for range 2000 {
		d, ok, err := ch.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return d
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("no message in %s", queue)
	return amqp091.Delivery{}
}

func empty(t *testing.T, ch *amqp091.Channel, queue string) {
	t.Helper()
	if d, ok, err := ch.Get(queue, true); ok || err != nil {
		t.Fatalf("%s holds %q, %v", queue, d.Body, err)
	}
}

// TestTopicsExchange: the records of topics that a binding matches go to its
// queue, once each, from the binding on, also across restarts.
func TestTopicsExchange(t *testing.T) {
	n := start(t)
	ch := n.channel()
	n.createTopic("orders.eu", 1)
	n.createTopic("other", 1)
	n.produce("orders.eu", record.Record{Timestamp: 1, Value: []byte("before the binding")})
	must(ch.QueueDeclare("work", true, false, false, false, nil))(t)
	if err := ch.QueueBind("work", "orders.*", "waxwing.topics", false, nil); err != nil {
		t.Fatal(err)
	}
	send := func(topic string, i int) {
		n.produce(topic, record.Record{Timestamp: 1000, Key: []byte("k"), Value: fmt.Append(nil, topic, " ", i), Headers: []record.RecordHeader{{Key: []byte("h"), Value: []byte("v")}}})
	}
	send("other", 0)
	for i := range 300 {
		send("orders.eu", i)
	}
	for i := range 200 {
		d := next(t, ch, "work")
		if string(d.Body) != fmt.Sprint("orders.eu ", i) || d.Exchange != "waxwing.topics" || d.RoutingKey != "orders.eu" || d.Headers["h"] != "v" || d.Headers["kafka-key"] != "k" {
			t.Fatalf("message %d: %+v", i, d)
		}
	}
	must(ch.QueueDeclarePassive("work", true, false, false, false, nil))(t) // the last one is settled before this is answered
	n.stop()
	n.open()
	ch = n.channel()
	send("orders.eu", 300)
	for i := 200; i <= 300; i++ {
		if d := next(t, ch, "work"); string(d.Body) != fmt.Sprint("orders.eu ", i) {
			t.Fatalf("after the restart: %q, want message %d", d.Body, i)
		}
	}
	// A topic that is younger than the binding is routed from its start.
	n.createTopic("orders.us", 1)
	send("orders.us", 1)
	if d := next(t, ch, "work"); string(d.Body) != "orders.us 1" {
		t.Fatalf("%q", d.Body)
	}
	// Without the binding nothing is routed, and with it again only what is new.
	if err := ch.QueueUnbind("work", "orders.*", "waxwing.topics", nil); err != nil {
		t.Fatal(err)
	}
	send("orders.eu", 301)
	if err := ch.QueueBind("work", "orders.eu", "waxwing.topics", false, nil); err != nil {
		t.Fatal(err)
	}
	send("orders.eu", 302)
	if d := next(t, ch, "work"); string(d.Body) != "orders.eu 302" {
		t.Fatalf("%q", d.Body)
	}
	empty(t, ch, "work")
	if err := ch.Publish("waxwing.topics", "orders.eu", false, false, amqp091.Publishing{}); err != nil {
		t.Fatal(err)
	}
	closed := <-ch.NotifyClose(make(chan *amqp091.Error, 1))
	if closed == nil || closed.Code != amqp091.AccessRefused {
		t.Fatalf("publishing to it: %v", closed)
	}
}

// TestTopicsExchangeStays: the exchange cannot be deleted, nor declared as
// something else.
func TestTopicsExchangeStays(t *testing.T) {
	n := start(t)
	refuses := func(code int, do func(*amqp091.Channel) error) {
		t.Helper()
		err := do(n.channel())
		if e, ok := err.(*amqp091.Error); !ok || e.Code != code {
			t.Errorf("got %v, want %d", err, code)
		}
	}
	refuses(amqp091.AccessRefused, func(ch *amqp091.Channel) error { return ch.ExchangeDelete("waxwing.topics", false, false) })
	refuses(amqp091.PreconditionFailed, func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclare("waxwing.topics", "topic", true, false, false, false, nil)
	})
	ch := n.channel()
	n.createTopic("orders", 1)
	must(ch.QueueDeclare("work", true, false, false, false, nil))(t)
	if err := ch.QueueBind("work", "#", "waxwing.topics", false, nil); err != nil {
		t.Fatal(err)
	}
	n.produce("orders", record.Record{Timestamp: 1, Value: []byte("routed")})
	if d := next(t, ch, "work"); string(d.Body) != "routed" {
		t.Errorf("%q", d.Body)
	}
}
