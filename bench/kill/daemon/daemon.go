// Package daemon runs the real waxwing binary as a child process that a
// measurement starts, kills as kill -9 does, and starts again on the same
// addresses and folder. The child never outlives the program that started it.
package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// Config says what to run. All fields but Args and Pprof are required.
type Config struct {
	Binary string // path of the waxwing binary
	Dir    string // existing folder: data, log and port file go below it
	Kafka  string // host:port to listen on
	HTTP   string // host:port to listen on
	Pprof  string // host:port to serve profiles on; "": none
	Args   []string
}

// New returns a Config for binary below dir, with ports that are free now and
// that no outgoing connection takes while the broker is down.
func New(binary, dir string, args ...string) (Config, error) {
	addrs, err := freeAddrs(3)
	if err != nil {
		return Config{}, err
	}
	return Config{Binary: binary, Dir: dir, Kafka: addrs[0], HTTP: addrs[1], Pprof: addrs[2], Args: args}, nil
}

// Data is the broker's folder.
func (c *Config) Data() string { return filepath.Join(c.Dir, "data") }

// Log is the file that what the broker prints is appended to.
func (c *Config) Log() string { return filepath.Join(c.Dir, "broker.log") }

func (c *Config) portFile() string { return filepath.Join(c.Dir, "ports.json") }

func (c *Config) command() []string {
	args := []string{"serve", "--data", c.Data(), "--kafka", c.Kafka, "--amqp", "", "--http", c.HTTP, "--port-file", c.portFile()}
	if c.Pprof != "" {
		args = append(args, "--pprof", c.Pprof)
	}
	return append(args, c.Args...)
}

// Process is one run of the broker.
type Process struct {
	// Started is when the binary was executed.
	Started time.Time

	cfg    Config
	cmd    *exec.Cmd
	killed atomic.Bool   // by Kill
	done   chan struct{} // closed once the process has ended
}

// Start executes the broker and does not wait for it to be ready.
func Start(cfg Config) (*Process, error) {
	// A file of an earlier run would say that this one is ready.
	if err := os.Remove(cfg.portFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	log, err := os.OpenFile(cfg.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{cfg: cfg, cmd: exec.Command(cfg.Binary, cfg.command()...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = attributes()
	started := make(chan error)
	go p.supervise(started)
	return p, <-started
}

// supervise starts the process and waits for its end. It stays on one thread,
// because the kernel kills the child when the thread that started it is gone.
func (p *Process) supervise(started chan<- error) {
	runtime.LockOSThread()
	p.Started = time.Now()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // how it ended is in ProcessState
	close(p.done)
}

var errKilled = errors.New("the broker was killed before it was ready")

// Ready waits until the broker has said that it serves. It fails when the
// process ends or ctx does.
func (p *Process) Ready(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return cmp.Or(p.Ended(), errKilled)
		case <-ctx.Done():
			return fmt.Errorf("the broker was not ready after %v: %w", time.Since(p.Started).Round(time.Millisecond), context.Cause(ctx))
		case <-tick.C:
		}
		if p.announced() {
			return nil
		}
	}
}

// announced reports whether the port file of this run is there.
func (p *Process) announced() bool {
	text, err := os.ReadFile(p.cfg.portFile())
	if err != nil {
		return false
	}
	var said struct{ PID int }
	return json.Unmarshal(text, &said) == nil && said.PID == p.PID()
}

// Done is closed once the process has ended, by Kill or by itself.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says how the process ended, with the end of its log; nil if that was
// by Kill. Done must be closed.
func (p *Process) Ended() error {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && p.killed.Load() && status.Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("the broker ended by itself (%v); the end of its log:\n%s", p.cmd.ProcessState, p.cfg.LogTail())
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process group as kill -9 does and waits until it is gone.
func (p *Process) Kill() {
	select {
	case <-p.done:
		return
	default:
	}
	p.killed.Store(true)
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // it fails if there is nobody left to kill
	<-p.done
}

const logTailBytes = 4 << 10

// LogTail is the end of what the broker has printed.
func (c *Config) LogTail() string {
	f, err := os.Open(c.Log())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	tail := make([]byte, min(info.Size(), logTailBytes))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return err.Error()
	}
	return string(tail)
}

// Build compiles the broker of this module into dir and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "waxwing")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "github.com/waxwing-mq/waxwing/cmd/waxwing")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
}

// Ports below this range are handed out by no kernel for outgoing connections
// unless it was told to. One that is would be taken while the broker is down:
// a client that tries to reach it can even connect to itself.
const (
	firstPort = 20000
	lastPort  = 29999
)

// freeAddrs finds n loopback addresses on which nobody listens.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for port := firstPort + os.Getpid()%(lastPort-firstPort); len(addrs) < n; port++ {
		if port > lastPort {
			return nil, fmt.Errorf("no free port up to %d", lastPort)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		addrs = append(addrs, addr)
	}
	return addrs, nil
}
