package queue

import (
	"flag"
	"os"
	"testing"
	"time"
)

// start is when every test begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestMain makes rapid thorough unless the command line says otherwise.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.checks": "400", "rapid.steps": "100"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			if err := f.Value.Set(value); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}
