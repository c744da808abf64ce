package amqp_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

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

// TestExchange: what is published before a queue is bound fails, and each group has
// a queue of its own.
func TestExchange(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	defer stop(t, w)
	b := open(t, w.AMQPURL(), amqp.Exchange("orders", "topic"))
	defer b.Close()
	msg := bus.Message{Topic: "order.placed", Key: "k", ID: "1"}
	if err := b.Publish(t.Context(), []bus.Message{msg}); !errors.Is(err, amqp.ErrUnroutable) {
		t.Fatalf("without a queue: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	got := make(chan string)
	for _, group := range []string{"g", "h"} {
		ended.Go(func() {
			s := bus.Subscription{Group: group, Topics: []string{"order.*"}}
			if err := b.Subscribe(ctx, s, bus.Each(func(ctx context.Context, d *bus.Delivery) error {
				select {
				case got <- group + " " + d.Topic + " " + d.ID:
				case <-ctx.Done(): // nobody waits for further copies
				}
				return nil
			})); err != nil {
				t.Error(err)
			}
		})
	}
	for b.Publish(t.Context(), []bus.Message{{Topic: "order.first"}}) != nil {
		time.Sleep(time.Millisecond)
	}
	msg.ID = "2"
	if err := b.Publish(t.Context(), []bus.Message{msg}); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"g order.placed 2": true, "h order.placed 2": true}
	for len(want) > 0 {
		select {
		case s := <-got:
			delete(want, s)
		case <-time.After(300 * time.Millisecond):
			// The second queue may not have been bound before.
			if err := b.Publish(t.Context(), []bus.Message{msg}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	ended.Wait()
}

// TestOtherArguments: a queue that is there with other arguments is used as it is,
// and a nack is told apart.
func TestOtherArguments(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	defer stop(t, w)
	declare(t, w.AMQPURL(), "small", amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	b := open(t, w.AMQPURL())
	defer b.Close()
	err := b.Publish(t.Context(), []bus.Message{{Topic: "small", Key: "a"}, {Topic: "small", Key: "a"}, {Topic: "small", Key: "a"}})
	if e := bus.Failed(err, 0); e != nil {
		t.Error(e)
	}
	if e := bus.Failed(err, 1); !errors.Is(e, amqp.ErrNacked) {
		t.Error(e)
	}
	if e := bus.Failed(err, 2); !errors.Is(e, amqp.ErrEarlier) {
		t.Error(e)
	}
}

// TestStream: a stream can be published to. A subscription to it, which would miss
// what was published before, ends with an error.
func TestStream(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	defer stop(t, w)
	declare(t, w.AMQPURL(), "log", amqp091.Table{"x-queue-type": "stream", "x-max-age": "1D"})
	b := open(t, w.AMQPURL())
	defer b.Close()
	if err := b.Publish(t.Context(), []bus.Message{{Topic: "log", ID: "1"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := b.Subscribe(ctx, bus.Subscription{Topics: []string{"log"}}, bus.Each(func(context.Context, *bus.Delivery) error { return nil }))
	if !errors.Is(err, amqp.ErrStream) {
		t.Errorf("a stream is read: %v", err)
	}
}

// TestGivesUp: a subscription that cannot be ends with an error, and a publish
// without a broker with its context.
func TestGivesUp(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	b := open(t, w.AMQPURL(), amqp.NoDeclare())
	if err := b.Subscribe(t.Context(), bus.Subscription{Topics: []string{"nowhere"}}, nil); err == nil {
		t.Error("a queue that is not there is read")
	}
	wrong := open(t, "amqp://guest:wrong@"+w.AMQPAddr()+"/")
	if err := wrong.Subscribe(t.Context(), bus.Subscription{Topics: []string{"q"}}, nil); err == nil {
		t.Error("a wrong password goes")
	}
	if err := wrong.Publish(t.Context(), []bus.Message{{Topic: "q"}}); err == nil {
		t.Error("a wrong password goes")
	}
	stop(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := b.Publish(ctx, []bus.Message{{Topic: "q"}}); err == nil {
		t.Error("published to nobody")
	}
	if err := b.Subscribe(ctx, bus.Subscription{Topics: []string{"q"}}, nil); err != nil {
		t.Error(err)
	}
	for _, b := range []bus.Bus{b, wrong} {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestShared: deliveries from queues that others may read at the same time say so.
func TestShared(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	defer stop(t, w)
	declare(t, w.AMQPURL(), "theirs", nil)
	declare(t, w.AMQPURL(), "named", amqp091.Table{"x-single-active-consumer": true})
	for _, c := range []struct {
		queue string
		want  bool
		opts  []amqp.Option
	}{
		{"ours", false, nil},
		{"quorum", false, []amqp.Option{amqp.Quorum()}},
		{"many", true, []amqp.Option{amqp.SharedQueues()}},
		{"theirs", true, nil},
		{"named", true, []amqp.Option{amqp.NoDeclare()}},
	} {
		b := open(t, w.AMQPURL(), c.opts...)
		if err := b.Publish(t.Context(), []bus.Message{{Topic: c.queue, ID: "1"}}); err != nil {
			t.Fatal(c.queue, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := b.Subscribe(ctx, bus.Subscription{Topics: []string{c.queue}}, bus.Each(func(_ context.Context, d *bus.Delivery) error {
			if d.Shared != c.want {
				t.Errorf("%s: shared is %v", c.queue, d.Shared)
			}
			cancel()
			return nil
		}))
		if err != nil {
			t.Error(c.queue, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRoutingKeys: what is no text in a routing key does not come through, as databases
// would refuse it each time.
func TestRoutingKeys(t *testing.T) {
	w := start(t, "127.0.0.1:0")
	defer stop(t, w)
	b := open(t, w.AMQPURL(), amqp.Exchange("orders", "topic"))
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil && b.Publish(ctx, []bus.Message{{Topic: "order.\xff\x00z", ID: "1"}}) != nil {
			time.Sleep(time.Millisecond) // until the queue is bound
		}
	}()
	got := ""
	err := b.Subscribe(ctx, bus.Subscription{Group: "g", Topics: []string{"order.*"}}, bus.Each(func(_ context.Context, d *bus.Delivery) error {
		got = d.Topic
		cancel()
		return nil
	}))
	if err != nil || got != "order.\uFFFD\uFFFDz" {
		t.Errorf("%q, %v", got, err)
	}
}
