package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newQueuePurgeCommand() *cobra.Command {
	var conn amqpConnection
	cmd := &cobra.Command{
		Use:   "purge QUEUE...",
		Short: "Drop the messages of queues",
		Long: `Drops the messages that are ready; those that are with consumers stay. There is no
way back and no question asked.`,
		Example: `  waxwing queue purge orders
  waxwing queue purge orders payments`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return conn.withAMQP(cmd, func(s *amqpSession) error {
				for _, name := range names {
					n, err := s.ch.QueuePurge(name, false)
					if err != nil {
						return queueError(name, err)
					}
					fmt.Fprintf(cmd.OutOrStdout(), "purged %s from queue %s\n", count(n, "message"), name)
				}
				return nil
			})
		},
	}
	conn.addTo(cmd)
	return cmd
}
