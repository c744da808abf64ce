package node

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestMemoryAlarm: near GOMEMLIMIT publishers are blocked, and nobody else, until
// memory is given back.
func TestMemoryAlarm(t *testing.T) {
	ballast := make([]byte, 256<<20)
	runtime.GC()
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
	n := start(t, testConfig(t))
	defer stop(t, n)
	c, err := amqp091.Dial("amqp://guest:guest@" + n.AMQPAddr() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	blocked := c.NotifyBlocked(make(chan amqp091.Blocking, 2))
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp091.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	if b := <-blocked; !b.Active || b.Reason != "low on memory" {
		t.Fatalf("%+v", b)
	}
	runtime.KeepAlive(ballast)
	ballast = nil
	if b := <-blocked; b.Active {
		t.Fatalf("%+v", b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if ok, err := confirm.WaitContext(ctx); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
}
