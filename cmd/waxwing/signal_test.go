package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestSignals: at the first signal produce reads no more but waits for what it
// has sent; the second ends it at once.
func TestSignals(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	arrived, answer := make(chan struct{}), make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(arrived)
		cluster.SleepControl(func() { <-answer })
		return nil, nil, false
	})
	defer close(answer)

	cmd, stdin := waxwingProcess(t, "produce", "t", "-b", cluster.ListenAddrs()[0], "--timeout", "15m")
	if _, err := io.WriteString(stdin, "line\n"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-arrived:
	case err := <-ended:
		t.Fatalf("ended before it sent anything: %v: %s", err, cmd.Stderr)
	}
	sendSignal(t, cmd, syscall.SIGTERM)
	select {
	case err := <-ended:
		t.Fatalf("ended at the first signal, before its record was acknowledged: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	sendSignal(t, cmd, syscall.SIGTERM)
	<-ended
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Fatalf("the second signal did not end it: %v", cmd.ProcessState)
	}
}

// TestSignalDrains: with the answer there, the first signal is a good end.
func TestSignalDrains(t *testing.T) {
	addr, _ := startBroker(t)
	cmd, stdin := waxwingProcess(t, "produce", "t", "-b", addr)
	stderr := cmd.Stderr.(*strings.Builder)
	if _, err := io.WriteString(stdin, "line\n"); err != nil {
		t.Fatal(err)
	}
	// The record is there before the signal comes, stdin still open.
	if out, _, err := runCommand(t.Context(), "", "consume", waitTopic(t, addr, "t"), "-b", addr, "--from-beginning", "-n", "1"); err != nil || out != "line\n" {
		t.Fatalf("got %q, %v", out, err)
	}
	sendSignal(t, cmd, syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	if got := stderr.String(); got != "sent 1 record to t\n" {
		t.Fatalf("stderr %q", got)
	}
}

// waxwingProcess starts this test binary as the command waxwing, with its
// standard input open.
func waxwingProcess(t *testing.T, args ...string) (*exec.Cmd, io.WriteCloser) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Args[0] = "waxwing"
	cmd.Stderr = &strings.Builder{}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, stdin
}

func sendSignal(t *testing.T, cmd *exec.Cmd, sig os.Signal) {
	t.Helper()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// waitTopic waits until the broker at addr has the topic, and returns its name.
func waitTopic(t *testing.T, addr, topic string) string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		out, _, err := runCommand(t.Context(), "", "topic", "list", "-b", addr)
		lines := bufio.NewScanner(strings.NewReader(out))
		for err == nil && lines.Scan() {
			if strings.HasPrefix(lines.Text(), topic+" ") {
				return topic
			}
		}
	}
	t.Fatalf("topic %q did not appear", topic)
	return ""
}

// awaitFile waits until a file is there.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}
