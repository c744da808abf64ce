package bus

import (
	"context"
	"crypto/rand"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/waxwing-mq/waxwing/bus"
	"github.com/waxwing-mq/waxwing/bus/amqp"
	"github.com/waxwing-mq/waxwing/bus/bustest"
	"github.com/waxwing-mq/waxwing/bus/kafka"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func TestKafkaWaxwing(t *testing.T) {
	b := harness.StartBroker(t, "--broker-config", "num.partitions=4", "--broker-config", "message.max.bytes=20000")
	runKafka(t, b.Bootstrap, func(t *testing.T) { b.Kill(t); b.Restart(t) })
}

func TestKafkaKafka(t *testing.T) {
	k := harness.StartKafka(t, "num.partitions=4", "message.max.bytes=20000", "offsets.topic.num.partitions=1")
	runKafka(t, k.Bootstrap, k.Restart)
}

func TestAMQPWaxwing(t *testing.T) {
	b := harness.StartBroker(t)
	runAMQP(t, "amqp://guest:guest@"+b.AMQP+"/", func(t *testing.T) { b.Kill(t); b.Restart(t) })
}

func TestAMQPRabbitMQ(t *testing.T) {
	r := harness.StartRabbitMQ(t, "bus", false)
	runAMQP(t, "amqp://guest:guest@"+r.AMQP+"/", func(*testing.T) { r.Restart() })
}

// runKafka runs the suite against a broker whose topics have four partitions and
// take batches of up to 20,000 bytes.
func runKafka(t *testing.T, addr string, restart func(*testing.T)) {
	open := func(t *testing.T) bus.Bus {
		t.Helper()
		b, err := kafka.New([]string{addr})
		harness.Must(t, err)
		return b
	}
	bustest.Run(t, bustest.Peer{
		New: open, Log: true, Restart: restart,
		Refusing: func(t *testing.T, topic string) (bus.Bus, bus.Message) {
			body := make([]byte, 30_000)
			rand.Read(body) // which no compression makes smaller
			return open(t), bus.Message{Topic: topic, Body: body}
		},
	})
}

// runAMQP runs the suite with classic queues, and with quorum queues and a refusal
// of another kind.
func runAMQP(t *testing.T, url string, restart func(*testing.T)) {
	open := func(t *testing.T, opts ...amqp.Option) bus.Bus {
		t.Helper()
		b, err := amqp.New(url, opts...)
		harness.Must(t, err)
		return b
	}
	for name, opts := range map[string][]amqp.Option{"classic": nil, "quorum": {amqp.Quorum()}} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, bustest.Peer{
				New:     func(t *testing.T) bus.Bus { return open(t, opts...) },
				Restart: restart,
				Refusing: func(t *testing.T, topic string) (bus.Bus, bus.Message) {
					return open(t, opts...), bus.Message{Topic: full(t, url, topic)}
				},
			})
		})
	}
}

// full is a queue that rejects what is published to it, with a nack.
func full(t *testing.T, url, topic string) string {
	t.Helper()
	c, err := amqp091.Dial(url)
	harness.Must(t, err)
	defer c.Close()
	ch, err := c.Channel()
	harness.Must(t, err)
	q, err := ch.QueueDeclare(topic+"-full", true, false, false, false, amqp091.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	harness.Must(t, err)
	harness.Must(t, ch.PublishWithContext(context.Background(), "", q.Name, false, false, amqp091.Publishing{}))
	return q.Name
}
