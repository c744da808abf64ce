package main

import "github.com/spf13/cobra"

// bindingRow is one row of `waxwing bind list`, as the API tells it.
type bindingRow struct {
	Source          string         `json:"source"`
	VHost           string         `json:"vhost"`
	Destination     string         `json:"destination"`
	DestinationType string         `json:"destination_type"`
	RoutingKey      string         `json:"routing_key"`
	Arguments       argumentsField `json:"arguments"`
}

func newBindListCommand() *cobra.Command {
	var admin amqpAdmin
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the bindings of a vhost",
		Long: `Lists the bindings of the vhost of --url. Those of the default exchange, to which
every queue is bound by its name, are left out.

AMQP has no such question, so it is asked over HTTP, at --http-url.`,
		Example: `  waxwing bind list
  waxwing bind list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := []bindingRow{}
			if err := admin.list(cmd.Context(), "bindings", &all); err != nil {
				return err
			}
			bindings := []bindingRow{}
			for _, b := range all {
				if b.Source != "" { // RabbitMQ lists the default exchange's too
					bindings = append(bindings, b)
				}
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), bindings)
			}
			var rows [][]string
			for _, b := range bindings {
				rows = append(rows, []string{b.Source, b.DestinationType, b.Destination, b.RoutingKey, argumentsText(b.Arguments)})
			}
			return printTable(cmd.OutOrStdout(), []string{"EXCHANGE", "TO", "DESTINATION", "KEY", "ARGUMENTS"}, rows)
		},
	}
	admin.addTo(cmd)
	out.addTo(cmd)
	return cmd
}
