package harness

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatTestsAreToldIsNotForTheBroker: it would warn of variables that it
// does not know, and still does so of others.
func TestWhatTestsAreToldIsNotForTheBroker(t *testing.T) {
	for _, name := range []string{"FULL", "CASES", "CONFORMANCE_BOOTSTRAP", "CONFORMANCE_AMQP"} {
		t.Setenv("WAXWING_"+name, "1")
	}
	t.Setenv("WAXWING_CACHE", t.TempDir())
	t.Setenv("WAXWING_MISSPELT", "1")
	b := StartBrokerIn(t, filepath.Join(t.TempDir(), "data"))
	log := b.log.String()
	if n := strings.Count(log, "no setting has this variable"); n != 1 || !strings.Contains(log, "WAXWING_MISSPELT") {
		t.Errorf("%d warnings, want one:\n%s", n, log)
	}
}
