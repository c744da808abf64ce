package main

import "github.com/spf13/cobra"

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		GroupID: groupTools,
		Short:   "Measure a broker",
		Long:    "Measures throughput and latency of a broker as its clients see them.",
		Example: "  waxwing bench kafka --records 1000000 --size 1024\n  waxwing bench amqp --messages 1000000 --size 1024",
		RunE:    showHelp,
	}
	cmd.AddCommand(newBenchKafkaCommand(), newBenchAMQPCommand())
	return cmd
}
