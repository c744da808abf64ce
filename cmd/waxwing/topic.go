package main

import "github.com/spf13/cobra"

func newTopicCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "topic",
		GroupID: groupData,
		Short:   "Create, list, describe, change and delete topics",
		Long: `A topic is a named log that producers append to and consumers read. It has one or
more partitions: the order of records holds within a partition, and a group of
consumers shares the work partition by partition.`,
		Example: `  waxwing topic create orders --partitions 3 --config retention.ms=86400000
  waxwing topic list
  waxwing topic describe orders
  waxwing topic config set orders retention.bytes=1073741824
  waxwing topic delete orders`,
		RunE: showHelp,
	}
	cmd.AddCommand(
		newTopicCreateCommand(),
		newTopicListCommand(),
		newTopicDescribeCommand(),
		newTopicPartitionsCommand(),
		newTopicDeleteCommand(),
		newTopicConfigCommand(),
	)
	return cmd
}
