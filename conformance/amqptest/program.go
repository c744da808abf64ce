package amqptest

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// patience is how long a program may take to print a line, or to end.
const patience = 30 * time.Second

// Program is a running program whose lines are looked at.
type Program struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	errs bytes.Buffer
	done chan struct{} // closed when it has ended
	err  error         // of its end

	mu    sync.Mutex
	lines []string
}

// Run starts args in dir with env added to the environment. It is killed when t
// ends.
func Run(t *testing.T, dir string, env []string, args ...string) *Program {
	t.Helper()
	p := &Program{t: t, name: strings.Join(args[1:], " "), done: make(chan struct{})}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = harness.ProcessGroup()
	p.cmd.Stderr = &p.errs
	p.cmd.WaitDelay = 5 * time.Second
	out, err := p.cmd.StdoutPipe()
	harness.Must(t, err)
	harness.Must(t, p.cmd.Start())
	go p.follow(out)
	t.Cleanup(p.finish)
	return p
}

func (p *Program) follow(out io.Reader) {
	defer close(p.done)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, scanner.Text())
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
}

func (p *Program) finish() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
	if p.t.Failed() {
		p.t.Logf("%s printed:\n%s\n%s", p.name, strings.Join(p.Lines(), "\n"), p.errs.String())
	}
}

// Lines is what it has printed so far.
func (p *Program) Lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// Await waits until it has printed that line.
func (p *Program) Await(line string) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if slices.Contains(p.Lines(), line) {
			return
		}
	}
	p.t.Fatalf("%s did not print %q", p.name, line)
}

// AwaitCount waits until it has printed n lines.
func (p *Program) AwaitCount(n int) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if len(p.Lines()) >= n {
			return
		}
	}
	p.t.Fatalf("%s did not print %d lines", p.name, n)
}

// Kill ends it as kill -9 does.
func (p *Program) Kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// Interrupt sends what Ctrl-C sends, waits until it has ended well, and returns
// its lines.
func (p *Program) Interrupt() []string {
	p.t.Helper()
	p.cmd.Process.Signal(os.Interrupt)
	return p.Wait()
}

// Wait waits until it has ended well, and returns its lines.
func (p *Program) Wait() []string {
	p.t.Helper()
	if code := p.WaitCode(); code != 0 {
		p.t.Fatalf("%s ended with %d", p.name, code)
	}
	return p.Lines()
}

// WaitCode waits until it has ended, and returns its exit code.
func (p *Program) WaitCode() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Equal fails t unless both are the same lines.
func Equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
