package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestConsumeDeletedTopic: a consumer whose topic is deleted ends and says so,
// also if the name is in use again, and alone or in a group.
func TestConsumeDeletedTopic(t *testing.T) {
	addr, _ := startBroker(t)
	for name, args := range map[string][]string{"alone": nil, "group": {"--group", "g"}} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		run := func(args ...string) {
			t.Helper()
			if _, stderr, err := runCommand(ctx, "x\n", append(args, "-b", addr)...); err != nil {
				t.Fatal(err, stderr)
			}
		}
		run("topic", "create", name)
		run("produce", name)
		cmd, _ := consumeProcess(t, append([]string{name, "--from-beginning", "-b", addr}, args...)...)
		run("topic", "delete", name)
		run("topic", "create", name)
		run("produce", name)
		err := cmd.Wait()
		if stderr := cmd.Stderr.(*strings.Builder).String(); err == nil || stderr != "waxwing: topic \""+name+"\" was deleted\n" {
			t.Fatalf("%s: %v: %s", name, err, stderr)
		}
	}
}

// TestConsumeIntoClosedPipe: when nobody reads its output any more, a consumer
// ends at once, and not with the next record.
func TestConsumeIntoClosedPipe(t *testing.T) {
	addr, _ := startBroker(t)
	if _, stderr, err := runCommand(t.Context(), "x\n", "produce", "t", "-b", addr); err != nil {
		t.Fatal(err, stderr)
	}
	cmd, out := consumeProcess(t, "t", "--from-beginning", "-b", addr)
	out.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
}

// consumeProcess starts this test binary as `waxwing consume`, with a pipe as
// its output, and returns once it has printed the record x.
func consumeProcess(t *testing.T, args ...string) (*exec.Cmd, *os.File) {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	cmd := exec.Command(os.Args[0], append([]string{"consume"}, args...)...)
	cmd.Args[0] = "waxwing"
	cmd.Stdout, cmd.Stderr = in, &strings.Builder{}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "x\n" {
		t.Fatalf("%q, %v: %s", line, err, cmd.Stderr)
	}
	return cmd, out
}
