package amqp_test

import (
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/record"
)

// TestRecoverInTransaction: basic.recover does not wait for a commit, as in
// RabbitMQ, and leaves alone what the transaction has settled.
func TestRecoverInTransaction(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	for i := range 3 {
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.Tx(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, ok, err := ch.Get("q", false); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if err := ch.Ack(1, false); err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 clients that are older still send it
	if err := ch.Recover(true); err != nil {
		t.Fatal(err)
	}
	if q := must(ch.QueueDeclarePassive("q", true, false, false, false, nil))(t); q.Messages != 2 {
		t.Errorf("%d messages came back, want 2", q.Messages)
	}
	if err := ch.TxCommit(); err != nil {
		t.Fatal(err)
	}
	if q := must(ch.QueueDeclarePassive("q", true, false, false, false, nil))(t); q.Messages != 2 {
		t.Errorf("%d messages after the commit, want 2", q.Messages)
	}
}

// TestStreamInTransaction: acknowledgements of a stream's messages that a commit
// brings are credit for more.
func TestStreamInTransaction(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("s", true, false, false, false, amqp091.Table{"x-queue-type": "stream"}))(t)
	for i := range 10 {
		n.produce("s", record.Record{Timestamp: 1, Value: []byte{byte(i)}})
	}
	if err := ch.Qos(2, 0, false); err != nil {
		t.Fatal(err)
	}
	if err := ch.Tx(); err != nil {
		t.Fatal(err)
	}
	ds := must(ch.Consume("s", "", false, false, false, false, amqp091.Table{"x-stream-offset": "first"}))(t)
	for want := range 10 {
		select {
		case d := <-ds:
			if d.Body[0] != byte(want) {
				t.Fatalf("message %d, want %d", d.Body[0], want)
			}
			if err := d.Ack(false); err != nil {
				t.Fatal(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("message %d does not come", want)
		}
		if err := ch.TxCommit(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTransactionToADeletedQueue: a commit says when a queue is gone to which the
// transaction has published.
func TestTransactionToADeletedQueue(t *testing.T) {
	n := start(t)
	conn := n.dial()
	for _, deleted := range []bool{false, true} {
		must(n.channel().QueueDeclare("q", true, false, false, false, nil))(t)
		want := 0
		if deleted {
			want = 406
		}
		n.refuses(conn, "commit", want, func(ch *amqp091.Channel) error {
			if err := ch.Tx(); err != nil {
				return err
			}
			if err := ch.Publish("", "q", false, false, amqp091.Publishing{}); err != nil {
				return err
			}
			must(ch.QueueDeclarePassive("q", true, false, false, false, nil))(t) // it has been routed
			if deleted {
				must(n.channel().QueueDelete("q", false, false, false))(t)
			}
			return ch.TxCommit()
		})
	}
}

// TestRollbackOfAcknowledgementsOutOfTurn: what was acknowledged before an earlier
// delivery, and taken back, can be acknowledged again.
func TestRollbackOfAcknowledgementsOutOfTurn(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	if err := ch.Tx(); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"a", "b", "c"} {
		if err := ch.Publish("", "q", false, false, amqp091.Publishing{Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.TxCommit(); err != nil {
		t.Fatal(err)
	}
	var tags []uint64
	for range 3 {
		d, ok, err := ch.Get("q", false)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		tags = append(tags, d.DeliveryTag)
	}
	for range 2 { // a second time finds what the first left
		for _, i := range []int{1, 2} {
			if err := ch.Ack(tags[i], false); err != nil {
				t.Fatal(err)
			}
		}
		if err := ch.TxRollback(); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{1, 0, 2} {
		if err := ch.Ack(tags[i], false); err != nil {
			t.Fatal(err)
		}
	}
	if err := ch.TxCommit(); err != nil {
		t.Fatal(err)
	}
	if err := ch.Close(); err != nil {
		t.Fatal(err)
	}
	if q := must(n.channel().QueueDeclarePassive("q", true, false, false, false, nil))(t); q.Messages != 0 {
		t.Errorf("%d messages came back", q.Messages)
	}
}
