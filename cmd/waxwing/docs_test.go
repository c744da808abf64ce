package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestDocs: docs/cli.md names every command and every flag, and every command
// has a help that teaches: a summary, an explanation and an example.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks a summary, an explanation or an example", cmd.CommandPath())
		}
		if !cmd.HasSubCommands() && !strings.Contains(doc, "`"+cmd.Name()+"`") && !strings.Contains(doc, cmd.CommandPath()+"`") {
			t.Errorf("docs/cli.md does not name %q", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(doc, "`--"+f.Name) && !strings.Contains(doc, " --"+f.Name+" ") {
				t.Errorf("docs/cli.md does not name --%s of %s", f.Name, cmd.CommandPath())
			}
		})
	})
}

// TestExamples: each example in the help parses: its command and its flags
// exist.
func TestExamples(t *testing.T) {
	eachCommand(newRootCommand(), func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			for part := range strings.SplitSeq(line, "|") {
				_, args, ok := strings.Cut(part, "waxwing ")
				if !ok {
					continue
				}
				checkExample(t, cmd, strings.Fields(args))
			}
		}
	})
}

// checkExample parses the words of one example as the command line.
func checkExample(t *testing.T, from *cobra.Command, args []string) {
	for i, arg := range args {
		args[i] = strings.Trim(arg, "'")
		if strings.HasPrefix(arg, ">") {
			args = args[:i]
			break
		}
	}
	root := newRootCommand()
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateFlagGroups()
	}
	if err == nil && !cmd.Runnable() {
		t.Errorf("%s: the example %q is no command", from.CommandPath(), args)
	}
	if err != nil {
		t.Errorf("%s: the example %q does not parse: %v", from.CommandPath(), args, err)
	}
}

// eachCommand calls fn for cmd and all commands below it.
func eachCommand(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, sub := range cmd.Commands() {
		eachCommand(sub, fn)
	}
}
