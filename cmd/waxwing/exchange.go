package main

import "github.com/spf13/cobra"

func newExchangeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "exchange",
		GroupID: groupData,
		Short:   "Declare, list and delete AMQP exchanges",
		Long: `Publishers send to an exchange, and bindings say which queues get the message: see
"waxwing bind". These commands are AMQP 0-9-1 clients: they work against Waxwing and
against RabbitMQ.`,
		Example: `  waxwing exchange declare events --type topic
  waxwing exchange list
  waxwing exchange delete events`,
		RunE: showHelp,
	}
	cmd.AddCommand(newExchangeListCommand(), newExchangeDeclareCommand(), newExchangeDeleteCommand())
	return cmd
}
