package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// queueDeclare holds the flags of `waxwing queue declare`.
type queueDeclare struct {
	conn       amqpConnection
	kind       *enumValue
	durable    bool
	autoDelete bool
	arguments  argumentsValue
}

// queueTypes are the values of --type. The first leaves the choice to the
// broker.
var queueTypes = []string{"default", "classic", "quorum", "stream"}

func newQueueDeclareCommand() *cobra.Command {
	c := queueDeclare{kind: newEnum(queueTypes...), arguments: argumentsValue{}}
	cmd := &cobra.Command{
		Use:   "declare QUEUE...",
		Short: "Make queues, or check that they are as declared",
		Long: `Declares the queues. One that exists already must have been declared in the same
way. An empty name lets the broker choose one.

The value of an argument is read as JSON if it is JSON, as a text otherwise:
x-max-length=1000 is a number, x-overflow=reject-publish a text, and
'x-note="1000"' a text of digits.`,
		Example: `  waxwing queue declare orders
  waxwing queue declare orders --type quorum --argument x-delivery-limit=5
  waxwing queue declare retry -a x-message-ttl=30000 -a x-dead-letter-exchange= -a x-dead-letter-routing-key=orders
  waxwing queue declare events --type stream --argument x-max-age=7D`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.run,
	}
	addEnum(cmd, c.kind, "type", "", "type of the queues (default: the broker's)")
	fs := cmd.Flags()
	fs.BoolVar(&c.durable, "durable", true, "keep the queues when the broker restarts")
	fs.BoolVar(&c.autoDelete, "auto-delete", false, "delete a queue when its last consumer is gone")
	fs.VarP(c.arguments, "argument", "a", "an argument, such as x-max-length=1000; may be repeated")
	c.conn.addTo(cmd)
	return cmd
}

// withType returns the arguments with the type of queue.
func withType(arguments argumentsValue, kind string) amqp.Table {
	t := amqp.Table{}
	for name, value := range arguments {
		t[name] = value
	}
	if kind != queueTypes[0] {
		t["x-queue-type"] = kind
	}
	return t
}

func (c *queueDeclare) run(cmd *cobra.Command, names []string) error {
	return c.conn.withAMQP(cmd, func(s *amqpSession) error {
		for _, name := range names {
			q, err := s.ch.QueueDeclare(name, c.durable, c.autoDelete, false, false, withType(c.arguments, c.kind.value))
			if err != nil {
				return fmt.Errorf("queue %q: %w", name, amqpError(err))
			}
			fmt.Fprintf(cmd.OutOrStdout(), "declared queue %s\n", q.Name)
		}
		return nil
	})
}
