package amqpdiff

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// startRabbitMQ starts the i-th RabbitMQ until t ends, and gives its HOST:PORT. It
// is installed if it is not there.
func startRabbitMQ(t *testing.T, i int) string {
	t.Helper()
	if addr := os.Getenv("RABBITMQ_AMQP"); addr != "" {
		return addr
	}
	script := func(args ...string) string {
		t.Helper()
		root, err := harness.Root()
		harness.Must(t, err)
		cmd := exec.Command(filepath.Join(root, "scripts", "rabbitmq.sh"), args...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("RABBITMQ_INSTANCE=diff%dn%d", os.Getpid(), i), fmt.Sprintf("RABBITMQ_OWNER=%d", os.Getpid()))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("rabbitmq.sh %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	script("install")
	t.Cleanup(func() { script("stop") })
	u, err := url.Parse(script("start"))
	harness.Must(t, err)
	return u.Host
}

// startWaxwing starts the real binary until t ends, and gives its HOST:PORT.
func startWaxwing(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("WAXWING_AMQP"); addr != "" {
		return addr
	}
	return harness.StartBroker(t, "--amqp-profile", "rabbitmq-4").AMQP
}
