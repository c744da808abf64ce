package main

import "github.com/spf13/cobra"

func newQueueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue",
		GroupID: groupData,
		Short:   "Declare, list, show, purge and delete AMQP queues",
		Long: `A queue holds messages until consumers have acknowledged them. These commands are
AMQP 0-9-1 clients: they work against Waxwing and against RabbitMQ.`,
		Example: `  waxwing queue declare orders --type quorum
  waxwing queue list
  waxwing queue show orders
  waxwing queue purge orders
  waxwing queue delete orders`,
		RunE: showHelp,
	}
	cmd.AddCommand(
		newQueueListCommand(),
		newQueueShowCommand(),
		newQueueDeclareCommand(),
		newQueuePurgeCommand(),
		newQueueDeleteCommand(),
	)
	return cmd
}
