package docs

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// TestSealedExample runs the commands of examples/sealed/README.md in their order, and
// looks for what it says that they print. The programs are stopped and started between
// them as its text says.
func TestSealedExample(t *testing.T) {
	_, _, err := harness.Waxwing(harness.Context(t), "", "version") // builds it
	harness.Must(t, err)
	x := &sealedExample{t: t, keys: filepath.Join(t.TempDir(), "keys"), programs: map[string]*running{}}
	t.Cleanup(x.stopAll)
	commands := 0
	for line := range strings.Lines(read(t, "examples", "sealed", "README.md")) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !ok {
			continue
		}
		if regexp.MustCompile(`^ *(waxwing|go|mkdir|cp|echo) `).MatchString(line) {
			commands++
			x.command(strings.TrimSpace(line))
		} else {
			x.printed(strings.TrimSpace(line))
		}
	}
	if commands != 17 {
		t.Errorf("the page has %d commands, 17 are known", commands)
	}
}

// A sealedExample is the example while its commands are run.
type sealedExample struct {
	t        *testing.T
	keys     string // the folder
	env      []string
	places   *strings.Replacer   // default addresses to those that the broker has
	programs map[string]*running // those that run, or have run last
	last     string              // what the last command printed that has ended
}

// command does what a command of the page does, and what the text around it says.
func (x *sealedExample) command(line string) {
	x.t.Helper()
	x.t.Log(line)
	const receiver = "go run ./examples/sealed/receiver -folder keys"
	switch fields := strings.Fields(line); {
	case line == "waxwing serve":
		x.serve(line)
	case line == receiver:
		x.start("receiver", line).await(x.t, "billing is ready")
	case strings.HasPrefix(line, "go run ./examples/sealed/sender -folder keys "):
		order, card := fields[len(fields)-2], fields[len(fields)-1]
		x.start("sender", line)
		x.programs["receiver"].await(x.t, "order "+order+" is paid by card "+card+", says orders")
	case strings.HasPrefix(line, "waxwing group reset billing "):
		x.programs["receiver"].stop(x.t)
		x.run(line)
		x.start("receiver", receiver).await(x.t, "billing is ready")
		x.caughtUp()
		if out := x.programs["receiver"].String(); strings.Contains(out, "is paid by") {
			x.t.Errorf("what was handled is handled again:\n%s", out)
		}
	case strings.HasPrefix(line, "cp "):
		x.programs["sender"].stop(x.t)
		x.run(line)
	case strings.HasPrefix(line, "waxwing dlq list "):
		harness.Until(x.t, "a dead letter", func() bool { x.run(line); return strings.Contains(x.last, "billing") })
	default:
		x.run(line)
	}
}

// here is a command with this test's folder and addresses.
func (x *sealedExample) here(line string) string {
	line = regexp.MustCompile(`\bkeys\b`).ReplaceAllLiteralString(line, x.keys)
	if strings.HasPrefix(line, "go run ") {
		line = strings.Replace(line, " -folder "+x.keys, x.places.Replace(" -folder "+x.keys+" -kafka 127.0.0.1:9092 -directory http://127.0.0.1:8080"), 1)
	}
	return line
}

// shell is a command in the repository's folder, with waxwing in its path.
func (x *sealedExample) shell(line string) *exec.Cmd {
	cmd := exec.Command("bash", "-eo", "pipefail", "-c", x.here(line))
	cmd.Dir = root(x.t)
	cmd.Env = append(append(os.Environ(), "PATH="+filepath.Join(cmd.Dir, "bin")+":"+os.Getenv("PATH")), x.env...)
	cmd.SysProcAttr = harness.ProcessGroup()
	return cmd
}

// run runs a command that ends, and keeps what it prints.
func (x *sealedExample) run(line string) {
	x.t.Helper()
	out, err := x.shell(line).CombinedOutput()
	if x.last = string(out); err != nil {
		x.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// start starts a program in place of the one that had its name.
func (x *sealedExample) start(name, line string) *running {
	x.t.Helper()
	if p := x.programs[name]; p != nil {
		p.stop(x.t)
	}
	p := &running{name: name, cmd: x.shell(line), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	harness.Must(x.t, p.cmd.Start())
	go func() { p.cmd.Wait(); close(p.ended) }()
	x.programs[name] = p
	return p
}

// stopAll stops what runs, the broker last.
func (x *sealedExample) stopAll() {
	for _, name := range []string{"sender", "receiver", "broker"} {
		if p := x.programs[name]; p != nil {
			p.stop(x.t)
			if x.t.Failed() {
				x.t.Logf("%s has printed:\n%s", name, p)
			}
		}
	}
}

// serve starts the broker on free ports.
func (x *sealedExample) serve(line string) {
	x.t.Helper()
	file := filepath.Join(x.t.TempDir(), "ports.json")
	x.env = []string{
		"WAXWING_KAFKA=127.0.0.1:0", "WAXWING_AMQP=127.0.0.1:0", "WAXWING_HTTP=127.0.0.1:0",
		"WAXWING_DATA=" + filepath.Join(x.t.TempDir(), "data"), "WAXWING_PORT_FILE=" + file,
	}
	x.start("broker", line)
	var at struct{ Kafka, AMQP, HTTP string }
	harness.Until(x.t, "the broker is ready", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &at) == nil && at.Kafka != ""
	})
	x.env = []string{"WAXWING_BOOTSTRAP=" + at.Kafka}
	x.places = strings.NewReplacer("127.0.0.1:9092", at.Kafka, "127.0.0.1:5672", at.AMQP, "127.0.0.1:8080", at.HTTP)
}

// caughtUp waits until the receiver has read all that there is.
func (x *sealedExample) caughtUp() {
	x.t.Helper()
	harness.Until(x.t, "billing has read everything", func() bool {
		x.run("waxwing group describe billing -o json")
		var groups []struct{ TotalLag int }
		return json.Unmarshal([]byte(x.last), &groups) == nil && len(groups) == 1 && groups[0].TotalLag == 0
	})
}

// printed waits until a line of the page has been printed, by a program or the last
// command. White space may be another; "…" stands for anything.
func (x *sealedExample) printed(line string) {
	x.t.Helper()
	line = x.places.Replace(line)
	var parts []string
	for part := range strings.SplitSeq(line, "…") {
		parts = append(parts, regexp.QuoteMeta(strings.Join(strings.Fields(part), " ")))
	}
	want := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
	harness.Until(x.t, "nothing prints "+line, func() bool {
		all := x.last
		for _, p := range x.programs {
			all += "\n" + p.String()
		}
		for got := range strings.Lines(all) {
			if want.MatchString(strings.Join(strings.Fields(got), " ")) {
				return true
			}
		}
		return false
	})
}

// A running program, and what it prints.
type running struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *running) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *running) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// await waits until it has printed a text.
func (p *running) await(t *testing.T, text string) {
	t.Helper()
	harness.Until(t, p.name+" prints "+text, func() bool { return strings.Contains(p.String(), text) })
}

// stop is Ctrl-C, which goes to all processes of the command.
func (p *running) stop(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		return
	default:
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		t.Errorf("%s did not stop", p.name)
	}
}
