package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newGroupDeleteCommand() *cobra.Command {
	var conn connection
	cmd := &cobra.Command{
		Use:               "delete GROUP...",
		Short:             "Delete groups and their committed offsets",
		Long:              "Deletes the groups and what they have committed. A group with consumers in it is refused: stop them first.",
		Example:           "  waxwing group delete audit",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: conn.completeGroups(0),
		RunE: func(cmd *cobra.Command, names []string) error {
			return conn.withAdmin(cmd, func(ctx context.Context, s *session) error {
				answers, err := s.adm.DeleteGroups(ctx, names...)
				if err != nil {
					return err
				}
				var failed failures
				for _, name := range names {
					if err := groupError(name, answers[name].Err); err != nil {
						failed = append(failed, err)
						continue
					}
					fmt.Fprintf(cmd.OutOrStdout(), "deleted group %s\n", name)
				}
				return failed.err()
			})
		},
	}
	conn.addTo(cmd)
	return cmd
}

// groupError is brokerError for an error about one group.
func groupError(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.GroupIDNotFound):
		return fmt.Errorf("group %q does not exist", name)
	case errors.Is(err, kerr.NonEmptyGroup), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.IllegalGeneration):
		return fmt.Errorf("group %q has consumers in it; stop them first", name)
	}
	return fmt.Errorf("group %q: %w", name, brokerError(err, ""))
}
