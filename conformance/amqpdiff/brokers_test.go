package amqpdiff

import (
	"fmt"
	"os"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// startPairs starts so many pairs of brokers until t ends, or connects to those
// that RABBITMQ_AMQP and WAXWING_AMQP name, which are one pair.
func startPairs(t *testing.T, n int) (pairs []*Pair) {
	t.Helper()
	if os.Getenv("RABBITMQ_AMQP") != "" || os.Getenv("WAXWING_AMQP") != "" {
		n = 1
	}
	for i := range n {
		p, err := NewPair(startWaxwing(t), startRabbitMQ(t, i))
		harness.Must(t, err)
		t.Cleanup(p.Close)
		pairs = append(pairs, p)
	}
	return pairs
}

// startRabbitMQ starts the i-th RabbitMQ until t ends, and gives its HOST:PORT.
func startRabbitMQ(t *testing.T, i int) string {
	t.Helper()
	if addr := os.Getenv("RABBITMQ_AMQP"); addr != "" {
		return addr
	}
	return harness.StartRabbitMQ(t, fmt.Sprintf("diff%dp", i), false).AMQP
}

// startWaxwing starts the real binary until t ends, and gives its HOST:PORT.
func startWaxwing(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("WAXWING_AMQP"); addr != "" {
		return addr
	}
	return harness.StartBroker(t, "--amqp-profile", "rabbitmq-4").AMQP
}
