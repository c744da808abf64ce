package main

import (
	"github.com/spf13/cobra"
)

// queueRow is one row of `waxwing queue list`, as the API tells it.
type queueRow struct {
	Name           string         `json:"name"`
	VHost          string         `json:"vhost"`
	Type           string         `json:"type"`
	Durable        bool           `json:"durable"`
	AutoDelete     bool           `json:"auto_delete"`
	Exclusive      bool           `json:"exclusive"`
	Arguments      argumentsField `json:"arguments"`
	Ready          int64          `json:"messages_ready"`
	Unacknowledged int64          `json:"messages_unacknowledged"`
	Messages       int64          `json:"messages"`
	Consumers      int            `json:"consumers"`
}

func newQueueListCommand() *cobra.Command {
	var admin amqpAdmin
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the queues of a vhost",
		Long: `Lists the queues of the vhost of --url by name, with the messages that are ready and
those that are with consumers. Topics are stream queues, and come last.

AMQP has no such question, so it is asked over HTTP, at --http-url.`,
		Example: `  waxwing queue list
  waxwing queue list --output json
  waxwing queue list --url amqp://app:secret@rabbit/shop --http-url http://rabbit:15672`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			queues := []queueRow{}
			if err := admin.list(cmd.Context(), "queues", &queues); err != nil {
				return err
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), queues)
			}
			var rows [][]string
			for _, q := range queues {
				rows = append(rows, []string{
					q.Name, q.Type, yesNo(q.Durable), groupDigits(q.Ready), groupDigits(q.Unacknowledged),
					groupDigits(int64(q.Consumers)), argumentsText(q.Arguments),
				})
			}
			return printTable(cmd.OutOrStdout(), []string{"QUEUE", "TYPE", "DURABLE", "READY", "UNACKED", "CONSUMERS", "ARGUMENTS"}, rows)
		},
	}
	admin.addTo(cmd)
	out.addTo(cmd)
	return cmd
}
