package amqp_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/queue"
	"github.com/waxwing-mq/waxwing/internal/sample"
)

// TestClientsThatKnowNothing of connection.blocked and of basic.cancel by the broker
// hear neither.
func TestClientsThatKnowNothing(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("other", true, false, false, false, nil))(t)
	r := n.raw().open() // without capabilities
	r.method(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
	r.expect(1, &wire.BasicConsumeOk{})
	must(ch.QueueDelete("q", false, false, false))(t)
	r.method(1, &wire.QueueDeclare{Queue: "other", Passive: true})
	r.expect(1, &wire.QueueDeclareOk{})

	n.short.Store(true)
	r.method(1, &wire.BasicPublish{RoutingKey: "other"})
	r.send(wire.AppendContentHeader(nil, 1, wire.ContentHeader{}))
	r.method(1, &wire.QueueDeclare{Queue: "other", Passive: true})
	time.Sleep(100 * time.Millisecond) // it is held up meanwhile
	n.short.Store(false)
	var ok wire.QueueDeclareOk
	r.expect(1, &ok)
	if ok.MessageCount != 1 {
		t.Errorf("%d messages", ok.MessageCount)
	}
}

// TestMissingDeadLetterExchange: without it a dead letter is dropped, as in RabbitMQ;
// one that is made later gets those that come then.
func TestMissingDeadLetterExchange(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "dlx"}))(t)
	must(ch.QueueDeclare("dead", true, false, false, false, nil))(t)
	die := func(body string) {
		t.Helper()
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		if err := next2(t, ch, "q").Reject(false); err != nil {
			t.Fatal(err)
		}
	}
	die("lost")
	for end := time.Now().Add(20 * time.Second); n.unsettled("q") != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the dead letter is not dropped")
		}
	}
	if err := ch.ExchangeDeclare("dlx", "fanout", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("dead", "", "dlx", false, nil); err != nil {
		t.Fatal(err)
	}
	die("kept")
	if d := next(t, ch, "dead"); string(d.Body) != "kept" {
		t.Errorf("%q came", d.Body)
	}
	empty(t, ch, "dead")
}

// TestBindingsOfTransientQueues go with them at a restart.
func TestBindingsOfTransientQueues(t *testing.T) {
	n := start(t)
	ch := n.channel()
	for name, durable := range map[string]bool{"stays": true, "goes": false} {
		must(ch.QueueDeclare(name, durable, false, false, false, nil))(t)
		if err := ch.QueueBind(name, "k", "amq.direct", false, nil); err != nil {
			t.Fatal(err)
		}
	}
	n.stop()
	n.open()
	v, _ := n.broker.VHost("/")
	if bs := v.Bindings(); len(bs) != 1 || bs[0].Destination.Name != "stays" {
		t.Errorf("bindings %+v", bs)
	}
}

// TestBacklogOfAClientThatDoesNotRead: a consumer without a limit that reads nothing
// holds places in the queue, not messages in memory.
func TestBacklogOfAClientThatDoesNotRead(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	const size = 2 << 10
	messages := sample.Of(12_000, 40_000)
	var last *amqp091.DeferredConfirmation
	for range messages {
		last = must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{Body: make([]byte, size)}))(t)
	}
	last.Wait()
	before := heap()
	r := n.raw().open()
	r.method(1, &wire.BasicConsume{Queue: "q", ConsumerTag: "c"})
	for end := time.Now().Add(60 * time.Second); must(ch.QueueDeclarePassive("q", true, false, false, false, nil))(t).Messages > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not everything is on its way")
		}
	}
	if grown := heap() - before; grown > int64(messages*size/2) { // about 650 bytes for each, with the race detector
		t.Errorf("%d MB more for a backlog of %d MB", grown>>20, messages*size>>20)
	}
}

// unsettled is how many messages a queue has, those included that are on their way
// elsewhere.
func (n *node) unsettled(name string) int64 {
	n.t.Helper()
	v, _ := n.broker.VHost("/")
	s := v.NewSession(nobody{})
	defer s.Close()
	reply := must(s.Call(context.Background(), &queue.List{}))(n.t)
	for _, q := range reply.(*queue.ListReply).Queues {
		if q.Spec.Name == name {
			return q.Ready + q.Unacknowledged + q.Moving
		}
	}
	n.t.Fatalf("no queue %q", name)
	return 0
}

// nobody consumes nothing.
type nobody struct{}

func (nobody) Deliver([]queue.Delivery)    {}
func (nobody) Cancelled([]queue.Cancelled) {}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
