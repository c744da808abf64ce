// Package amqppython runs the examples in Python, and the suites of pika,
// aio-pika and Celery.
package amqppython

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// TestPika: pika's blocking and asynchronous adapters.
func TestPika(t *testing.T) {
	b := amqptest.Start(t, "waxwing")
	var env []string
	if b.Owned() {
		env = append(env, "PRODUCT=Waxwing")
	}
	run(t, b, "pika_main.py", env...)
}

// TestPikaRestart: the broker is killed under clients.
func TestPikaRestart(t *testing.T) {
	b := amqptest.Start(t, "waxwing")
	if !b.Owned() {
		t.Log("a broker that is not ours cannot be killed")
		return
	}
	run(t, b, "pika_restart.py", amqptest.Control(t, b))
}

// TestPikaBlocked: the disk of the broker is full for a while.
func TestPikaBlocked(t *testing.T) {
	b, control := amqptest.StartOnSmallDisk(t)
	run(t, b, "pika_blocked.py", control)
}

// run runs a suite against b; each of its cases is a subtest.
func run(t *testing.T, b *harness.Broker, script string, env ...string) {
	t.Helper()
	python := harness.Tool(t, "amqppython", "bin", "python")
	harness.RunProgram(t, b, harness.Program{
		Args:    []string{python, "-B", "-u", script},
		Env:     append(append(amqptest.Env(b), "PYTHONPATH=../python"), env...),
		Timeout: 4 * time.Minute,
	})
}
