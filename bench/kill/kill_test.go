package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestKill kills the real binary for three rounds, one of them a heavy one.
func TestKill(t *testing.T) {
	var out strings.Builder
	opt := options{rounds: 3, partitions: 4, fileBytes: 8 << 20, dir: t.TempDir()}
	if err := run(t.Context(), opt, reporter(&out, true)); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var sum summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &sum); err != nil {
		t.Fatal(err)
	}
	if len(lines) != opt.rounds+1 || sum.Acked == 0 || sum.Commits == 0 || sum.Stored < sum.Acked {
		t.Fatalf("nothing was proved:\n%s", out.String())
	}
}
