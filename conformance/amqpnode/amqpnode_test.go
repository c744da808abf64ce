// Package amqpnode runs the suite of amqplib, which starts in main.js.
package amqpnode

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

func TestAMQPLib(t *testing.T) {
	b := amqptest.Start(t, "waxwing")
	env := append(amqptest.Env(b), "NODE_PATH="+harness.Tool(t, "amqpnode", "node_modules"))
	if b.Owned() {
		env = append(env, "PRODUCT=Waxwing")
	}
	harness.RunProgram(t, b, harness.Program{Args: []string{"node", "main.js"}, Env: env, Timeout: 3 * time.Minute})
}
