package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newTopicDeleteCommand() *cobra.Command {
	var conn connection
	var ifExists bool
	cmd := &cobra.Command{
		Use:   "delete TOPIC...",
		Short: "Delete topics and everything in them",
		Long:  "Deletes the topics and all their records. There is no way back and no question asked.",
		Example: `  waxwing topic delete orders
  waxwing topic delete orders payments --if-exists`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: conn.completeTopics(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				answers, err := s.adm.DeleteTopics(ctx, names...)
				if err != nil {
					return err
				}
				var gone []string
				for _, name := range names {
					if answers[name].Err == nil {
						gone = append(gone, name)
					}
				}
				s.settle(ctx, gone, func(t kadm.TopicDetail) bool { return len(t.Partitions) == 0 })
				var failed failures
				for _, name := range names {
					answer := answers[name]
					if ifExists && errors.Is(answer.Err, kerr.UnknownTopicOrPartition) {
						fmt.Fprintf(cmd.OutOrStdout(), "topic %s does not exist\n", name)
						continue
					}
					if err := topicError(name, answer.Err, answer.ErrMessage); err != nil {
						failed = append(failed, err)
						continue
					}
					fmt.Fprintf(cmd.OutOrStdout(), "deleted topic %s\n", name)
				}
				return failed.err()
			})
		},
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "do nothing about topics that do not exist")
	conn.addTo(cmd)
	return cmd
}
