// Package python runs the suites of the Python clients: confluent-kafka in
// confluent_main.py and kafka-python in kafka_python_main.py.
package python

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func TestConfluentKafka(t *testing.T) { run(t, "confluent_main.py", "py") }

func TestKafkaPython(t *testing.T) { run(t, "kafka_python_main.py", "kpy") }

// run runs a script, whose topics begin with prefix.
func run(t *testing.T, script, prefix string) {
	python := harness.Tool(t, "python", "bin", "python")
	b := harness.StartBroker(t)
	harness.RunProgram(t, b, harness.Program{
		Args:    []string{python, "-B", "-u", script},
		Timeout: 4 * time.Minute,
	})
	harness.WantCodecs(t, b, prefix)
}
