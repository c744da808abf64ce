// Package kgosuite runs the test suite of franz-go's kgo package, unchanged,
// against the broker.
package kgosuite

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

const suite = "github.com/twmb/franz-go/pkg/kgo"

// leftOut are the tests that are not run, with the reason.
var leftOut = map[string]string{
	"TestTxnEtl": "transactions are not served yet",
}

// maySkip are the tests, and the subtests below them, that skip themselves
// when they find something missing, with what that is. No other may skip.
var maySkip = map[string]string{
	"TestSCRAMAuth":                            "SCRAM is not served yet",
	"TestSCRAMAuthBadCredentials":              "SCRAM is not served yet",
	"TestShareGroup":                           "share groups are not served yet",
	"TestShareGroupETL":                        "share groups are not served yet",
	"TestShareGroupAckOnClose":                 "share groups are not served yet",
	"TestShareGroupOffsetsAdmin":               "share groups are not served yet",
	"TestConsumeRegexShareSkipsInternal":       "share groups are not served yet",
	"Test848RegexBrokerResolves":               "the new group protocol (KIP-848) is not served yet",
	"TestGroupSimple/848":                      "the new group protocol (KIP-848) is not served yet",
	"TestGroupETL/range/848":                   "the new group protocol (KIP-848) is not served yet",
	"TestGroupETL/sticky/848":                  "the new group protocol (KIP-848) is not served yet",
	"TestIssueProduceBrokerTooOldFailsRecords": "needs a broker that does not name Produce 0; librdkafka needs it named",
}

// atLeast is how many top-level tests and subtests must have passed, so that
// a suite that ran nothing does not count as passed.
const atLeast = 400

func TestKgoSuite(t *testing.T) { harness.EachShards(t, testKgoSuite) }

func testKgoSuite(t *testing.T, b *harness.Broker) {
	results := run(t, b)
	passed := 0
	for name, action := range results {
		switch {
		case action == "pass":
			passed++
			if reason := maySkip[name]; reason != "" && b.Owned() {
				t.Errorf("%s is listed (%s) but passes: take it from the list", name, reason)
			}
		case action == "skip" && maySkip[trunk(name)] != "":
		case strings.Contains(name, "/") && action == "fail":
			// Its parent fails too, and is reported with what it printed.
		default:
			t.Errorf("%s: %s", name, action)
		}
	}
	t.Logf("%d passed, of %d", passed, len(results))
	if passed < atLeast {
		t.Errorf("only %d tests passed, want at least %d", passed, atLeast)
	}
}

// trunk is the longest prefix of a test's name that maySkip lists.
func trunk(name string) string {
	for maySkip[name] == "" {
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return name
		}
		name = name[:i]
	}
	return name
}

// run returns how each test ended: pass, skip or fail. A test that did not
// end counts as failed.
func run(t *testing.T, b *harness.Broker) map[string]string {
	args := []string{"test", "-json", "-count=1", "-timeout=8m"}
	if b.Owned() {
		args = append(args, "-skip", leftOutPattern())
	}
	cmd := exec.Command("go", append(args, suite)...)
	cmd.Env = append(os.Environ(),
		"KGO_SEEDS="+b.Bootstrap, "KGO_TEST_RF=1", fmt.Sprintf("KGO_TEST_RECORDS=%d", harness.Pick(20000, 50000)))
	cmd.SysProcAttr = harness.ProcessGroup()
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	harness.Must(t, err)
	harness.Must(t, cmd.Start())
	timer := time.AfterFunc(9*time.Minute, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	results := harness.FollowGoTest(t, out)
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return results
}

func leftOutPattern() string {
	var names []string
	for name := range leftOut {
		names = append(names, regexp.QuoteMeta(name))
	}
	return "^(" + strings.Join(names, "|") + ")$"
}
