package amqp_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/sample"
)

// diskBytes is what the files of messages take: journal files and rewritten
// ones.
func (n *node) diskBytes() (total int) {
	for _, name := range n.disk.Names() {
		if strings.Contains(name, "/journal/") || strings.Contains(name, "/data/0") {
			if b, err := n.disk.ReadFile(name); err == nil {
				total += len(b)
			}
		}
	}
	return total
}

// TestDiskBehindAnUnacknowledgedMessage: one old message that nobody
// acknowledges keeps nothing of what passes behind it on the disk.
func TestDiskBehindAnUnacknowledgedMessage(t *testing.T) {
	t.Parallel()
	n := start(t)
	const fileBytes = 8 << 20
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	publish := func(body []byte) {
		t.Helper()
		c := must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: body}))(t)
		if !c.Wait() {
			t.Fatal("not confirmed")
		}
	}
	publish([]byte("head"))
	if d, ok, err := ch.Get("q", false); !ok || err != nil || string(d.Body) != "head" {
		t.Fatal(ok, err)
	}
	body := bytes.Repeat([]byte("x"), 128<<10)
	for range sample.Of(5, 10) * fileBytes / len(body) {
		publish(body)
		d, ok, err := ch.Get("q", false)
		if !ok || err != nil || len(d.Body) != len(body) {
			t.Fatal(ok, err)
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	// The spare journal file counts, too.
	deadline := time.Now().Add(150 * time.Second)
	for n.diskBytes() > 3*fileBytes {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of disk behind one message; three files have %d", n.diskBytes(), 3*fileBytes)
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.stop()
	n.open()
	ch = n.channel()
	if d, ok, err := ch.Get("q", true); !ok || err != nil || string(d.Body) != "head" || !d.Redelivered {
		t.Fatalf("after a restart: %q %v %v", d.Body, ok, err)
	}
	empty(t, ch, "q")
}
