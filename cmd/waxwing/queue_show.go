package main

import (
	"github.com/spf13/cobra"
)

// queueState is what `waxwing queue show` says of a queue.
type queueState struct {
	Name      string `json:"name"`
	Ready     int    `json:"messages_ready"`
	Consumers int    `json:"consumers"`
}

func newQueueShowCommand() *cobra.Command {
	var conn amqpConnection
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "show QUEUE...",
		Short: "Show how many messages and consumers queues have",
		Long: `Shows of each queue how many messages are ready (not with a consumer) and how many
consumers it has. It asks with passive declarations, so that any AMQP broker
answers. A queue that does not exist makes the exit code 1.`,
		Example: `  waxwing queue show orders
  waxwing queue show orders payments --output json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			var queues []queueState
			err := conn.withAMQP(cmd, func(s *amqpSession) error {
				for _, name := range names {
					q, err := s.ch.QueueDeclarePassive(name, false, false, false, false, nil)
					if err != nil {
						return queueError(name, err)
					}
					queues = append(queues, queueState{q.Name, q.Messages, q.Consumers})
				}
				return nil
			})
			if err != nil {
				return err
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), queues)
			}
			var rows [][]string
			for _, q := range queues {
				rows = append(rows, []string{q.Name, groupDigits(int64(q.Ready)), groupDigits(int64(q.Consumers))})
			}
			return printTable(cmd.OutOrStdout(), []string{"QUEUE", "READY", "CONSUMERS"}, rows)
		},
	}
	conn.addTo(cmd)
	out.addTo(cmd)
	return cmd
}
