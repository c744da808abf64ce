// Package peer holds what bench/kafka-peer.sh starts Apache Kafka with, and
// tests the script with a java that only looks like Kafka: the real one needs
// jars and a minute (make bench-kafka).
package peer

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestMain is the test, or java when it is called by that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "java" {
		if err := java(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// java does what the script wants of the two programs of Kafka: it formats a
// folder, and listens until SIGTERM, which it may ignore.
func java(args []string) error {
	switch {
	case slices.Contains(args, "random-uuid"):
		fmt.Println("the-id")
		return nil
	case slices.Contains(args, "format"):
		config, err := properties(args[len(args)-1])
		if err != nil {
			return err
		}
		if slices.Index(args, "the-id") < 0 || config["process.roles"] != "broker,controller" {
			return fmt.Errorf("format was called with %q and %v", args, config)
		}
		return os.MkdirAll(config["log.dirs"], 0o755)
	case slices.Contains(args, "kafka.Kafka"):
		return serve(args[len(args)-1])
	}
	return fmt.Errorf("java was called with %q", args)
}

func serve(path string) error {
	config, err := properties(path)
	if err != nil {
		return err
	}
	if config["fails"] == "yes" {
		return fmt.Errorf("this is why")
	}
	if _, err := os.Stat(config["log.dirs"]); err != nil {
		return err
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(config["listeners"], "PLAINTEXT://"), ",")
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("Kafka Server started")
	for <-stop; config["stubborn"] == "yes"; <-stop {
		continue
	}
	return nil
}

func properties(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		found[key] = value
	}
	return found, lines.Err()
}

// script runs kafka-peer.sh with java and mvn that are not.
type script struct {
	env []string
	dir string
}

func newScript(t *testing.T) *script {
	t.Helper()
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, s := t.TempDir(), &script{dir: filepath.Join(t.TempDir(), "peer")}
	if err := os.Symlink(program, filepath.Join(bin, "java")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "WAXWING_CACHE="+t.TempDir(), "KAFKA_PEER_DIR="+s.dir,
		"GORACE=atexit_sleep_ms=0") // our java may be built with the race detector
	t.Cleanup(func() { s.run(t, "stop") })
	return s
}

// run returns what the script prints, and fails t if it fails.
func (s *script) run(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := s.try(args...)
	if err != nil {
		t.Fatalf("kafka-peer.sh %q: %v\n%s", args, err, stderr)
	}
	return strings.TrimSpace(stdout)
}

func (s *script) try(args ...string) (stdout, stderr string, err error) {
	var out, why strings.Builder
	cmd := exec.Command("../kafka-peer.sh", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &why
	err = cmd.Run()
	return out.String(), why.String(), err
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestStartStop(t *testing.T) {
	s := newScript(t)
	address := s.run(t, "start", "num.partitions=7")
	if !listens(address) || s.run(t, "status") != address {
		t.Fatalf("%q is not where it listens", address)
	}
	if config, err := properties(filepath.Join(s.dir, "server.properties")); err != nil || config["num.partitions"] != "7" {
		t.Errorf("%v: a setting is not there: %v", err, config)
	}
	if _, stderr, err := s.try("start"); err == nil || !strings.Contains(stderr, "already running at "+address) {
		t.Errorf("a second start: %v, %s", err, stderr)
	}
	s.run(t, "stop")
	if _, err := os.Stat(s.dir); listens(address) || err == nil {
		t.Error("after stop it runs or its folder is there")
	}
	if _, _, err := s.try("status"); err == nil {
		t.Error("status succeeds after stop")
	}
}

func TestKillRestart(t *testing.T) {
	s := newScript(t)
	address := s.run(t, "start")
	mark := filepath.Join(s.dir, "data", "mark")
	if err := os.WriteFile(mark, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(t, "kill")
	if listens(address) {
		t.Error("after kill it runs")
	}
	if got := s.run(t, "restart"); got != address || !listens(address) {
		t.Errorf("restarted at %q, was at %q", got, address)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("restart has lost the data: %v", err)
	}
}

func TestRun(t *testing.T) {
	s := newScript(t)
	address := s.run(t, "run", "sh", "-c", "echo $KAFKA_PEER")
	if _, err := os.Stat(s.dir); address == "" || listens(address) || err == nil {
		t.Errorf("run left %q behind", address)
	}
	if _, _, err := s.try("run", "sh", "-c", "exit 3"); err == nil || err.(*exec.ExitError).ExitCode() != 3 {
		t.Errorf("the exit code of the command is %v, want 3", err)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("run left a folder behind")
	}
}

// TestStops: one that does not mind SIGTERM is killed; one that ends at its
// start says why.
func TestStops(t *testing.T) {
	s := newScript(t)
	address := s.run(t, "start", "stubborn=yes")
	s.run(t, "stop")
	if listens(address) {
		t.Error("after stop it runs")
	}
	if _, stderr, err := s.try("start", "fails=yes"); err == nil || !strings.Contains(stderr, "this is why") {
		t.Errorf("a start that fails: %v, %s", err, stderr)
	}
}
