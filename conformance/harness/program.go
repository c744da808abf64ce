package harness

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Program is a client suite in another language. It reads BOOTSTRAP,
// WAXWING_FULL and WAXWING_CASES from its environment, runs its cases, and
// prints to stdout
//
//	plan COUNT
//	ok NAME MILLISECONDS
//	not ok NAME: WHY
//
// one line per case in the order in which they end. Everything else that it
// prints is shown only if it fails. It exits with 0 even if cases failed.
type Program struct {
	Args    []string      // the command and its arguments
	Env     []string      // added to the environment
	Dir     string        // working folder
	Timeout time.Duration // for everything; then its process group is killed
}

// RunProgram runs p against b; each case becomes a subtest of t.
func RunProgram(t *testing.T, b *Broker, p Program) {
	t.Helper()
	var other tail
	other.limit = logTailBytes
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Dir = p.Dir
	cmd.Env = append(append(os.Environ(), "BOOTSTRAP="+b.Bootstrap), p.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = &other
	// A grandchild that holds the pipe must not hold us.
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	defer kill()
	timer := time.AfterFunc(p.Timeout, kill)

	planned, seen := subtests(t, out, &other)
	err = cmd.Wait()
	switch {
	case !timer.Stop():
		t.Errorf("%s did not end within %v", p.Args[0], p.Timeout)
	case err != nil:
		t.Errorf("%s: %v", p.Args[0], err)
	}
	if planned == 0 || planned != seen {
		t.Errorf("%d cases were planned and %d reported", planned, seen)
	}
	if t.Failed() {
		t.Logf("the end of what it printed:\n%s", &other)
	}
}

// subtests reads the lines of a program until it closes its output.
func subtests(t *testing.T, out io.Reader, other io.Writer) (planned, seen int) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "plan %d", &planned); err == nil {
			continue
		}
		name, why, failed := strings.Cut(strings.TrimPrefix(line, "not ok "), ": ")
		switch {
		case strings.HasPrefix(line, "not ok ") && failed:
			seen++
			t.Run(name, func(t *testing.T) { t.Error(why) })
		case strings.HasPrefix(line, "ok "):
			seen++
			name, millis, _ := strings.Cut(strings.TrimPrefix(line, "ok "), " ")
			t.Run(name, func(t *testing.T) { t.Logf("%s ms", millis) })
		default:
			fmt.Fprintln(other, line)
		}
	}
	return planned, seen
}
