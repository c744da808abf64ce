package harness

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// RabbitMQ is a real one, to compare with.
type RabbitMQ struct {
	AMQP       string // its AMQP listener, HOST:PORT; the user is guest
	Management string // the URL of its management API; empty without the plugin

	script func(args ...string) string
}

// StartRabbitMQ starts a RabbitMQ until t ends; a process may have several, by
// name. It is installed if it is not there. management says whether it is to have
// its management plugin.
func StartRabbitMQ(t *testing.T, name string, management bool) *RabbitMQ {
	t.Helper()
	root, err := Root()
	Must(t, err)
	script := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join(root, "scripts", "rabbitmq.sh"), args...)
		cmd.Env = append(os.Environ(), fmt.Sprintf("RABBITMQ_INSTANCE=%s%d", name, os.Getpid()), fmt.Sprintf("RABBITMQ_OWNER=%d", os.Getpid()))
		if management {
			cmd.Env = append(cmd.Env, "RABBITMQ_MANAGEMENT=1")
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("rabbitmq.sh %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	script("install")
	t.Cleanup(func() { script("stop") })
	amqp, http, _ := strings.Cut(script("start"), "\n")
	u, err := url.Parse(amqp)
	Must(t, err)
	return &RabbitMQ{AMQP: u.Host, Management: http, script: script}
}

// Restart stops the broker within its node, which closes all connections, and
// starts it on what it has stored.
func (r *RabbitMQ) Restart() {
	r.script("ctl", "stop_app")
	r.script("ctl", "start_app")
}
