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

// startRabbitMQ starts a RabbitMQ until t ends, and gives its HOST:PORT. It is
// installed if it is not there.
func startRabbitMQ(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("RABBITMQ_AMQP"); addr != "" {
		return addr
	}
	script := func(args ...string) string {
		t.Helper()
		root, err := harness.Root()
		harness.Must(t, err)
		cmd := exec.Command(filepath.Join(root, "scripts", "rabbitmq.sh"), args...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("RABBITMQ_INSTANCE=diff%d", os.Getpid()), fmt.Sprintf("RABBITMQ_OWNER=%d", os.Getpid()))
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
