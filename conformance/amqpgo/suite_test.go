package amqpgo

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/rabbitmq/amqp091-go" // whose suite is run

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// suite is the tests of a package of another module.
type suite struct {
	pkg   string
	dir   string   // of the module whose go.mod says which version
	args  []string // of go test
	env   []string
	limit time.Duration
	// maySkip are patterns of the tests that skip themselves, with the reason.
	// No other may, and none of these may pass.
	maySkip map[string]string
	// atLeast is how many must pass, so that a suite that ran nothing does not
	// count as passed.
	atLeast int
}

// run runs the suite and fails t if a test fails, or skips unasked.
func (s suite) run(t *testing.T) {
	passed := 0
	results := s.results(t)
	for name, action := range results {
		reason := s.reason(name)
		switch {
		case action == "pass" && reason != "":
			t.Errorf("%s is listed (%s) but passes: take it from the list", name, reason)
		case action == "pass":
			passed++
		case action == "skip" && reason != "":
		case strings.Contains(name, "/") && action == "fail":
			// Its parent fails too, and is reported with what it printed.
		default:
			t.Errorf("%s: %s", name, action)
		}
	}
	t.Logf("%d passed, of %d", passed, len(results))
	if passed < s.atLeast {
		t.Errorf("only %d tests passed, want at least %d", passed, s.atLeast)
	}
}

// reason is why a test skips, if it may.
func (s suite) reason(name string) string {
	for pattern, reason := range s.maySkip {
		if regexp.MustCompile(pattern).MatchString(name) {
			return reason
		}
	}
	return ""
}

// results returns how each test ended: pass, skip or fail. A test that did not
// end counts as failed.
func (s suite) results(t *testing.T) map[string]string {
	args := append([]string{"test", "-json", "-count=1", "-timeout=" + s.limit.String()}, s.args...)
	cmd := exec.Command("go", append(args, s.pkg)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	cmd.SysProcAttr = harness.ProcessGroup()
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	harness.Must(t, err)
	harness.Must(t, cmd.Start())
	timer := time.AfterFunc(s.limit+time.Minute, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer timer.Stop()
	results := harness.FollowGoTest(t, out)
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	return results
}
