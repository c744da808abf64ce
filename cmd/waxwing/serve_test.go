package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// TestServeFlagsEverywhere: every flag of serve is also a variable and a line of
// the file, and --print-config writes it.
func TestServeFlagsEverywhere(t *testing.T) {
	values := map[string]string{
		"data": "d", "kafka": "127.0.0.1:1", "amqp": "127.0.0.1:2", "amqp-profile": "rabbitmq-4", "http": "127.0.0.1:3",
		"advertise": "host:4", "engine": "mem", "shards": "5", "default-partitions": "6", "auto-create-topics": "false",
		"file-bytes": "33554432", "initial-rebalance-delay": "7s", "retention-check": "8s", "broker-config": "log.retention.hours=9",
		"cluster-id": "MkU3OEVBNTcwNTJENDM2Qg", "node-id": "10", "json-log": "true", "log-level": "warn", "port-file": filepath.Join(t.TempDir(), "p"),
		"pprof": "127.0.0.1:11", "shutdown-timeout": "12s", "http-tls-cert": "cert.pem", "http-tls-key": "key.pem",
	}
	// One of these does not go without the other.
	with := map[string][]string{"http-tls-cert": {"--http-tls-key", "k"}, "http-tls-key": {"--http-tls-cert", "c"}}
	cmd, _, err := newRootCommand().Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "config" || f.Name == "print-config" || f.Name == "help" {
			return
		}
		value, ok := values[f.Name]
		if !ok {
			t.Errorf("--%s is not tried", f.Name)
			return
		}
		line := fmt.Sprintf("%s: %s\n", f.Name, value)
		if name, v, ok := strings.Cut(value, "="); ok {
			line = fmt.Sprintf("%s:\n  %s: %s\n", f.Name, name, v)
		}
		t.Run("variable/"+f.Name, func(t *testing.T) {
			t.Setenv("WAXWING_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")), value)
			expectSetting(t, line, with[f.Name]...)
		})
		t.Run("file/"+f.Name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "waxwing.yaml")
			writeFile(t, path, line)
			expectSetting(t, line, append(with[f.Name], "--config", path)...)
		})
	})
}

// expectSetting looks for a line in what --print-config prints.
func expectSetting(t *testing.T, line string, args ...string) {
	t.Helper()
	out, _, err := runCommand(t.Context(), "", append([]string{"serve", "--print-config"}, args...)...)
	if err != nil || !strings.Contains("\n"+out, "\n"+line) {
		t.Errorf("%v: no %q in %s", err, line, out)
	}
}

// TestServeStopsAtSIGTERM: as a service manager stops it.
func TestServeStopsAtSIGTERM(t *testing.T) {
	ports := filepath.Join(t.TempDir(), "ports.json")
	cmd, _ := waxwingProcess(t, "serve", "--engine", "mem", "--kafka", "127.0.0.1:0", "--amqp", "", "--http", "", "--port-file", ports)
	awaitFile(t, ports)
	sendSignal(t, cmd, syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
	if _, err := os.Stat(ports); !os.IsNotExist(err) {
		t.Errorf("the port file is left: %v", err)
	}
}

// TestServeOnAReadOnlyFolder ends with one line that names the folder, whether
// it is there or would have to be made.
func TestServeOnAReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	waxwing := filepath.Join(t.TempDir(), "waxwing") // the name says what TestMain runs
	if err := os.Symlink(self, waxwing); err != nil {
		t.Fatal(err)
	}
	var before []string
	if os.Geteuid() == 0 {
		// Root may write everywhere but on a file system that nobody may.
		before = []string{"unshare", "--mount", "sh", "-ec", `mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; exec "$@"`, dir}
	} else {
		for _, folder := range []string{data, dir} {
			if err := os.Chmod(folder, 0o555); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(folder, 0o755) })
		}
	}
	for _, folder := range []string{data, filepath.Join(dir, "new")} {
		args := append(before, waxwing, "serve", "--data", folder, "--kafka", "127.0.0.1:0", "--amqp", "", "--http", "")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		line, more, _ := strings.Cut(stderr.String(), "\n")
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || more != "" ||
			!strings.HasPrefix(line, "waxwing: ") || !strings.Contains(line, folder) {
			t.Errorf("%s: %v; stdout %q, stderr %q", folder, err, &stdout, &stderr)
		}
	}
}
