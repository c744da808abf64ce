package main

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/spf13/cobra"
)

// exchangeDelete holds the flags of `waxwing exchange delete`.
type exchangeDelete struct {
	conn               amqpConnection
	ifUnused, ifExists bool
}

func newExchangeDeleteCommand() *cobra.Command {
	var c exchangeDelete
	cmd := &cobra.Command{
		Use:   "delete EXCHANGE...",
		Short: "Delete exchanges and their bindings",
		Long:  "Deletes the exchanges and all their bindings. Queues and messages stay.",
		Example: `  waxwing exchange delete events
  waxwing exchange delete events orders --if-unused --if-exists`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.run,
	}
	fs := cmd.Flags()
	fs.BoolVar(&c.ifUnused, "if-unused", false, "refuse to delete an exchange that has bindings")
	fs.BoolVar(&c.ifExists, "if-exists", false, "do nothing about exchanges that do not exist")
	c.conn.addTo(cmd)
	return cmd
}

func (c *exchangeDelete) run(cmd *cobra.Command, names []string) error {
	return c.conn.withAMQP(cmd, func(s *amqpSession) error {
		for _, name := range names {
			// Deleting what is not there is no error in AMQP: look first.
			err := s.ch.ExchangeDeclarePassive(name, "direct", false, false, false, false, nil)
			if c.ifExists && isCode(err, amqp.NotFound) {
				fmt.Fprintf(cmd.OutOrStdout(), "exchange %s does not exist\n", name)
				if err := s.openChannel(); err != nil { // the error has closed it
					return s.reason(err)
				}
				continue
			}
			if err == nil {
				err = s.ch.ExchangeDelete(name, c.ifUnused, false)
			}
			if err != nil {
				return exchangeError(name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "deleted exchange %s\n", name)
		}
		return nil
	})
}
