package amqp_test

import (
	"context"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
	"github.com/waxwing-mq/waxwing/bus/bustest"
)

func start(t *testing.T, addr string, opts ...waxwing.Option) *waxwing.Broker {
	t.Helper()
	w, err := waxwing.Start(context.Background(), append(opts, waxwing.AMQPAddr(addr))...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func stop(t *testing.T, w *waxwing.Broker) {
	t.Helper()
	if err := w.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, url string, opts ...amqp.Option) bus.Bus {
	t.Helper()
	b, err := amqp.New(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// declare declares a durable queue.
func declare(t *testing.T, url, queue string, args amqp091.Table) {
	t.Helper()
	c, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, args); err != nil {
		t.Fatal(err)
	}
}

// TestBus runs the suite with a broker on disk, which is restarted.
func TestBus(t *testing.T) {
	dir := t.TempDir()
	w := start(t, "127.0.0.1:0", waxwing.DataDir(dir))
	url, addr := w.AMQPURL(), w.AMQPAddr()
	defer func() { stop(t, w) }()
	for name, opts := range map[string][]amqp.Option{"classic": nil, "quorum": {amqp.Quorum()}} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, bustest.Peer{
				New: func(t *testing.T) bus.Bus { return open(t, url, opts...) },
				Refusing: func(t *testing.T, topic string) (bus.Bus, bus.Message) {
					declare(t, url, topic, amqp091.Table{"x-single-active-consumer": true})
					return open(t, url, append(opts[:len(opts):len(opts)], amqp.NoDeclare())...), bus.Message{Topic: topic + "-nowhere"}
				},
				Restart: func(t *testing.T) {
					stop(t, w)
					w = start(t, addr, waxwing.DataDir(dir))
				},
			})
		})
	}
}
