// Package sample says how much of a long test runs: a sample, or all of it, when
// WAXWING_FULL is set, as make test-full does. Only tests use it.
package sample

import "os"

// Full says whether all of each test is to run.
func Full() bool { return os.Getenv("WAXWING_FULL") != "" }

// Of is some, or all, if that is to run.
func Of(some, all int) int {
	if Full() {
		return all
	}
	return some
}
