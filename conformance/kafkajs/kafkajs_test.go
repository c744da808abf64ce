// Package kafkajs runs the KafkaJS suite, which stands in main.js.
package kafkajs

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func TestKafkaJS(t *testing.T) {
	modules := harness.Tool(t, "node", "node_modules")
	harness.EachShards(t, func(t *testing.T, b *harness.Broker) {
		harness.RunProgram(t, b, harness.Program{
			Args:    []string{"node", "main.js"},
			Env:     []string{"NODE_PATH=" + modules},
			Timeout: 4 * time.Minute,
		})
		harness.WantCodecs(t, b, "js")
	})
}
