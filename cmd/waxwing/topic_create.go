package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// topicCreate holds the flags of `waxwing topic create`.
type topicCreate struct {
	conn        connection
	partitions  int32
	replication int16
	configs     pairsValue
	ifNotExists bool
}

func newTopicCreateCommand() *cobra.Command {
	c := topicCreate{configs: pairsValue{}}
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Create topics",
		Long: `Creates the topics. Without --partitions each gets what the broker has as its
default. Settings have Kafka's names, such as retention.ms, retention.bytes
or max.message.bytes.`,
		Example: `  waxwing topic create orders
  waxwing topic create orders payments --partitions 3
  waxwing topic create clicks -c retention.ms=3600000 -c max.message.bytes=2097152`,
		Args: cobra.MinimumNArgs(1),
		RunE: c.run,
	}
	fs := cmd.Flags()
	fs.Int32VarP(&c.partitions, "partitions", "p", -1, "number of partitions (-1: the broker's default)")
	fs.Int16Var(&c.replication, "replication-factor", -1, "copies of each partition (-1: the broker's default)")
	fs.VarP(c.configs, "config", "c", "a setting of the topic; may be repeated")
	fs.BoolVar(&c.ifNotExists, "if-not-exists", false, "do nothing about topics that exist already")
	c.conn.addTo(cmd)
	return cmd
}

func (c *topicCreate) run(cmd *cobra.Command, names []string) error {
	if c.partitions == 0 || c.partitions < -1 {
		return fmt.Errorf("--partitions must be 1 or more, or -1 for the broker's default")
	}
	if c.replication == 0 || c.replication < -1 {
		return fmt.Errorf("--replication-factor must be 1 or more, or -1 for the broker's default")
	}
	configs := map[string]*string{}
	for name, value := range c.configs {
		configs[name] = &value
	}
	return c.conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
		answers, err := s.adm.CreateTopics(ctx, c.partitions, c.replication, configs, names...)
		if err != nil {
			return err
		}
		var made []string
		for _, name := range names {
			if answers[name].Err == nil {
				made = append(made, name)
			}
		}
		s.settle(ctx, made, func(t kadm.TopicDetail) bool { return t.Err == nil && len(t.Partitions) > 0 })
		var failed failures
		for _, name := range names {
			answer := answers[name]
			switch {
			case errors.Is(answer.Err, kerr.TopicAlreadyExists) && c.ifNotExists:
				fmt.Fprintf(cmd.OutOrStdout(), "topic %s exists already\n", name)
			case errors.Is(answer.Err, kerr.TopicAlreadyExists):
				failed = append(failed, fmt.Errorf("topic %q exists already", name))
			case answer.Err != nil:
				failed = append(failed, topicError(name, answer.Err, answer.ErrMessage))
			default:
				fmt.Fprintf(cmd.OutOrStdout(), "created topic %s%s\n", name, partitionNote(answer.NumPartitions))
			}
		}
		return failed.err()
	})
}

// partitionNote says how many partitions a new topic has, where the broker
// told (CreateTopics v5 and later).
func partitionNote(n int32) string {
	if n < 1 || n == math.MaxInt32 {
		return ""
	}
	return " with " + count(int(n), "partition")
}
