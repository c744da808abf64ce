package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

// completionLimit bounds what a press of the tab key may cost.
const completionLimit = 2 * time.Second

// completer offers names from the broker to shell completion.
type completer func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeTopics offers the topics that args do not name yet, up to limit
// arguments (0: any number).
func (c *connection) completeTopics(limit int) completer {
	return c.completeWith(limit, func(ctx context.Context, s *session) ([]string, error) {
		topics, err := s.adm.ListTopics(ctx)
		return topics.Names(), err
	})
}

// completeGroups offers the consumer groups in the same way.
func (c *connection) completeGroups(limit int) completer {
	return c.completeWith(limit, func(ctx context.Context, s *session) ([]string, error) {
		groups, err := s.adm.ListGroups(ctx)
		return groups.Groups(), err
	})
}

// completeWith offers what list returns. A broker that is slow or away means
// no offer, never an error on the prompt.
func (c *connection) completeWith(limit int, list func(context.Context, *session) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if limit > 0 && len(args) >= limit || applyEnv(cmd.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		quick := connection{bootstrap: c.bootstrap, timeout: min(c.timeout, completionLimit)}
		s, err := quick.open(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.close()
		ctx, cancel := s.limited(cmd.Context())
		defer cancel()
		names, err := list(ctx, s)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return without(names, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// without returns names less those in taken.
func without(names, taken []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(taken, name) })
}
