package kafka_test

import (
	"context"
	"crypto/rand"
	"testing"

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
