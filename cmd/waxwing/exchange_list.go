package main

import "github.com/spf13/cobra"

// exchangeRow is one row of `waxwing exchange list`, as the API tells it.
type exchangeRow struct {
	Name       string         `json:"name"`
	VHost      string         `json:"vhost"`
	Type       string         `json:"type"`
	Durable    bool           `json:"durable"`
	AutoDelete bool           `json:"auto_delete"`
	Internal   bool           `json:"internal"`
	Arguments  argumentsField `json:"arguments"`
}

func newExchangeListCommand() *cobra.Command {
	var admin amqpAdmin
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the exchanges of a vhost",
		Long: `Lists the exchanges of the vhost of --url by name. The one without a name is the
default exchange, to which every queue is bound by its name.

AMQP has no such question, so it is asked over HTTP, at --http-url.`,
		Example: `  waxwing exchange list
  waxwing exchange list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			exchanges := []exchangeRow{}
			if err := admin.list(cmd.Context(), "exchanges", &exchanges); err != nil {
				return err
			}
			if out.json() {
				return printJSON(cmd.OutOrStdout(), exchanges)
			}
			var rows [][]string
			for _, x := range exchanges {
				rows = append(rows, []string{x.Name, x.Type, yesNo(x.Durable), yesNo(x.AutoDelete), yesNo(x.Internal), argumentsText(x.Arguments)})
			}
			return printTable(cmd.OutOrStdout(), []string{"EXCHANGE", "TYPE", "DURABLE", "AUTO-DELETE", "INTERNAL", "ARGUMENTS"}, rows)
		},
	}
	admin.addTo(cmd)
	out.addTo(cmd)
	return cmd
}
