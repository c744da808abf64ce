// Package scripts tests the scripts that tests rest on.
package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A go command that builds nothing, or a simulation that is a script: it ends
// as SIM says for one mutant and is caught for all others.
const fakeGo = `#!/bin/sh
[ "$SIM" != "no build" ] || { echo "sim.go:1:1: syntax error" >&2; exit 1; }
while [ "$1" != -o ]; do shift; done
cat >"$2" <<'END'
#!/bin/sh
case "$WAXWING_MUTANT/$SIM" in
  "/fails without") echo "--- FAIL: TestSeeds"; exit 1 ;;
  /*) echo PASS ;;
  no-fdatasync/survives) echo PASS ;;
  no-fdatasync/timeout) printf 'panic: test timed out after 20m0s\n\trunning tests:\n\t\tTestSeeds (20m0s)\n'; exit 2 ;;
  no-fdatasync/killed) kill -9 $$ ;;
  no-fdatasync/flag) echo "flag provided but not defined: -seeds" >&2; exit 2 ;;
  "no-fdatasync/out of memory") echo "fatal error: runtime: out of memory" >&2; exit 2 ;;
  no-fdatasync/panic) echo "panic: a durable slot does not fit the index"; exit 2 ;;
  *) printf -- '--- FAIL: TestSeeds (0.1s)\n    sim_test.go:29: seed 1, 1 shards: lost\nFAIL\n'; exit 1 ;;
esac
END
chmod +x "$2"
`

// TestMutants: a mutant is caught only when the simulation says what is wrong.
func TestMutants(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(fakeGo), 0o755); err != nil {
		t.Fatal(err)
	}
	for sim, want := range map[string]string{
		"fails":         "caught    no-fdatasync: seed 1, 1 shards: lost",
		"panic":         "caught    no-fdatasync: panic: a durable slot does not fit the index",
		"survives":      "SURVIVED  no-fdatasync (3 seeds)",
		"timeout":       "UNCLEAR   no-fdatasync: exit code 2",
		"killed":        "UNCLEAR   no-fdatasync: exit code 137",
		"flag":          "UNCLEAR   no-fdatasync: exit code 2",
		"out of memory": "UNCLEAR   no-fdatasync: exit code 2",
		"no build":      "the simulation does not build",
		"fails without": "the simulation fails without a mutant",
	} {
		t.Run(sim, func(t *testing.T) {
			cmd := exec.Command("./mutants.sh", "3")
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SIM="+sim)
			out, err := cmd.CombinedOutput()
			if passed := err == nil; !strings.Contains(string(out), want) || passed != strings.HasPrefix(want, "caught") {
				t.Errorf("%v, %s\nwant %s", err, out, want)
			}
			if strings.Contains(want, "no-fdatasync") && strings.Count(string(out), "caught ") < 8 {
				t.Errorf("the other mutants are not caught:\n%s", out)
			}
		})
	}
}
