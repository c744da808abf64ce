package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// What the build may set: -ldflags "-X main.version=1.2.3 -X main.revision=COMMIT
// -X main.modified=true". What it does not set is taken from what the Go tool
// chain has stored, if it has.
var version, revision, modified string

// buildInfo is what `waxwing version` prints.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // VCS commit, when the build knew it
	Modified bool   `json:"modified,omitempty"` // files differed from that commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// readBuildInfo joins what the linker set with what the Go tool chain stored.
func readBuildInfo() buildInfo {
	b := buildInfo{Version: version, Revision: revision, Modified: modified == "true"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.complete(info)
	}
	if b.Version == "" {
		b.Version = "dev"
	}
	b.Go, b.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
	return b
}

// complete fills in what the linker left open.
func (b *buildInfo) complete(info *debug.BuildInfo) {
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Revision != "" {
		return
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
}

// String is the line that `waxwing version` prints.
func (b buildInfo) String() string {
	line := fmt.Sprintf("waxwing %s (%s, %s)", b.Version, b.Go, b.Platform)
	if b.Revision != "" {
		line += " commit " + b.Revision
	}
	if b.Modified {
		line += ", modified"
	}
	return line
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
			_, err := fmt.Fprintln(cmd.OutOrStdout(), b)
			return err
		},
	}
	out.addTo(cmd)
	return cmd
}
