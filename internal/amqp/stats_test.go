package amqp_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/internal/amqp"
)

// TestStats: what is done is counted, once.
func TestStats(t *testing.T) {
	n := start(t)
	conn := n.dial()
	ch, other := must(conn.Channel())(t), must(conn.Channel())(t)
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	must(ch.QueueDeclare("full", true, false, false, false, amqp091.Table{"x-max-length": 0, "x-overflow": "reject-publish"}))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	returns := ch.NotifyReturn(make(chan amqp091.Return, 1))
	var last *amqp091.DeferredConfirmation
	for _, p := range []struct {
		key       string
		mandatory bool
	}{{"q", false}, {"q", true}, {"q", false}, {"full", false}, {"nobody", false}, {"nobody", true}} {
		last = must(ch.PublishWithDeferredConfirm("", p.key, p.mandatory, false, amqp091.Publishing{}))(t)
	}
	last.Wait()
	<-returns
	next(t, ch, "q") // without acknowledgement
	if d := next2(t, other, "q"); d.Ack(false) != nil || d.Nack(false, true) != nil {
		t.Fatal("cannot acknowledge")
	}
	for range 2000 { // the second one ended the channel
		if other.IsClosed() {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	want := amqp.Stats{
		Connections: 1, Channels: 1, Published: 6, Confirmed: 5, Refused: 1, Unroutable: 2, Returned: 1,
		Delivered: 2, Acknowledged: 1,
	}
	if got := n.server.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		if s := n.server.Stats(); s.Connections+s.Channels == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("still open: %+v", n.server.Stats())
}

// methodNames are the methods that a hook was told of.
type methodNames struct {
	mu  sync.Mutex
	all []string
}

func (m *methodNames) told(name string, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if took < 0 {
		name += " before it came"
	}
	m.all = append(m.all, name)
}

// TestMethodTimes: each method that a client waits for is told of.
func TestMethodTimes(t *testing.T) {
	n := start(t)
	ch := n.channel()
	must(ch.QueueDeclare("q", true, false, false, false, nil))(t)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	must(ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{}))(t).Wait()
	if d := next2(t, ch, "q"); d.Ack(false) != nil {
		t.Fatal("cannot acknowledge")
	}
	must(ch.QueueDelete("q", false, false, false))(t)
	if err := ch.Close(); err != nil { // all were told of by then
		t.Fatal(err)
	}
	n.methods.mu.Lock()
	defer n.methods.mu.Unlock()
	for _, name := range []string{"queue.declare", "confirm.select", "basic.publish", "basic.get", "queue.delete"} {
		if !slices.Contains(n.methods.all, name) {
			t.Errorf("not told of %s: %v", name, n.methods.all)
		}
	}
	if slices.Contains(n.methods.all, "basic.ack") {
		t.Error("told of basic.ack, which nobody waits for")
	}
}
