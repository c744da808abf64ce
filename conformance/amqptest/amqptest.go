// Package amqptest starts brokers for the suites of AMQP clients, and runs
// programs whose output is looked at.
//
// WAXWING_CONFORMANCE_AMQP=HOST:PORT names a running broker to test instead:
// any RabbitMQ with the user guest.
package amqptest

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// Start starts a broker that calls itself what profile says, and stops it when
// t ends.
func Start(t *testing.T, profile string) *harness.Broker {
	t.Helper()
	if addr := os.Getenv("WAXWING_CONFORMANCE_AMQP"); addr != "" {
		return &harness.Broker{AMQP: addr}
	}
	b := harness.StartBroker(t, "--amqp-profile", profile)
	if b.AMQP == "" {
		t.Fatal("a Kafka broker (WAXWING_CONFORMANCE_BOOTSTRAP) serves no AMQP")
	}
	return b
}

// URL is where clients of b connect to.
func URL(b *harness.Broker) string { return "amqp://guest:guest@" + b.AMQP + "/" }

// Env is the environment of a program that tests b: AMQP_URL.
func Env(b *harness.Broker) []string { return []string{"AMQP_URL=" + URL(b)} }

// Control serves a program what it cannot do itself, and returns the variable
// CONTROL_URL for its environment. POST /kill ends b as kill -9 does, POST
// /start starts it again on the same data and ports.
func Control(t *testing.T, b *harness.Broker) string {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /kill", func(http.ResponseWriter, *http.Request) { b.Kill(t) })
	mux.HandleFunc("POST /start", func(http.ResponseWriter, *http.Request) { b.Restart(t) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return "CONTROL_URL=" + server.URL
}
