package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configEntry is one setting of a topic. Value is nil where the broker keeps
// it to itself.
type configEntry struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"` // Kafka's name for where the value comes from
}

// text is the value for people.
func (c configEntry) text() string {
	if c.Value == nil {
		return "(hidden)"
	}
	return *c.Value
}

func newTopicConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Read and change the settings of a topic",
		Long:  "Reads and changes a topic's settings, by Kafka's names for them. What a topic does not set itself comes from the broker.",
		Example: `  waxwing topic config get orders
  waxwing topic config set orders retention.ms=86400000
  waxwing topic config unset orders retention.ms`,
		RunE: showHelp,
	}
	cmd.AddCommand(newTopicConfigGetCommand(), newTopicConfigSetCommand(), newTopicConfigUnsetCommand())
	return cmd
}

func newTopicConfigGetCommand() *cobra.Command {
	var conn connection
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "get TOPIC [NAME...]",
		Short: "Show the settings of a topic",
		Long:  "Shows all settings of the topic, or the named ones, with where each value comes from.",
		Example: `  waxwing topic config get orders
  waxwing topic config get orders retention.ms retention.bytes --output json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: conn.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				configs, err := readConfigs(ctx, s, args[0])
				if err != nil {
					return err
				}
				if configs, err = pickConfigs(args[0], configs, args[1:]); err != nil {
					return err
				}
				if out.json() {
					return printJSON(cmd.OutOrStdout(), configs)
				}
				var rows [][]string
				for _, c := range configs {
					rows = append(rows, []string{c.Name, c.text(), c.Source})
				}
				return printTable(cmd.OutOrStdout(), []string{"NAME", "VALUE", "SOURCE"}, rows)
			})
		},
	}
	conn.addTo(cmd)
	out.addTo(cmd)
	return cmd
}

func newTopicConfigSetCommand() *cobra.Command {
	var conn connection
	cmd := &cobra.Command{
		Use:               "set TOPIC NAME=VALUE...",
		Short:             "Change settings of a topic",
		Long:              "Sets each NAME to VALUE on the topic. Other settings stay as they are.",
		Example:           "  waxwing topic config set orders retention.ms=86400000 retention.bytes=-1",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: conn.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var changes []kadm.AlterConfig
			for _, pair := range args[1:] {
				name, value, ok := strings.Cut(pair, "=")
				if !ok || name == "" {
					return fmt.Errorf("%q must be NAME=VALUE", pair)
				}
				changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
			}
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				return alterTopic(ctx, cmd, s, args[0], changes)
			})
		},
	}
	conn.addTo(cmd)
	return cmd
}

func newTopicConfigUnsetCommand() *cobra.Command {
	var conn connection
	cmd := &cobra.Command{
		Use:               "unset TOPIC NAME...",
		Short:             "Return settings of a topic to the broker's default",
		Long:              "Takes each NAME off the topic, so that the broker's own value holds again.",
		Example:           "  waxwing topic config unset orders retention.ms",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: conn.completeTopics(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var changes []kadm.AlterConfig
			for _, name := range args[1:] {
				changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
			}
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				configs, err := readConfigs(ctx, s, args[0])
				if err != nil {
					return err
				}
				// A broker takes off what is not there without a word.
				if _, err := pickConfigs(args[0], configs, args[1:]); err != nil {
					return err
				}
				return alterTopic(ctx, cmd, s, args[0], changes)
			})
		},
	}
	conn.addTo(cmd)
	return cmd
}

// readConfigs returns all settings of the topic, sorted by name.
func readConfigs(ctx context.Context, s *session, topic string) ([]configEntry, error) {
	answers, err := s.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	answer, err := answers.On(topic, nil)
	if err != nil {
		return nil, err
	}
	if err := topicError(topic, answer.Err, answer.ErrMessage); err != nil {
		return nil, err
	}
	configs := []configEntry{}
	for _, c := range answer.Configs {
		configs = append(configs, configEntry{Name: c.Key, Value: c.Value, Source: c.Source.String()})
	}
	slices.SortFunc(configs, func(a, b configEntry) int { return cmp.Compare(a.Name, b.Name) })
	return configs, nil
}

// pickConfigs returns the named settings, or all without names.
func pickConfigs(topic string, configs []configEntry, names []string) ([]configEntry, error) {
	if len(names) == 0 {
		return configs, nil
	}
	var picked []configEntry
	for _, name := range names {
		i := slices.IndexFunc(configs, func(c configEntry) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("topic %q has no setting %q", topic, name)
		}
		picked = append(picked, configs[i])
	}
	return picked, nil
}

// alterTopic makes the changes and says what the topic has now.
func alterTopic(ctx context.Context, cmd *cobra.Command, s *session, topic string, changes []kadm.AlterConfig) error {
	if _, err := s.topics(ctx, topic); err != nil {
		return err
	}
	answers, err := s.adm.AlterTopicConfigs(ctx, changes, topic)
	if err != nil {
		return err
	}
	answer, err := answers.On(topic, nil)
	if err != nil {
		return err
	}
	if err := topicError(topic, answer.Err, answer.ErrMessage); err != nil {
		return err
	}
	for _, c := range changes {
		if c.Op == kadm.DeleteConfig {
			fmt.Fprintf(cmd.OutOrStdout(), "topic %s: unset %s\n", topic, c.Name)
		} else {
			fmt.Fprintf(cmd.OutOrStdout(), "topic %s: %s=%s\n", topic, c.Name, *c.Value)
		}
	}
	return nil
}

// topicOverride is the source of settings that were made on the topic.
var topicOverride = kmsg.ConfigSourceDynamicTopicConfig.String()
