package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// topicDescription is what `waxwing topic describe` says of a topic.
type topicDescription struct {
	topicSummary
	Configs    []configEntry          `json:"configs"` // those set on the topic
	Partitions []partitionDescription `json:"partitions"`
}

// partitionDescription is one partition. Offsets are -1 where they could not
// be had; Error then says why.
type partitionDescription struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	Replicas    []int32 `json:"replicas"`
	InSync      []int32 `json:"inSyncReplicas"`
	StartOffset int64   `json:"startOffset"`
	EndOffset   int64   `json:"endOffset"`
	Error       string  `json:"error,omitempty"`
}

func newTopicDescribeCommand() *cobra.Command {
	var conn connection
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "describe TOPIC...",
		Short: "Show partitions, offsets and settings of topics",
		Long: `Shows each topic's id, the settings that were given to it, and for each partition
its leader, its replicas and the offsets at which its log starts and ends.`,
		Example: `  waxwing topic describe orders
  waxwing topic describe orders payments --output json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: conn.completeTopics(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				topics, err := describeTopics(ctx, s, names)
				if err != nil {
					return err
				}
				if out.json() {
					return printJSON(cmd.OutOrStdout(), topics)
				}
				for i, t := range topics {
					if i > 0 {
						fmt.Fprintln(cmd.OutOrStdout())
					}
					if err := t.print(cmd.OutOrStdout()); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	conn.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

// describeTopics asks for everything about the named topics.
func describeTopics(ctx context.Context, s *session, names []string) ([]topicDescription, error) {
	details, err := s.topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	starts, err := s.adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	ends, err := s.adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	var topics []topicDescription
	for _, name := range names {
		configs, err := readConfigs(ctx, s, name)
		if err != nil {
			return nil, err
		}
		topics = append(topics, describeTopic(details[name], onTopic(configs), starts, ends))
	}
	return topics, nil
}

// onTopic keeps the settings that were made on the topic itself.
func onTopic(configs []configEntry) []configEntry {
	own := []configEntry{}
	for _, c := range configs {
		if c.Source == topicOverride {
			own = append(own, c)
		}
	}
	return own
}

func describeTopic(t kadm.TopicDetail, configs []configEntry, starts, ends kadm.ListedOffsets) topicDescription {
	d := topicDescription{
		topicSummary: topicSummary{
			Name: t.Topic, ID: topicID(t.ID), Partitions: len(t.Partitions),
			Replication: t.Partitions.NumReplicas(), Internal: t.IsInternal,
		},
		Configs: configs,
	}
	for _, p := range t.Partitions.Sorted() {
		row := partitionDescription{
			Partition: p.Partition, Leader: p.Leader, Replicas: p.Replicas, InSync: p.ISR,
			StartOffset: -1, EndOffset: -1,
		}
		start, _ := starts.Lookup(t.Topic, p.Partition)
		end, _ := ends.Lookup(t.Topic, p.Partition)
		for _, err := range []error{p.Err, start.Err, end.Err} {
			if err != nil && row.Error == "" {
				row.Error = brokerError(err, "").Error()
			}
		}
		if row.Error == "" {
			row.StartOffset, row.EndOffset = start.Offset, end.Offset
		}
		d.Partitions = append(d.Partitions, row)
	}
	return d
}

// print writes the topic for people.
func (d *topicDescription) print(w io.Writer) error {
	settings := make([]string, len(d.Configs))
	for i, c := range d.Configs {
		settings[i] = c.Name + "=" + c.text()
	}
	fmt.Fprintf(w, "topic        %s\nid           %s\npartitions   %d\nreplication  %d\n",
		d.Name, d.ID, len(d.Partitions), d.Replication)
	if len(settings) > 0 {
		fmt.Fprintf(w, "settings     %s\n", strings.Join(settings, " "))
	}
	var rows [][]string
	for _, p := range d.Partitions {
		rows = append(rows, []string{
			strconv.Itoa(int(p.Partition)), strconv.Itoa(int(p.Leader)), int32List(p.Replicas), int32List(p.InSync),
			offsetText(p.StartOffset), offsetText(p.EndOffset), p.Error,
		})
	}
	return printTable(w, []string{"PARTITION", "LEADER", "REPLICAS", "IN SYNC", "START", "END", ""}, rows)
}
