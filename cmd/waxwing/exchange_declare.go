package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// exchangeDeclare holds the flags of `waxwing exchange declare`.
type exchangeDeclare struct {
	conn                          amqpConnection
	kind                          string
	durable, autoDelete, internal bool
	arguments                     argumentsValue
}

func newExchangeDeclareCommand() *cobra.Command {
	c := exchangeDeclare{arguments: argumentsValue{}}
	cmd := &cobra.Command{
		Use:   "declare EXCHANGE...",
		Short: "Make exchanges, or check that they are as declared",
		Long: `Declares the exchanges. One that exists already must have been declared in the same
way. Types are direct, fanout, topic and headers, and what else the broker has:
x-consistent-hash and x-delayed-message, for example.

The value of an argument is read as JSON if it is JSON, as a text otherwise.`,
		Example: `  waxwing exchange declare events --type topic
  waxwing exchange declare orders --argument alternate-exchange=unrouted
  waxwing exchange declare later --type x-delayed-message -a x-delayed-type=direct`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.run,
	}
	fs := cmd.Flags()
	fs.StringVar(&c.kind, "type", "direct", "type of the exchanges")
	fs.BoolVar(&c.durable, "durable", true, "keep the exchanges when the broker restarts")
	fs.BoolVar(&c.autoDelete, "auto-delete", false, "delete an exchange with its last binding")
	fs.BoolVar(&c.internal, "internal", false, "take messages from other exchanges only")
	fs.VarP(c.arguments, "argument", "a", "an argument, such as alternate-exchange=NAME; may be repeated")
	c.conn.addTo(cmd)
	return cmd
}

func (c *exchangeDeclare) run(cmd *cobra.Command, names []string) error {
	return c.conn.withAMQP(cmd, func(s *amqpSession) error {
		for _, name := range names {
			err := s.ch.ExchangeDeclare(name, c.kind, c.durable, c.autoDelete, c.internal, false, amqp.Table(c.arguments))
			if err != nil {
				return exchangeError(name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "declared exchange %s\n", name)
		}
		return nil
	})
}
