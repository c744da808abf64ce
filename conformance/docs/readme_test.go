package docs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/waxwing-mq/waxwing/conformance/harness"
)

// address is where the README's examples find the broker.
const address = "127.0.0.1:9092"

// TestReadmeClients runs the README's programs, which all send the same record.
func TestReadmeClients(t *testing.T) {
	b := harness.StartBrokerIn(t, filepath.Join(t.TempDir(), "data"))
	for i, example := range []struct {
		language string
		run      func(t *testing.T, code string) (printed string)
		prints   string
	}{
		{"js", runJS, ""},
		{"python", runPython, "1\n"}, // the second record
		{"go", runGo, ""},
	} {
		t.Run(example.language, func(t *testing.T) {
			code := strings.ReplaceAll(fenced(t, example.language, address), address, b.Bootstrap)
			if got := example.run(t, code); got != example.prints {
				t.Errorf("it printed %q, want %q", got, example.prints)
			}
			got := harness.ReadAll(t, b, "orders")
			if len(got) != i+1 {
				t.Fatalf("after it the topic holds %d records, want %d", len(got), i+1)
			}
			if r := got[i]; string(r.Key) != "42" || string(r.Value) != "paid" {
				t.Errorf("it sent %q: %q", r.Key, r.Value)
			}
		})
	}
}

// TestReadmePika runs the README's program for RabbitMQ's client.
func TestReadmePika(t *testing.T) {
	b := harness.StartBrokerIn(t, filepath.Join(t.TempDir(), "data"))
	host, port, err := net.SplitHostPort(b.AMQP)
	harness.Must(t, err)
	code := strings.Replace(fenced(t, "python", "import pika"), `("127.0.0.1")`, fmt.Sprintf("(%q, %s)", host, port), 1)
	output(t, exec.CommandContext(harness.Context(t), harness.Tool(t, "amqppython", "bin", "python"), "-c", code), t.TempDir())
	got, _, err := harness.Waxwing(harness.Context(t), "", "get", "jobs", "--url", "amqp://guest:guest@"+b.AMQP+"/")
	harness.Must(t, err)
	if got != "build\n" {
		t.Errorf("the queue has %q", got)
	}
}

// fenced returns the README's example in a language that holds a text.
func fenced(t *testing.T, language, text string) string {
	t.Helper()
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, "README.md"), -1) {
		if strings.Contains(m[1], text) {
			found = append(found, m[1])
		}
	}
	if len(found) != 1 {
		t.Fatalf("README.md has %d examples in %s with %s", len(found), language, text)
	}
	code := found[0]
	if n := strings.Count(code, "\n"); n > 5 {
		t.Errorf("the example in %s has %d lines, more than five", language, n)
	}
	return code
}

func runJS(t *testing.T, code string) string {
	dir := t.TempDir()
	harness.Must(t, os.Symlink(harness.Tool(t, "node", "node_modules"), filepath.Join(dir, "node_modules")))
	harness.Must(t, os.WriteFile(filepath.Join(dir, "app.mjs"), []byte(code), 0o644))
	cmd := exec.CommandContext(harness.Context(t), "node", "app.mjs")
	cmd.Env = append(os.Environ(), "KAFKAJS_NO_PARTITIONER_WARNING=1")
	return output(t, cmd, dir)
}

func runPython(t *testing.T, code string) string {
	return output(t, exec.CommandContext(harness.Context(t), harness.Tool(t, "python", "bin", "python"), "-c", code), t.TempDir())
}

// runGo makes the code a program in a module with the dependencies of this one.
func runGo(t *testing.T, code string) string {
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		harness.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(read(t, "conformance", name)), 0o644))
	}
	program := "package main\n\nimport (\n\t\"context\"\n\t\"log\"\n\n\t\"github.com/twmb/franz-go/pkg/kgo\"\n)\n\n" +
		"func main() {\n\tctx := context.Background()\n" + code + "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n}\n"
	harness.Must(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644))
	cmd := exec.CommandContext(harness.Context(t), "go", "run", ".")
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOPROXY=off", "GOWORK=off")
	return output(t, cmd, dir)
}

// output runs cmd in dir, which must succeed, and returns what it printed.
func output(t *testing.T, cmd *exec.Cmd, dir string) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.SysProcAttr = harness.ProcessGroup()
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, stderr.String())
	}
	return string(out)
}

