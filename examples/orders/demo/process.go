package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A process is a child of the demonstration: the broker or a service. It ends with
// this process, whatever ends that: its stdin is a pipe, and Linux kills it.
type process struct {
	name  string // "order/2"
	cmd   *exec.Cmd
	in    io.WriteCloser
	log   string        // file
	dead  chan struct{} // closed when it has ended
	said  chan string   // lines of a service's stdout
	front string        // host:port of a service's HTTP
}

// startTimeout is how long a child may take until it is there.
const startTimeout = 30 * time.Second

// spawn starts this program with other arguments. first is written to its stdin.
func spawn(dir, name string, first []byte, args ...string) (*process, io.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	p := &process{name: name, cmd: exec.Command(self, args...), dead: make(chan struct{}), said: make(chan string),
		log: filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	p.cmd.Stderr, p.cmd.SysProcAttr = log, &syscall.SysProcAttr{}
	p.cmd.Env = childEnv()
	dieWithParent(p.cmd.SysProcAttr)
	apart(p.cmd.SysProcAttr)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := p.start(); err != nil {
		return nil, nil, err
	}
	_, err = p.in.Write(first)
	return p, out, err
}

// childEnv is this environment without what would change the broker.
func childEnv() (env []string) {
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "WAXWING_") {
			env = append(env, pair)
		}
	}
	return env
}

// start starts the process. The kernel takes the thread that does so for its parent,
// which therefore has to live as long as the process.
func (p *process) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_, _ = p.cmd.Process.Wait()
			close(p.dead)
		}
	}()
	return <-started
}

// ended says whether it runs no more.
func (p *process) ended() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.dead
	p.in.Close()
}

// stop asks it to end, and waits for that.
func (p *process) stop(patience time.Duration) error {
	defer p.in.Close()
	if p.ended() {
		return fmt.Errorf("%s has ended by itself:\n%s", p.name, tail(p.log))
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.dead:
		return nil
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s did not end when asked to", p.name)
	}
}

// say writes a line to its stdin.
func (p *process) say(line string) { _, _ = io.WriteString(p.in, line+"\n") }

// listen has said get the lines of a service's stdout.
func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		select {
		case p.said <- lines.Text():
		case <-p.dead:
		}
	}
}

// await waits for a line of a service.
func (p *process) await(ctx context.Context, patience time.Duration) (string, error) {
	select {
	case line := <-p.said:
		return line, nil
	case <-p.dead:
		return "", fmt.Errorf("%s has ended:\n%s", p.name, tail(p.log))
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(patience):
		return "", fmt.Errorf("%s does not answer:\n%s", p.name, tail(p.log))
	}
}

// tail is the end of a log.
func tail(path string) string {
	const most = 3000
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if cut := len(text) - most; cut > 0 {
		text = text[cut:]
	}
	return strings.TrimRight(string(text), "\n")
}
