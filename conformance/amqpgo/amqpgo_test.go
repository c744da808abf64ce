package amqpgo

import (
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/amqptest"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

const (
	amqp091   = "github.com/rabbitmq/amqp091-go"
	watermill = "github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
)

// TestAMQP091Suite: the integration tests of RabbitMQ's Go client. The profile
// makes it run those that look at the product too.
func TestAMQP091Suite(t *testing.T) {
	suite{
		pkg:     amqp091,
		args:    []string{"-tags=integration", "-run=TestIntegration"},
		env:     amqptest.Env(amqptest.Start(t, "rabbitmq-4")),
		limit:   3 * time.Minute,
		atLeast: 39,
	}.run(t)
}

// TestAMQP091Rest: its other tests. Left out are those that want RabbitMQ's
// management API to cut connections, its rabbitmqctl to raise an alarm, TLS; those
// that wait for seconds and need no broker; and one that asks ten times, without
// waiting, for a dead letter of a message that it has yet to reject.
func TestAMQP091Rest(t *testing.T) {
	suite{
		pkg:     amqp091,
		args:    []string{"-tags=integration", "-skip=^TestIntegration|^TestConnectionRecovery|^TestTLSHandshake|WhenMemoryAlarmIsActive|DropsNotificationOnFullListener|^TestDeclareArgsRejectToDeadLetterQueue$"},
		env:     amqptest.Env(amqptest.Start(t, "rabbitmq-4")),
		limit:   3 * time.Minute,
		atLeast: 180,
	}.run(t)
}

// TestWatermillSuite: the tests of watermill's publisher and subscriber.
func TestWatermillSuite(t *testing.T) {
	args := []string{"-parallel=20"}
	if !harness.Full() {
		args = append(args, "-short")
	}
	suite{
		pkg:   watermill,
		dir:   "watermill",
		args:  args,
		env:   []string{"WATERMILL_TEST_AMQP_URI=" + amqptest.URL(amqptest.Start(t, "waxwing"))},
		limit: 8 * time.Minute,
		maySkip: map[string]string{
			`/TestReconnect/`:                        "wants a command that restarts the broker",
			`_queue\w*/TestConsumerGroups/`:          "queues without groups",
			`/TestNewSubscriberReceivesOldMessages/`: "for brokers that keep what was read",
		},
		atLeast: 190,
	}.run(t)
}
