package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

// topicSummary is one row of `waxwing topic list`.
type topicSummary struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Partitions  int    `json:"partitions"`
	Replication int    `json:"replicationFactor"`
	Internal    bool   `json:"internal"`
}

func newTopicListCommand() *cobra.Command {
	var conn connection
	var internal bool
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the topics",
		Long:  "Lists the topics by name. Topics that a cluster keeps for itself are left out unless --internal is given.",
		Example: `  waxwing topic list
  waxwing topic list --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				topics, err := listTopics(ctx, s, internal)
				if err != nil {
					return err
				}
				if out.json() {
					return printJSON(cmd.OutOrStdout(), topics)
				}
				var rows [][]string
				for _, t := range topics {
					rows = append(rows, []string{t.Name, strconv.Itoa(t.Partitions), strconv.Itoa(t.Replication)})
				}
				return printTable(cmd.OutOrStdout(), []string{"TOPIC", "PARTITIONS", "REPLICATION"}, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "list internal topics too")
	conn.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

// listTopics returns all topics, sorted by name; never nil.
func listTopics(ctx context.Context, s *session, internal bool) ([]topicSummary, error) {
	details, err := s.adm.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list topics: %w", err)
	}
	topics := []topicSummary{}
	for _, t := range details.Sorted() {
		if t.IsInternal && !internal {
			continue
		}
		topics = append(topics, topicSummary{
			Name: t.Topic, ID: topicID(t.ID), Partitions: len(t.Partitions),
			Replication: t.Partitions.NumReplicas(), Internal: t.IsInternal,
		})
	}
	return topics, nil
}
