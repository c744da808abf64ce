package main

import (
	"errors"
	"strings"
)

// failures are the errors of a command that was given several names and went
// on after the first that failed. Each is told in a line of its own.
type failures []error

// Error joins the lines.
func (f failures) Error() string {
	lines := make([]string, len(f))
	for i, err := range f {
		lines[i] = oneLine(err.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look at each.
func (f failures) Unwrap() []error { return f }

// err is f as an error: nil if nothing failed.
func (f failures) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// errorLines are the lines in which err is told, without their prefix.
func errorLines(err error) []string {
	var several failures
	if !errors.As(err, &several) {
		return []string{oneLine(err.Error())}
	}
	return strings.Split(several.Error(), "\n")
}
