package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A go command that fuzzes nothing: it fails in the way and as often as RUNS
// says, and counts in LOG.
const fakeFuzz = `#!/bin/sh
echo run >>"$LOG"
n=$(grep -c . "$LOG")
echo "fuzz: elapsed: 3s, execs: 11638 (0/sec), new interesting: 0 (total: 18)"
end='--- FAIL: FuzzFrame (3.01s)
    context deadline exceeded
FAIL
exit status 1
FAIL	example.org/p	3.018s'
case "$RUNS" in
  passes) ;;
  "ends once") [ "$n" -gt 1 ] || { echo "$end"; exit 1; } ;;
  "ends always") echo "$end"; exit 1 ;;
  "failing input") printf -- '--- FAIL: FuzzFrame (0.1s)\n    --- FAIL: FuzzFrame (0.00s)\n        x_test.go:1: context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzFrame/1\nFAIL\nexit status 1\n'; exit 1 ;;
  "both") echo "$end"; echo "    Failing input written to testdata/fuzz/FuzzFrame/1"; exit 1 ;;
  "panic") echo "panic: x"; exit 2 ;;
  "nothing") exit 1 ;;
esac
`

// TestFuzz: a target whose run says only that its time was over is fuzzed again,
// three times at most; whatever else a run says is a failure at once.
func TestFuzz(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(fakeFuzz), 0o755); err != nil {
		t.Fatal(err)
	}
	targets := runFuzz(t, bin, "passes", true)
	for runs, want := range map[string]struct {
		ok    bool
		times int
	}{
		"ends once":     {true, targets + 1},
		"ends always":   {false, 3},
		"failing input": {false, 1},
		"both":          {false, 1},
		"panic":         {false, 1},
		"nothing":       {false, 1},
	} {
		t.Run(runs, func(t *testing.T) {
			if n := runFuzz(t, bin, runs, want.ok); n != want.times {
				t.Errorf("%d runs of go, want %d", n, want.times)
			}
		})
	}
}

// runFuzz runs fuzz.sh with the go command in bin, looks whether it passes as it
// should, and returns how often it called go.
func runFuzz(t *testing.T, bin, runs string, ok bool) int {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command("./fuzz.sh", "1s")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "RUNS="+runs, "LOG="+log)
	out, err := cmd.CombinedOutput()
	if (err == nil) != ok {
		t.Errorf("ends with %v, want success %v:\n%s", err, ok, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(calls), "run\n")
}
