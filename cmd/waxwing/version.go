package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = ""

// buildInfo is what `waxwing version` prints.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // VCS commit, when the build knew it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuildInfo joins what the linker set with what the Go tool chain stored.
func readBuildInfo() buildInfo {
	b := buildInfo{
		Version:  version,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	return b
}

func newVersionCommand() *cobra.Command {
	out := newOutputFlag()
	cmd := &cobra.Command{
		Use:     "version",
		GroupID: groupTools,
		Short:   "Print the version",
		Long:    "Print the version of this binary, the commit it was built from and the Go version that built it.",
		Example: "  waxwing version\n  waxwing version --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := readBuildInfo()
			if out.json() {
				return printJSON(cmd.OutOrStdout(), b)
			}
			line := fmt.Sprintf("waxwing %s (%s, %s)", b.Version, b.Go, b.Platform)
			if b.Revision != "" {
				line += " " + b.Revision
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), line)
			return err
		},
	}
	out.addTo(cmd)
	return cmd
}
