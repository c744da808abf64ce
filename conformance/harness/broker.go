package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 15 * time.Second
	logTailBytes = 16 << 10
)

// Broker is a broker under test: a waxwing process of ours, or one that
// WAXWING_CONFORMANCE_BOOTSTRAP names.
type Broker struct {
	// Bootstrap is its Kafka listener, HOST:PORT.
	Bootstrap string
	// AMQP is its AMQP listener, HOST:PORT; empty if it is not ours.
	AMQP string
	// HTTP is its HTTP listener, HOST:PORT; empty if it is not ours.
	HTTP string

	data string
	args []string // of `waxwing serve`, beside folder and addresses
	log  *tail
	cmd  *exec.Cmd
	dead chan struct{} // closed when cmd has ended
}

// StartBroker builds the binary if it must, serves an empty data folder on
// free ports, and stops it when t ends. If t failed, the end of the broker's
// log is in t's log. Extra arguments go to `waxwing serve`.
func StartBroker(t *testing.T, args ...string) *Broker {
	t.Helper()
	if b := os.Getenv("WAXWING_CONFORMANCE_BOOTSTRAP"); b != "" {
		return &Broker{Bootstrap: b}
	}
	return StartBrokerIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

// StartBrokerIn is StartBroker with a data folder that the caller chooses. The
// broker is always one of ours.
func StartBrokerIn(t *testing.T, data string, args ...string) *Broker {
	t.Helper()
	b := &Broker{data: data, args: args, log: &tail{limit: logTailBytes}}
	t.Cleanup(func() { b.finish(t) })
	if err := b.serve("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return b
}

// Owned says whether the broker is a process of ours, which can be killed
// and restarted.
func (b *Broker) Owned() bool { return b.cmd != nil }

// Kill ends the process as kill -9 does.
func (b *Broker) Kill(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatalf("kill -9 of the broker: %v", err)
	}
	<-b.dead
}

// Restart serves the same data folder on the same ports again, with the same
// arguments.
func (b *Broker) Restart(t *testing.T) {
	t.Helper()
	if err := b.serve(b.Bootstrap, b.AMQP, b.HTTP); err != nil {
		t.Fatal(err)
	}
}

// serve starts the process on the given addresses and waits until it accepts
// connections.
func (b *Broker) serve(kafka, amqp, http string) error {
	bin, err := binary()
	if err != nil {
		return err
	}
	portFile := b.data + ".ports"
	os.Remove(portFile)
	args := []string{"serve", "--data", b.data, "--port-file", portFile, "--kafka", kafka, "--amqp", amqp, "--http", http}
	b.cmd = exec.Command(bin, append(args, b.args...)...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	b.cmd.Env = brokerEnv()
	b.cmd.SysProcAttr = ProcessGroup()
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.dead = make(chan struct{})
	go func(cmd *exec.Cmd, dead chan struct{}) { cmd.Wait(); close(dead) }(b.cmd, b.dead)
	return b.waitReady(portFile)
}

// brokerEnv is this environment without what the tests are told by it: the
// broker warns of variables that begin like its own and set nothing.
func brokerEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return name == "WAXWING_FULL" || name == "WAXWING_CASES" || name == "WAXWING_CACHE" || strings.HasPrefix(name, "WAXWING_CONFORMANCE_")
	})
}

func (b *Broker) waitReady(portFile string) error {
	deadline := time.Now().Add(startTimeout)
	for time.Now().Before(deadline) {
		select {
		case <-b.dead:
			return fmt.Errorf("waxwing serve ended at once: %v\n%s", b.cmd.ProcessState, b.log)
		case <-time.After(10 * time.Millisecond):
		}
		if b.readPorts(portFile) != nil {
			continue
		}
		if conn, err := net.DialTimeout("tcp", b.Bootstrap, time.Second); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("waxwing serve was not ready within %v\n%s", startTimeout, b.log)
}

// readPorts reads the addresses that the broker has bound.
func (b *Broker) readPorts(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var ports struct {
		Kafka string `json:"kafka"`
		AMQP  string `json:"amqp"`
		HTTP  string `json:"http"`
	}
	if err := json.Unmarshal(raw, &ports); err != nil {
		return err
	}
	if ports.Kafka == "" {
		return fmt.Errorf("%s names no Kafka listener: %s", path, raw)
	}
	b.Bootstrap, b.AMQP, b.HTTP = ports.Kafka, ports.AMQP, ports.HTTP
	return nil
}

// finish stops the broker and fails t if it does not go cleanly.
func (b *Broker) finish(t *testing.T) {
	if b.cmd == nil || b.cmd.Process == nil {
		return
	}
	select {
	case <-b.dead:
		t.Errorf("the broker died: %v", b.cmd.ProcessState)
	default:
		b.terminate(t)
	}
	if t.Failed() {
		t.Logf("the end of the broker's log:\n%s", b.log)
	}
}

func (b *Broker) terminate(t *testing.T) {
	b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.dead:
		if code := b.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("the broker did not stop cleanly: exit code %d", code)
		}
	case <-time.After(stopTimeout):
		syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		<-b.dead
		t.Errorf("the broker did not stop within %v of SIGTERM", stopTimeout)
	}
}

// Waxwing runs the binary as a client command with an input, and returns what it
// printed. It is built if it must, also if the broker is not ours. It is killed
// when ctx is done.
func Waxwing(ctx context.Context, input string, args ...string) (stdout, stderr string, err error) {
	bin, err := binary()
	if err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = brokerEnv()
	cmd.SysProcAttr = ProcessGroup()
	cmd.Stdin = strings.NewReader(input)
	var out, why strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &why
	err = cmd.Run()
	return out.String(), why.String(), err
}

// binary builds bin/waxwing once per test process and returns its path.
// Test processes take turns, so that none runs a half-written file.
var binary = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "waxwing")
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(bin+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", bin, "./cmd/waxwing")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/waxwing: %v\n%s", err, out)
	}
	return bin, nil
})

// tail keeps the last bytes that were written to it.
type tail struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	limit int
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if over := w.buf.Len() - 2*w.limit; over > 0 {
		w.buf.Next(over + w.limit)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.buf.Bytes()
	return string(b[max(0, len(b)-w.limit):])
}
