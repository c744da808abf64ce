package amqp_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

func deaths(t *testing.T, d amqp091.Delivery) []amqp091.Table {
	t.Helper()
	lines, _ := d.Headers["x-death"].([]any)
	var out []amqp091.Table
	for _, l := range lines {
		out = append(out, l.(amqp091.Table))
	}
	return out
}

// TestDeadLetters: a message that dies goes to the dead-letter exchange, once,
// and says why; what the header says is as RabbitMQ writes it.
func TestDeadLetters(t *testing.T) {
	n := start(t)
	ch := n.channel()
	if err := ch.ExchangeDeclare("dlx", "direct", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	must(ch.QueueDeclare("dead", true, false, false, false, nil))(t)
	if err := ch.QueueBind("dead", "gone", "dlx", false, nil); err != nil {
		t.Fatal(err)
	}
	args := amqp091.Table{"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "gone"}
	with := func(more amqp091.Table) amqp091.Table {
		for k, v := range args {
			more[k] = v
		}
		return more
	}
	must(ch.QueueDeclare("rejects", true, false, false, false, with(amqp091.Table{})))(t)
	must(ch.QueueDeclare("short", true, false, false, false, with(amqp091.Table{"x-max-length": 1})))(t)
	must(ch.QueueDeclare("refuses", true, false, false, false, with(amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish-dlx"})))(t)
	must(ch.QueueDeclare("quick", true, false, false, false, with(amqp091.Table{"x-message-ttl": 1})))(t)
	must(ch.QueueDeclare("limited", true, false, false, false, with(amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": 1})))(t)
	publish := func(queue string, p amqp091.Publishing) {
		t.Helper()
		if err := ch.Publish("", queue, false, false, p); err != nil {
			t.Fatal(err)
		}
	}
	check := func(body, reason, queue string) amqp091.Delivery {
		t.Helper()
		d := next(t, ch, "dead")
		ds := deaths(t, d)
		if string(d.Body) != body || len(ds) != 1 || ds[0]["reason"] != reason || ds[0]["queue"] != queue || ds[0]["count"] != int64(1) ||
			ds[0]["exchange"] != "" || !reflect.DeepEqual(ds[0]["routing-keys"], []any{queue}) || d.Exchange != "dlx" || d.RoutingKey != "gone" ||
			d.Headers["x-first-death-reason"] != reason || d.Headers["x-last-death-queue"] != queue {
			t.Fatalf("dead letter %q: %+v", body, d)
		}
		if at, ok := ds[0]["time"].(time.Time); !ok || time.Since(at) > time.Minute {
			t.Errorf("time of death: %v", ds[0]["time"])
		}
		return d
	}
	publish("rejects", amqp091.Publishing{Body: []byte("r"), Expiration: "100000", Headers: amqp091.Table{"mine": "kept"}})
	d := next2(t, ch, "rejects")
	if err := d.Reject(false); err != nil {
		t.Fatal(err)
	}
	d = check("r", "rejected", "rejects")
	if d.Expiration != "" || deaths(t, d)[0]["original-expiration"] != "100000" || d.Headers["mine"] != "kept" {
		t.Errorf("expiration: %+v", d)
	}
	publish("short", amqp091.Publishing{Body: []byte("1")})
	publish("short", amqp091.Publishing{Body: []byte("2")})
	check("1", "maxlen", "short")
	publish("refuses", amqp091.Publishing{Body: []byte("1")})
	publish("refuses", amqp091.Publishing{Body: []byte("2")})
	check("2", "maxlen", "refuses")
	publish("quick", amqp091.Publishing{Body: []byte("q")})
	check("q", "expired", "quick")
	publish("limited", amqp091.Publishing{Body: []byte("l")})
	for attempt := range 2 {
		d := next2(t, ch, "limited")
		if attempt > 0 && d.Headers["x-delivery-count"] != int64(1) {
			t.Errorf("attempt %d: %v", attempt, d.Headers)
		}
		if err := d.Reject(true); err != nil {
			t.Fatal(err)
		}
	}
	check("l", "delivery_limit", "limited")
	empty(t, ch, "dead")
}

// next2 is next, to be acknowledged.
func next2(t *testing.T, ch *amqp091.Channel, queue string) amqp091.Delivery {
	t.Helper()
	for range 2000 {
		d, ok, err := ch.Get(queue, false)
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

// TestDeadLetterCycle: a message that would go round without anybody having
// rejected it is dropped; one that is rejected goes round, and is counted.
func TestDeadLetterCycle(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("a", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "b", "x-message-ttl": 1}))(t)
	must(ch.QueueDeclare("b", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "a", "x-message-ttl": 1}))(t)
	must(ch.QueueDeclare("again", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "again"}))(t)
	if err := ch.Publish("", "a", false, false, amqp091.Publishing{Body: []byte("round")}); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("again", "", "amq.fanout", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Publish("amq.fanout", "again", false, false, amqp091.Publishing{Body: []byte("again")}); err != nil {
		t.Fatal(err)
	}
	for count := range 3 {
		d := next2(t, ch, "again")
		if ds := deaths(t, d); count > 0 && (len(ds) != 1 || ds[0]["count"] != int64(count)) {
			t.Fatalf("round %d: %v", count, d.Headers)
		}
		if last := []any{nil, "amq.fanout", ""}[count]; d.Headers["x-last-death-exchange"] != last {
			t.Errorf("round %d: last exchange %v, want %v", count, d.Headers["x-last-death-exchange"], last)
		}
		if err := d.Reject(false); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		a := must(ch.QueueDeclarePassive("a", true, false, false, false, nil))(t)
		b := must(ch.QueueDeclarePassive("b", true, false, false, false, nil))(t)
		if a.Messages+b.Messages == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the message still goes round")
}

// TestDeadLetterBCC: a message that is dead-lettered with the keys that it had
// goes to those of its BCC header too, which nobody is told of.
func TestDeadLetterBCC(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "dlx"}))(t)
	must(ch.QueueDeclare("dead", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "dlx"}))(t)
	if err := ch.ExchangeDeclare("dlx", "direct", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.QueueBind("dead", "hidden", "dlx", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Publish("", "q", false, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Headers: amqp091.Table{"BCC": []any{"hidden", "other"}}}); err != nil {
		t.Fatal(err)
	}
	must(ch.QueueDeclarePassive("q", true, false, false, false, nil))(t) // the message is there
	n.stop()
	n.open()
	ch = n.channel()
	for _, queue := range []string{"q", "dead", "dead"} { // round and round
		d := next2(t, ch, queue)
		if _, ok := d.Headers["BCC"]; ok || d.RoutingKey != "q" {
			t.Errorf("in %s: %+v", queue, d)
		}
		if err := d.Reject(false); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeadLetterStream: a stream queue gets dead letters as records, whether it is
// bound to the dead-letter exchange or named by the default one, and each once,
// also while a queue beside it is full.
func TestDeadLetterStream(t *testing.T) {
	n := start(t)
	ch := n.channel()
	stream := func(name string) {
		t.Helper()
		must(ch.QueueDeclare(name, true, false, false, false, amqp091.Table{"x-queue-type": "stream"}))(t)
	}
	queue := func(name string, args amqp091.Table) {
		t.Helper()
		must(ch.QueueDeclare(name, true, false, false, false, args))(t)
	}
	stream("log")
	stream("named")
	if err := ch.ExchangeDeclare("dlx", "fanout", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	queue("full", amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	for _, name := range []string{"log", "full"} {
		if err := ch.QueueBind(name, "", "dlx", false, nil); err != nil {
			t.Fatal(err)
		}
	}
	queue("bound", amqp091.Table{"x-dead-letter-exchange": "dlx"})
	queue("direct", amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "named"})
	queue("refuses", amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "named", "x-max-length": 0, "x-overflow": "reject-publish-dlx"})
	reject := func(queue, body string) {
		t.Helper()
		if err := ch.Publish("", queue, false, false, amqp091.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		if err := next2(t, ch, queue).Reject(false); err != nil {
			t.Fatal(err)
		}
	}
	records := func(topic string, bodies ...string) {
		t.Helper()
		var got []string
		for range 2000 {
			got = got[:0]
			for _, r := range n.readTopic(topic) {
				got = append(got, string(r.Value)+" "+header(r, "amqp.routing-key"))
			}
			if len(got) >= len(bodies) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if !slices.Equal(got, bodies) {
			t.Fatalf("%s: %q, want %q", topic, got, bodies)
		}
	}
	reject("bound", "a")
	records("log", "a bound")
	reject("bound", "b") // for which there is no room in the queue
	records("log", "a bound", "b bound")
	reject("direct", "c")
	records("named", "c named")
	if err := ch.Publish("", "refuses", false, false, amqp091.Publishing{Body: []byte("d")}); err != nil {
		t.Fatal(err)
	}
	records("named", "c named", "d named")

	if d := next(t, ch, "full"); string(d.Body) != "a" {
		t.Fatalf("the queue has %q", d.Body)
	}
	if d := next(t, ch, "full"); string(d.Body) != "b" {
		t.Fatalf("the queue has %q", d.Body)
	}
	records("log", "a bound", "b bound")

	if err := ch.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	ds := must(ch.Consume("log", "", false, false, false, false, amqp091.Table{"x-stream-offset": "first"}))(t)
	if d := <-ds; string(d.Body) != "a" || len(deaths(t, d)) != 1 || d.Headers["x-first-death-queue"] != "bound" {
		t.Fatalf("from the stream: %+v", d)
	}
}

// TestReleaseByConsumer: what a channel gives back all at once comes back consumer by
// consumer, what was got before, so that a queue that holds one message need not
// drop any while a consumer takes each.
func TestReleaseByConsumer(t *testing.T) {
	ch := start(t).channel()
	must(ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-max-length": 1}))(t)
	publish := func(body string) {
		t.Helper()
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	publish("a")
	if d := next2(t, ch, "q"); string(d.Body) != "a" {
		t.Fatalf("got %q", d.Body)
	}
	publish("b")
	ds := must(ch.Consume("q", "c", false, false, false, false, nil))(t)
	if d := <-ds; string(d.Body) != "b" || d.Redelivered {
		t.Fatalf("consumed %q", d.Body)
	}
	if err := ch.Nack(0, true, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b"} {
		if d := <-ds; string(d.Body) != want || !d.Redelivered {
			t.Fatalf("consumed %q, want %q again", d.Body, want)
		}
	}
}

// TestNoDeliveryLimit: with a negative delivery limit a message of a quorum queue
// comes back as often as it likes, and to the end, so that others get their turn.
func TestNoDeliveryLimit(t *testing.T) {
	ch := start(t).channel()
	must(ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-queue-type": "quorum", "x-delivery-limit": -1}))(t)
	for _, body := range []string{"a", "b"} {
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		d := next2(t, ch, "q")
		if want := []string{"a", "b"}[i%2]; string(d.Body) != want {
			t.Fatalf("message %d is %q, want %q", i, d.Body, want)
		}
		if err := d.Nack(false, true); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRejectedBeforeRestart: an answered rejection holds: after a restart the
// message is in the dead-letter queue and nowhere else.
func TestRejectedBeforeRestart(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("dead", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("q", true, false, false, false, amqp091.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}))(t)
	for i := range 50 {
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		d := next2(t, ch, "q")
		if err := d.Reject(false); err != nil {
			t.Fatal(err)
		}
	}
	must(ch.QueueDeclarePassive("q", true, false, false, false, nil))(t) // answered
	n.stop()
	n.open()
	ch = n.channel()
	seen := map[byte]int{}
	for range 50 {
		seen[next(t, ch, "dead").Body[0]]++
	}
	empty(t, ch, "dead")
	empty(t, ch, "q")
	if len(seen) != 50 {
		t.Errorf("%d of 50 messages: %v", len(seen), seen)
	}
}
