package amqp_test

import (
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestReplyToIsThere: who has to answer can ask, by declaring the name to answer
// to, whether the asker still waits.
func TestReplyToIsThere(t *testing.T) {
	n := start(t)
	asker, server := n.channel(), n.channel()
	must(server.QueueDeclare("requests", true, false, false, false, nil))(t)
	must(asker.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil))(t)
	if err := asker.Publish("", "requests", false, false, amqp091.Publishing{ReplyTo: "amq.rabbitmq.reply-to"}); err != nil {
		t.Fatal(err)
	}
	name := next(t, server, "requests").ReplyTo
	for _, there := range []string{name, "amq.rabbitmq.reply-to"} {
		q := must(server.QueueDeclarePassive(there, false, false, false, false, nil))(t)
		if q.Name != there || q.Messages != 0 || q.Consumers != 1 {
			t.Errorf("%s: %+v", there, q)
		}
		must(server.QueueDeclare(there, false, false, false, false, nil))(t)
	}
	if err := asker.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := server.QueueDeclarePassive(name, false, false, false, false, nil)
	if e, ok := err.(*amqp091.Error); !ok || e.Code != amqp091.NotFound {
		t.Errorf("an asker that is gone: %v", err)
	}
}

// TestMandatoryReply: a mandatory answer comes back when nobody waits for it, and
// only then.
func TestMandatoryReply(t *testing.T) {
	n := start(t)
	asker, server := n.channel(), n.channel()
	must(server.QueueDeclare("requests", true, false, false, false, nil))(t)
	answers := must(asker.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil))(t)
	if err := asker.Publish("", "requests", false, false, amqp091.Publishing{ReplyTo: "amq.rabbitmq.reply-to"}); err != nil {
		t.Fatal(err)
	}
	name := next(t, server, "requests").ReplyTo
	returns := server.NotifyReturn(make(chan amqp091.Return, 2))
	if err := server.Publish("", name, true, false, amqp091.Publishing{Body: []byte("there")}); err != nil {
		t.Fatal(err)
	}
	if d := <-answers; string(d.Body) != "there" {
		t.Errorf("%+v", d)
	}
	if err := asker.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Publish("", name, true, false, amqp091.Publishing{Body: []byte("gone")}); err != nil {
		t.Fatal(err)
	}
	if r := <-returns; string(r.Body) != "gone" { // the first of all
		t.Errorf("%q came back", r.Body)
	}
}
