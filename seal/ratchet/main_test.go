package ratchet

import (
	"flag"
	"os"
	"testing"
)

// TestMain has properties checked 20 times, unless -rapid.checks says otherwise, or
// WAXWING_FULL is set: 100 times.
func TestMain(m *testing.M) {
	flag.Parse()
	given := os.Getenv("WAXWING_FULL") != ""
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "20"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
