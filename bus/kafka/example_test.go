package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
)

// Messages of a key come in their order; the handler's nil acknowledges one.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	broker, err := waxwing.Start(ctx) // or any Kafka cluster
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Stop(context.Background())

	b, err := kafka.New([]string{broker.KafkaAddr()})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	err = b.Publish(ctx, []bus.Message{
		{Topic: "orders", Key: "o1", ID: "1", Source: "shop", Type: "order.placed", Body: []byte("first")},
		{Topic: "orders", Key: "o1", ID: "2", Source: "shop", Type: "order.paid", Body: []byte("second")},
	})
	if err != nil {
		log.Fatal(err)
	}
	seen := 0
	err = b.Subscribe(ctx, bus.Subscription{Group: "billing", Topics: []string{"orders"}, Lanes: 4}, bus.Each(func(ctx context.Context, d *bus.Delivery) error {
		fmt.Println(d.Position, d.Type, string(d.Body))
		if seen++; seen == 2 {
			cancel() // the example ends
		}
		return nil
	}))
	fmt.Println(err)
	// Output:
	// orders/0/0 order.placed first
	// orders/0/1 order.paid second
	// <nil>
}

// A bus with all its options. It connects when it is first used.
func ExampleNew() {
	b, err := kafka.New([]string{"broker-1:9092", "broker-2:9092"},
		kafka.Client(kgo.ClientID("billing")), // TLS and SASL go here too
		kafka.NoTopicCreation(),
		kafka.CommitEvery(time.Second),
		kafka.Limits(500, 16<<20))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.System(), b.Close())
	// Output: kafka <nil>
}

// A message that the broker refuses fails, and so do those of its key behind it.
func ExampleBus_Publish() {
	ctx := context.Background()
	broker, err := waxwing.Start(ctx, waxwing.Setting("message.max.bytes", "1000"))
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Stop(ctx)
	b, err := kafka.New([]string{broker.KafkaAddr()}, kafka.Client(kgo.ProducerBatchCompression(kgo.NoCompression())))
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	err = b.Publish(ctx, []bus.Message{
		{Topic: "orders", Key: "o1", Body: make([]byte, 2000)},
		{Topic: "orders", Key: "o1", Body: []byte("behind it")},
		{Topic: "orders", Key: "o2", Body: []byte("of another key")},
	})
	for i := range 3 {
		fmt.Println(i, bus.Failed(err, i) == nil, errors.Is(bus.Failed(err, i), kafka.ErrEarlier))
	}
	// Output:
	// 0 false false
	// 1 false true
	// 2 true false
}
