// Package amqpjava runs the suite of RabbitMQ's Java client, which starts in
// Main.java.
package amqpjava

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func TestJavaClient(t *testing.T) {
	command := compile(t)
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		b := amqptest.Start(t, "waxwing")
		var env []string
		if b.Owned() {
			env = append(env, "PRODUCT=Waxwing")
		}
		run(t, b, command, env...)
	})
	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		b := amqptest.Start(t, "waxwing")
		if !b.Owned() {
			t.Log("a broker that is not ours cannot be killed")
			return
		}
		run(t, b, append(command, "restart"), amqptest.Control(t, b))
	})
}

// compile compiles the suite, and the runner that it shares with Kafka's, and
// returns the command that starts it.
func compile(t *testing.T) []string {
	jars := filepath.Join(harness.Tool(t, "amqpjava"), "*")
	classes := t.TempDir()
	sources, err := filepath.Glob("*.java")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no Java sources: %v", err)
	}
	sources = append(sources, filepath.Join("..", "java", "Runner.java"))
	javac := exec.Command("javac", append([]string{"-Xlint:-options", "-nowarn", "--release", "17", "-cp", jars, "-d", classes}, sources...)...)
	if out, err := javac.CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	return []string{"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classes + ":" + jars, "Main"}
}

func run(t *testing.T, b *harness.Broker, command []string, env ...string) {
	t.Helper()
	harness.RunProgram(t, b, harness.Program{Args: command, Env: append(amqptest.Env(b), env...), Timeout: 4 * time.Minute})
}
