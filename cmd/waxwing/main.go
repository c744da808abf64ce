// Command waxwing is the Waxwing message broker and the tools around it: it
// serves, and it creates topics, produces, consumes, looks after consumer
// groups and measures, against Waxwing or any other Kafka cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	os.Exit(run())
}

// run executes the command line and returns the exit code: 0, or 1 after a
// line on stderr that says what went wrong, for each name that it went wrong
// with (2 where a queue had too little).
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end. From then on signals do what
	// they do by default, so that a second one ends the process at once.
	context.AfterFunc(ctx, stop)

	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		for _, line := range errorLines(err) {
			fmt.Fprintln(os.Stderr, "waxwing: "+line)
		}
		if fewer := (*fewerMessages)(nil); errors.As(err, &fewer) {
			return 2
		}
		return 1
	}
	return 0
}

// oneLine puts a text of several lines on one, so that an error never takes
// more than one line of a log.
func oneLine(s string) string {
	var one strings.Builder
	for line := range strings.Lines(s) {
		line = strings.Join(strings.Fields(line), " ")
		switch before := one.String(); {
		case line == "":
			continue
		case strings.HasSuffix(before, "?"), strings.HasSuffix(before, ":"):
			one.WriteString(" ")
		case before != "":
			one.WriteString("; ")
		}
		one.WriteString(line)
	}
	return one.String()
}
