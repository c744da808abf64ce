package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/kafka"
)

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w, err := waxwing.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop(context.Background())
	b, err := kafka.New([]string{w.KafkaAddr()})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(ctx, []bus.Message{{Topic: "t", Key: "k", ID: "1", Body: []byte("x")}, {Topic: "t", Key: "k", ID: "2"}}); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	sub, end := context.WithCancel(ctx)
	go func() {
		<-got
		t.Log(<-got)
		end()
	}()
	start := time.Now()
	err = b.Subscribe(sub, bus.Subscription{Group: "g", Topics: []string{"t"}}, func(ctx context.Context, d *bus.Delivery) error {
		got <- d.ID
		return nil
	})
	t.Log(err, time.Since(start))
	b.Close()
}
