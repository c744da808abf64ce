package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/waxwing-mq/waxwing/seal/directory"
)

func newSealStatusCommand() *cobra.Command {
	var d directoryFlags
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "status NAME...",
		Short: "Show what identities have at the directory",
		Long: `Shows how many one-time keys wait at the directory for who begins a session, and the
ids of the other prekeys. It uses none up. An identity that is not there makes the exit
code 1.`,
		Example: `  waxwing seal status payments --directory https://broker:8080 --user payments --password-file password
  waxwing seal status payments billing --output json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			client, err := d.open(cmd)
			if err != nil {
				return err
			}
			defer client.Close()
			all := []directory.Status{}
			var failed failures
			for _, name := range names {
				s, err := client.Status(cmd.Context(), name)
				if err != nil {
					failed = append(failed, d.explain(name, err))
					continue
				}
				all = append(all, s)
			}
			if out.json() {
				return errors.Join(printJSON(cmd.OutOrStdout(), all), failed.err())
			}
			var rows [][]string
			for _, s := range all {
				rows = append(rows, []string{printable(s.Name), strconv.Itoa(s.OneTime), strconv.Itoa(s.OneTimeKEM), keyID(s.SignedID), keyID(s.LastResortID)})
			}
			return errors.Join(printTable(cmd.OutOrStdout(), []string{"IDENTITY", "ONE-TIME", "ONE-TIME KEM", "SIGNED", "LAST RESORT"}, rows), failed.err())
		},
	}
	d.addTo(cmd)
	out.addTo(cmd)
	return cmd
}
