package main

import (
	"context"

	"github.com/spf13/cobra"
)

// groupSummary is one row of `waxwing group list`.
type groupSummary struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	ProtocolType string `json:"protocolType"`
	Coordinator  int32  `json:"coordinator"`
}

func newGroupListCommand() *cobra.Command {
	var conn connection
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the consumer groups",
		Long:  "Lists the consumer groups by name, with their state: Stable with consumers in it, Empty without.",
		Example: `  waxwing group list
  waxwing group list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				listed, err := s.adm.ListGroups(ctx)
				if err != nil {
					return err
				}
				groups := []groupSummary{}
				var rows [][]string
				for _, g := range listed.Sorted() {
					groups = append(groups, groupSummary{g.Group, g.State, g.ProtocolType, g.Coordinator})
					rows = append(rows, []string{g.Group, g.State, g.ProtocolType})
				}
				if out.json() {
					return printJSON(cmd.OutOrStdout(), groups)
				}
				return printTable(cmd.OutOrStdout(), []string{"GROUP", "STATE", "PROTOCOL"}, rows)
			})
		},
	}
	conn.addTo(cmd)
	out.addTo(cmd)
	return cmd
}
