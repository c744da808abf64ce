package waxwing_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
)

func ExampleStart() {
	ctx := context.Background()
	b, err := waxwing.Start(ctx, waxwing.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	defer b.Stop(ctx)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddr()), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics("orders"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: "orders", Key: []byte("42"), Value: []byte("paid")}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		log.Fatal(err)
	}
	for _, r := range client.PollFetches(ctx).Records() {
		fmt.Printf("%s is %s\n", r.Key, r.Value)
	}
	// Output: 42 is paid
}

func ExampleAMQPAddr() {
	ctx, cancel := context.WithCancel(context.Background())
	b, err := waxwing.Start(ctx, waxwing.InMemory(), waxwing.AMQPAddr("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	defer b.Stop(context.Background())
	orders, err := amqp.New(b.AMQPURL())
	if err != nil {
		log.Fatal(err)
	}
	defer orders.Close()
	if err := orders.Publish(ctx, []bus.Message{{Topic: "orders", Key: "42", ID: "1", Body: []byte("paid")}}); err != nil {
		log.Fatal(err)
	}
	err = orders.Subscribe(ctx, bus.Subscription{Group: "billing", Topics: []string{"orders"}}, bus.Each(func(_ context.Context, d *bus.Delivery) error {
		fmt.Printf("%s is %s\n", d.Key, d.Body)
		cancel()
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	// Output: 42 is paid
}

func TestDataDirSurvives(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	for i := range 2 {
		b, err := waxwing.Start(ctx, waxwing.DataDir(dir), waxwing.Setting("num.partitions", "2"))
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddr()), kgo.AllowAutoTopicCreation(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		r, err := client.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: 1, Value: []byte("x")}).First()
		if err != nil || r.Offset != int64(i) {
			t.Fatal(r.Offset, err)
		}
		client.Close()
		if err := b.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func ExampleHTTPAddr() {
	ctx := context.Background()
	b, err := waxwing.Start(ctx, waxwing.InMemory(), waxwing.HTTPAddr("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	defer b.Stop(ctx)
	r, err := http.Get("http://" + b.HTTPAddr() + "/readyz")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	fmt.Println(r.Status)
	// Output: 200 OK
}
