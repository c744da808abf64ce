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
	t.Parallel()
	b := amqptest.Start(t, "waxwing")
	var env []string
	if b.Owned() {
		env = append(env, "PRODUCT=Waxwing")
	}
	run(t, b, "pika_main.py", env...)
}

// TestPikaRestart: the broker is killed under clients.
func TestPikaRestart(t *testing.T) {
	t.Parallel()
	b := amqptest.Start(t, "waxwing")
	if !b.Owned() {
		t.Log("a broker that is not ours cannot be killed")
		return
	}
	run(t, b, "pika_restart.py", amqptest.Control(t, b))
}

// TestPikaBlocked: the disk of the broker is full for a while.
func TestPikaBlocked(t *testing.T) {
	t.Parallel()
	b, control := amqptest.StartOnSmallDisk(t)
	run(t, b, "pika_blocked.py", control)
}

// TestAioPika: aio-pika's connections, channels and patterns.
func TestAioPika(t *testing.T) {
	t.Parallel()
	run(t, amqptest.Start(t, "waxwing"), "aio_main.py")
}

// TestAioPikaRestart: its robust connections when the broker is killed.
func TestAioPikaRestart(t *testing.T) {
	t.Parallel()
	b := amqptest.Start(t, "waxwing")
	if !b.Owned() {
		t.Log("a broker that is not ours cannot be killed")
		return
	}
	run(t, b, "aio_restart.py", amqptest.Control(t, b))
}

// TestCelery: Celery and kombu, as they behave with a broker that they do not
// know.
func TestCelery(t *testing.T) {
	t.Parallel()
	run(t, amqptest.Start(t, "waxwing"), "celery_main.py")
}

// TestCeleryGlobalQoS: the same with a RabbitMQ that has prefetch limits per
// channel. The sample has what depends on them.
func TestCeleryGlobalQoS(t *testing.T) {
	t.Parallel()
	env := []string{"QOS=global"}
	if !harness.Full() {
		env = append(env, "WAXWING_CASES=ETA and countdown")
	}
	run(t, amqptest.Start(t, "rabbitmq-3.13"), "celery_main.py", env...)
}

// TestCeleryRestart: the broker is killed under a worker.
func TestCeleryRestart(t *testing.T) {
	t.Parallel()
	b := amqptest.Start(t, "waxwing")
	if !b.Owned() {
		t.Log("a broker that is not ours cannot be killed")
		return
	}
	run(t, b, "celery_main.py", amqptest.Control(t, b), "WAXWING_CASES=broker that is killed")
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
