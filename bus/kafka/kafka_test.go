package kafka_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing"
	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/bustest"
	"github.com/waxwing-mq/waxwing/bus/kafka"
)

// start runs a broker whose topics have four partitions and take messages of up to
// 20,000 bytes.
func start(t *testing.T, opts ...waxwing.Option) *waxwing.Broker {
	t.Helper()
	opts = append(opts, waxwing.Setting("num.partitions", "4"), waxwing.Setting("message.max.bytes", "20000"))
	w, err := waxwing.Start(context.Background(), opts...)
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

func open(t *testing.T, addr string) bus.Bus {
	t.Helper()
	b, err := kafka.New([]string{addr})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBus runs the suite with a broker on disk, which is restarted.
func TestBus(t *testing.T) {
	dir := t.TempDir()
	w := start(t, waxwing.DataDir(dir))
	addr := w.KafkaAddr()
	defer func() { stop(t, w) }()
	bustest.Run(t, bustest.Peer{
		New: func(t *testing.T) bus.Bus { return open(t, addr) },
		Log: true,
		Refusing: func(t *testing.T, topic string) (bus.Bus, bus.Message) { // by the broker
			body := make([]byte, 30_000)
			rand.Read(body) // which no compression makes smaller
			return open(t, addr), bus.Message{Topic: topic, Body: body}
		},
		Restart: func(t *testing.T) {
			stop(t, w)
			w = start(t, waxwing.DataDir(dir), waxwing.KafkaAddr(addr))
		},
	})
}

// TestTooLargeForClient: what is refused before it is sent fails alone, but for
// what is behind it of its key.
func TestTooLargeForClient(t *testing.T) {
	w := start(t)
	defer stop(t, w)
	b := open(t, w.KafkaAddr())
	defer b.Close()
	err := b.Publish(t.Context(), []bus.Message{{Topic: "t", Key: "a", Body: make([]byte, 2<<20)}, {Topic: "t", Key: "a"}, {Topic: "t", Key: "b"}, {Key: "no topic"}})
	if e := bus.Failed(err, 0); !errors.Is(e, kerr.MessageTooLarge) {
		t.Error(e)
	}
	if e := bus.Failed(err, 1); !errors.Is(e, kafka.ErrEarlier) {
		t.Error(e)
	}
	if e := bus.Failed(err, 2); e != nil {
		t.Error(e)
	}
	if bus.Failed(err, 3) == nil {
		t.Error("a message without a topic is published")
	}
}

// TestForeignRecord: a record of somebody who knows nothing of CloudEvents.
func TestForeignRecord(t *testing.T) {
	w := start(t)
	defer stop(t, w)
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.KafkaAddr()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	r := &kgo.Record{Topic: "t", Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "ce_time", Value: []byte("noon")}, {Key: "h", Value: nil}}}
	if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b := open(t, w.KafkaAddr())
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got bus.Delivery
	if err := b.Subscribe(ctx, bus.Subscription{Group: "g", Topics: []string{"t"}}, bus.Each(func(_ context.Context, d *bus.Delivery) error {
		got = *d
		cancel()
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	if got.Key != "" || got.ID != "" || !got.Time.IsZero() || string(got.Body) != "x" || len(got.Headers) != 2 {
		t.Errorf("%+v", got)
	}
}

// TestNoBroker: without a broker Publish ends with its context, and Subscribe too.
func TestNoBroker(t *testing.T) {
	w := start(t)
	addr := w.KafkaAddr()
	stop(t, w)
	b := open(t, addr)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := b.Publish(ctx, []bus.Message{{Topic: "t"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	start := time.Now()
	if err := b.Subscribe(ctx, bus.Subscription{Group: "g", Topics: []string{"t"}}, nil); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 8*time.Second {
		t.Errorf("ended after %v", d)
	}
}
