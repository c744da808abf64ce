package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// queueDelete holds the flags of `waxwing queue delete`.
type queueDelete struct {
	conn                        amqpConnection
	ifUnused, ifEmpty, ifExists bool
}

func newQueueDeleteCommand() *cobra.Command {
	var c queueDelete
	cmd := &cobra.Command{
		Use:   "delete QUEUE...",
		Short: "Delete queues and the messages in them",
		Long:  "Deletes the queues, their bindings and their messages. There is no way back and no question asked.",
		Example: `  waxwing queue delete orders
  waxwing queue delete orders payments --if-exists
  waxwing queue delete orders --if-unused --if-empty`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.run,
	}
	fs := cmd.Flags()
	fs.BoolVar(&c.ifUnused, "if-unused", false, "refuse to delete a queue that has consumers")
	fs.BoolVar(&c.ifEmpty, "if-empty", false, "refuse to delete a queue that has messages")
	fs.BoolVar(&c.ifExists, "if-exists", false, "do nothing about queues that do not exist")
	c.conn.addTo(cmd)
	return cmd
}

func (c *queueDelete) run(cmd *cobra.Command, names []string) error {
	return c.conn.withAMQP(cmd, func(s *amqpSession) error {
		for _, name := range names {
			// Deleting what is not there is no error in AMQP: look first.
			_, err := s.ch.QueueDeclarePassive(name, false, false, false, false, nil)
			if c.ifExists && isCode(err, amqp.NotFound) {
				fmt.Fprintf(cmd.OutOrStdout(), "queue %s does not exist\n", name)
				if err := s.openChannel(); err != nil { // the error has closed it
					return s.reason(err)
				}
				continue
			}
			if err != nil {
				return queueError(name, err)
			}
			n, err := s.ch.QueueDelete(name, c.ifUnused, c.ifEmpty, false)
			if err != nil {
				return queueError(name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "deleted queue %s with %s\n", name, count(n, "message"))
		}
		return nil
	})
}