// TestReadmeShell runs the README's shell commands from the repository's
// folder. The broker's variables stand in for folders and fixed ports.
func TestReadmeShell(t *testing.T) {
	b := harness.StartBrokerIn(t, filepath.Join(t.TempDir(), "data"))
	seen := 0
	prose := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(read(t, "README.md"), "")
	for line := range strings.Lines(prose) {
		command, ok := strings.CutPrefix(line, "    ")
		if !ok {
			continue
		}
		seen++
		command, _, _ = strings.Cut(strings.TrimSpace(command), " #")
		command = strings.TrimSpace(command)
		t.Run(command, func(t *testing.T) {
			switch {
			case command == "make run":
				madeRun(t, command)
			case command == "make test": // it is what runs this
				output(t, shell(t, command+" --dry-run"), root(t))
			case strings.HasPrefix(command, "bin/waxwing serve"):
				advertised(t, command)
			default:
				clientCommand(t, b, command)
			}
		})
	}
	if seen != 8 {
		t.Errorf("README.md has %d commands, 8 are known", seen)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := harness.Root()
	harness.Must(t, err)
	return dir
}

func shell(t *testing.T, command string) *exec.Cmd {
	cmd := exec.CommandContext(harness.Context(t), "bash", "-eo", "pipefail", "-c", command)
	cmd.Env = os.Environ()
	return cmd
}

// clientCommand runs a command that talks to the broker.
func clientCommand(t *testing.T, b *harness.Broker, command string) {
	if !harness.Full() {
		command = strings.Replace(command, "--duration 30s", "--duration 1s", 1)
	}
	cmd := shell(t, command)
	cmd.Env = append(cmd.Env, "WAXWING_BOOTSTRAP="+b.Bootstrap)
	got := output(t, cmd, root(t))
	if !strings.Contains(command, "waxwing consume") {
		return
	}
	var numbers []int
	for _, field := range strings.Fields(got) {
		n, err := strconv.Atoi(field)
		harness.Must(t, err)
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	if len(numbers) != 1000 || numbers[0] != 1 || len(slices.Compact(numbers)) != 1000 || numbers[999] != 1000 {
		t.Errorf("it printed %d numbers, want 1 to 1000", len(numbers))
	}
}

// madeRun starts a broker as `make run` does and produces to it.
func madeRun(t *testing.T, command string) {
	b := serve(t, command, "WAXWING_KAFKA=127.0.0.1:0", "WAXWING_DATA="+filepath.Join(t.TempDir(), "data"))
	cl := client(t, b)
	harness.Must(t, cl.ProduceSync(harness.Context(t), &kgo.Record{Topic: "orders", Value: []byte("paid")}).FirstErr())
}

// advertised starts a broker that says it is somewhere else.
func advertised(t *testing.T, command string) {
	command = replace(t, command, "/var/lib/waxwing", filepath.Join(t.TempDir(), "data"))
	command = replace(t, command, "0.0.0.0:9092", "0.0.0.0:0")
	b := serve(t, command)
	m, err := kadm.NewClient(client(t, b)).BrokerMetadata(harness.Context(t))
	harness.Must(t, err)
	if len(m.Brokers) != 1 || m.Brokers[0].Host != "broker.example.org" || m.Brokers[0].Port != 9092 {
		t.Errorf("clients are told %+v", m.Brokers)
	}
}

func replace(t *testing.T, command, old, with string) string {
	t.Helper()
	if !strings.Contains(command, old) {
		t.Fatalf("%q does not say %s", command, old)
	}
	return strings.Replace(command, old, with, 1)
}

func client(t *testing.T, bootstrap string) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.AllowAutoTopicCreation())
	harness.Must(t, err)
	t.Cleanup(cl.Close)
	return cl
}

// serve runs a command that starts a broker until t ends, and returns where
// the broker listens for Kafka clients.
func serve(t *testing.T, command string, env ...string) string {
	t.Helper()
	portFile := filepath.Join(t.TempDir(), "ports.json")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	harness.Must(t, err)
	defer log.Close()
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root(t), log, log
	cmd.Env = append(append(os.Environ(), "WAXWING_HTTP=127.0.0.1:0", "WAXWING_PORT_FILE="+portFile), env...)
	cmd.SysProcAttr = harness.ProcessGroup()
	harness.Must(t, cmd.Start())
	dead := make(chan struct{})
	go func() { cmd.Wait(); close(dead) }()
	t.Cleanup(func() { end(t, cmd, dead, log.Name()) })

	var said struct{ Kafka string }
	harness.Until(t, command+" is ready", func() bool {
		text, err := os.ReadFile(portFile)
		return err == nil && json.Unmarshal(text, &said) == nil && said.Kafka != ""
	})
	_, port, err := net.SplitHostPort(said.Kafka)
	harness.Must(t, err)
	return "127.0.0.1:" + port
}

// end stops the process group of cmd.
func end(t *testing.T, cmd *exec.Cmd, dead chan struct{}, log string) {
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
	select {
	case <-dead:
	case <-time.After(20 * time.Second):
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Errorf("%s did not stop", cmd)
	}
	if t.Failed() {
		text, _ := os.ReadFile(log)
		t.Logf("it printed:\n%s", text)
	}
}
