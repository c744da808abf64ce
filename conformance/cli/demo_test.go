package cli

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// demoResult is what `waxwing demo --json` prints, as far as it is looked at.
type demoResult struct {
	Placed, Completed, Compensated int
	FaultsFired, Duplicates        int
	Doubled, Lost                  int
	Money, Stock                   struct{ Conserved bool }
	Sealed                         struct{ Opened, Plaintext, OnDisk int }
	Violations                     []string
}

// demo runs the demonstration with chaos.
func demo(t *testing.T, args ...string) (demoResult, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	stdout, stderr, err := harness.Waxwing(ctx, "", append([]string{"demo", "--chaos", "--json"}, args...)...)
	if stdout == "" {
		t.Fatalf("waxwing demo %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return parsed[demoResult](t, stdout), err
}

// TestDemo: nothing is lost and nothing done twice, whatever happens to processes; what
// becomes of orders depends on the seed alone; and without a safeguard the checks fail.
func TestDemo(t *testing.T) {
	t.Run("seed", func(t *testing.T) {
		t.Parallel()
		var first demoResult
		for run := range 2 {
			r, err := demo(t, "--orders", "60", "--seed", "7")
			if err != nil || r.Lost != 0 || r.Doubled != 0 || r.FaultsFired == 0 || r.Duplicates == 0 || !r.Money.Conserved || !r.Stock.Conserved {
				t.Fatalf("%v: %+v", err, r)
			}
			if run == 0 {
				first = r
			}
			if r.Sealed != first.Sealed || r.Sealed.Opened < r.Completed || r.Sealed.Plaintext+r.Sealed.OnDisk > 0 {
				t.Errorf("sealed: %+v, at first %+v", r.Sealed, first.Sealed)
			}
			if r.Placed != 60 || r.Completed != first.Completed || r.Compensated != first.Compensated || r.Completed+r.Compensated != 60 {
				t.Errorf("%+v, at first %+v", r, first)
			}
		}
	})
	for safeguard, check := range map[string]string{
		"dedup": "each effect once", "ack-order": "sagas end", "fence": "re-sent is bounded",
		"seal": "payment details are sealed",
	} {
		t.Run(safeguard, func(t *testing.T) {
			t.Parallel()
			r, err := demo(t, "--orders", "50", "--seed", "3", "--break", safeguard)
			noticed := slices.ContainsFunc(r.Violations, func(v string) bool { return strings.HasPrefix(v, check+": ") })
			noticed = noticed || r.Lost > 0 && safeguard == "ack-order" // of events, and no command
			if err == nil || !noticed {
				t.Fatalf("%v, not noticed by %q: %+v", err, check, r)
			}
			if safeguard == "dedup" && r.Doubled == 0 {
				t.Errorf("%+v", r)
			}
			if safeguard == "seal" && (r.Sealed.Opened > 0 || r.Sealed.Plaintext == 0 || r.Sealed.OnDisk == 0 || r.Lost+r.Doubled > 0) {
				t.Errorf("%+v", r)
			}
		})
	}
}
