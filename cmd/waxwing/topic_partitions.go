package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newTopicPartitionsCommand() *cobra.Command {
	var conn connection
	cmd := &cobra.Command{
		Use:   "partitions TOPIC COUNT",
		Short: "Give a topic more partitions",
		Long: `Raises the number of a topic's partitions to COUNT. Partitions cannot be taken
away. Records with the same key may go to another partition from then on, so their
order is not kept across the change.`,
		Example:           "  waxwing topic partitions orders 6",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: conn.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil || n < 1 {
				return fmt.Errorf("COUNT must be a whole number from 1, not %q", args[1])
			}
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				return setPartitions(ctx, cmd, s, args[0], int(n))
			})
		},
	}
	conn.addTo(cmd)
	return cmd
}

// setPartitions raises the topic's partitions to n.
func setPartitions(ctx context.Context, cmd *cobra.Command, s *session, topic string, n int) error {
	details, err := s.topics(ctx, topic)
	if err != nil {
		return err
	}
	if has := len(details[topic].Partitions); n <= has {
		return fmt.Errorf("topic %q has %s; their number can only grow", topic, count(has, "partition"))
	}
	answers, err := s.adm.UpdatePartitions(ctx, n, topic)
	if err != nil {
		return err
	}
	if err := topicError(topic, answers[topic].Err, answers[topic].ErrMessage); err != nil {
		return err
	}
	s.settle(ctx, []string{topic}, func(t kadm.TopicDetail) bool { return len(t.Partitions) >= n })
	fmt.Fprintf(cmd.OutOrStdout(), "topic %s has %s now\n", topic, count(n, "partition"))
	return nil
}
