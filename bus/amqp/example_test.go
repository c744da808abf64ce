package amqp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
)

// exampleBus is a bus to a broker in this process.
func exampleBus(opts ...amqp.Option) (b *amqp.Bus, end func()) {
	ctx := context.Background()
	broker, err := waxwing.Start(ctx, waxwing.AMQPAddr("127.0.0.1:0")) // or any RabbitMQ
	if err != nil {
		log.Fatal(err)
	}
	if b, err = amqp.New(broker.AMQPURL(), opts...); err != nil {
		log.Fatal(err)
	}
	return b, func() { b.Close(); broker.Stop(ctx) }
}

// A topic is a queue of its name, which is declared if need be.
func Example() {
	b, end := exampleBus()
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := b.Publish(ctx, []bus.Message{
		{Topic: "orders", Key: "o1", ID: "1", Source: "shop", Type: "order.placed", Body: []byte("first")},
		{Topic: "orders", Key: "o1", ID: "2", Source: "shop", Type: "order.paid", Body: []byte("second")},
	})
	if err != nil {
		log.Fatal(err)
	}
	seen := 0
	err = b.Subscribe(ctx, bus.Subscription{Group: "billing", Topics: []string{"orders"}, Lanes: 4}, bus.Each(func(ctx context.Context, d *bus.Delivery) error {
		fmt.Println(d.Key, d.Type, string(d.Body))
		if seen++; seen == 2 {
			cancel() // the example ends
		}
		return nil
	}))
	fmt.Println(err)
	// Output:
	// o1 order.placed first
	// o1 order.paid second
	// <nil>
}

// With an exchange each group has a queue of its own, and topics are routing keys.
func ExampleExchange() {
	b, end := exampleBus(amqp.Exchange("events", "topic"), amqp.Quorum(), amqp.QueueArguments(map[string]any{"x-max-length": 100_000}))
	defer end()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	order := []bus.Message{{Topic: "order.placed", Key: "o1", ID: "1"}}
	fmt.Println(errors.Is(b.Publish(ctx, order), amqp.ErrUnroutable)) // nobody has subscribed yet

	go func() {
		for b.Publish(ctx, order) != nil && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond) // an outbox's relay does that on its own
		}
	}()
	err := b.Subscribe(ctx, bus.Subscription{Group: "billing", Topics: []string{"order.*"}}, bus.Each(func(ctx context.Context, d *bus.Delivery) error {
		fmt.Println(d.Topic, d.Key)
		cancel() // the example ends
		return nil
	}))
	fmt.Println(err)
	// Output:
	// true
	// order.placed o1
	// <nil>
}

// A bus with further options. It connects when it is first used.
func ExampleNew() {
	b, err := amqp.New("amqps://mq.example.org/shop",
		amqp.TLS(&tls.Config{ServerName: "mq.example.org"}),
		amqp.SASL(&amqp091.PlainAuth{Username: "shop", Password: "secret"}),
		amqp.ConnectTimeout(10*time.Second),
		amqp.NoDeclare(),    // queues are there already
		amqp.SharedQueues(), // the order of messages does not matter
		amqp.Prefetch(1000))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.System(), b.Close())
	fmt.Println(errors.Is(b.Publish(context.Background(), nil), amqp.ErrClosed))
	// Output:
	// rabbitmq <nil>
	// true
}
