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
	cmd.SysProcAttr = ProcessGroup()
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

	planned, seen := parse(out, &other, func(name, said string, ok bool) {
		t.Run(name, func(t *testing.T) {
			if t.Log(said); !ok {
				t.Fail()
			}
		})
	})
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

// parse reads the lines of a program until it closes its output and calls
// report for each case: said is what stands after its name. It returns how
// many cases were announced and how many ended. Other lines go to other.
func parse(out io.Reader, other io.Writer, report func(name, said string, ok bool)) (planned, seen int) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if failure, found := strings.CutPrefix(line, "not ok "); found {
			seen++
			name, why, _ := strings.Cut(failure, ": ")
			report(name, why, false)
		} else if success, found := strings.CutPrefix(line, "ok "); found {
			seen++
			at := max(strings.LastIndexByte(success, ' '), 0)
			report(success[:at], success[at:]+" ms", true)
		} else if _, err := fmt.Sscanf(line, "plan %d", &planned); err != nil {
			fmt.Fprintln(other, line)
		}
	}
	return planned, seen
}
