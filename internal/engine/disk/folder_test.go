package disk_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
)

// TestMain also is the other process of the tests that need one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("WAXWING_TEST_APPEND"); dir != "" {
		fmt.Fprintln(os.Stderr, appendForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// appendForever appends slots of growing length and prints the number of each
// that is acknowledged.
func appendForever(dir string) error {
	e, err := disk.Open(disk.Options{Dir: dir, FileBytes: 1 << 20})
	if err != nil {
		return err
	}
	s, err := e.Claim(context.Background(), 0)
	if err != nil {
		return err
	}
	no := engine.SlotNo(0)
	err = s.Recover(context.Background(), 0, func(slot engine.Slot) error { no = slot.No; return nil })
	if err != nil {
		return err
	}
	fmt.Println(no)
	for {
		slot, err := s.Append(numbered(no+1), [][]byte{payload(int(no+1) * 37 % 20000)}, false).Wait()
		if err != nil {
			return err
		}
		no = slot.No
		fmt.Println(no)
	}
}

func numbered(no engine.SlotNo) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(no))
}

// appender is a process that runs appendForever.
type appender struct {
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startAppender(t *testing.T, dir string) *appender {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "WAXWING_TEST_APPEND="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may be dead already
	a := &appender{cmd, bufio.NewScanner(out)}
	if !a.out.Scan() {
		t.Fatal("the other process did not start")
	}
	return a
}

// kill sends SIGKILL and returns the last number that was acknowledged
// and not read yet.
func (a *appender) kill(t *testing.T) engine.SlotNo {
	t.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	last := "0"
	for a.out.Scan() {
		last = a.out.Text()
	}
	_ = a.cmd.Wait() // says that it was killed
	var no engine.SlotNo
	if _, err := fmt.Sscan(last, &no); err != nil {
		t.Fatal(err)
	}
	return no
}

// TestKillNine kills a process that appends, again and again.
func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	var acked engine.SlotNo
	for round := range 8 {
		a := startAppender(t, dir)
		for range 20 * (round + 1) {
			if !a.out.Scan() {
				t.Fatal("the other process ended")
			}
		}
		if _, err := fmt.Sscan(a.out.Text(), &acked); err != nil {
			t.Fatal(err)
		}
		acked = max(acked, a.kill(t))
		var last engine.SlotNo
		e, s := openShard(t, dir, func(slot engine.Slot) error {
			last++
			if string(slot.Head) != string(numbered(last)) || slot.DataLen != int64(last*37%20000) {
				t.Errorf("slot %d is not what was appended", last)
			}
			return nil
		})
		if last < acked || last > acked+1 {
			t.Errorf("round %d: recovered up to slot %d, acknowledged up to %d", round, last, acked)
		}
		if err := errors.Join(s.Release(), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHeldByAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	a := startAppender(t, dir)
	_, err := disk.Open(disk.Options{Dir: dir})
	want := fmt.Sprintf("held by another process (pid %d): %s", a.cmd.Process.Pid, dir)
	if !errors.Is(err, engine.ErrHeld) || err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if err := os.Remove(filepath.Join(dir, "LOCK")); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(disk.Options{Dir: dir}); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("with LOCK removed: %v, want ErrHeld", err)
	}
	a.kill(t)
	e, err := disk.Open(disk.Options{Dir: dir})
	if err != nil {
		t.Fatalf("after the other process died: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// openOnce opens the folder and closes it again.
func openOnce(dir string) error {
	e, err := disk.Open(disk.Options{Dir: dir, FileBytes: testFileBytes})
	if err != nil {
		return err
	}
	return e.Close()
}

func TestFormatFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some", "where", "data")
	if err := openOnce(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "FORMAT")
	text, err := os.ReadFile(name)
	if err != nil || string(text) != "waxwing folder format 1\n" {
		t.Errorf("FORMAT is %q, %v", text, err)
	}
	write := func(s string) {
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("waxwing folder format 7\nand more that version 7 knows")
	err = openOnce(dir)
	if !errors.Is(err, engine.ErrNewer) || !strings.Contains(err.Error(), dir) ||
		!strings.Contains(err.Error(), "format 7") || !strings.Contains(err.Error(), "knows 1") {
		t.Errorf("newer format: %v", err)
	}
	var damage *engine.ErrDamaged
	for _, s := range []string{"", "hello", "waxwing folder format x", "waxwing folder format 0", "waxwing folder format -1"} {
		write(s)
		if err := openOnce(dir); !errors.As(err, &damage) || damage.Path != name || !strings.HasSuffix(err.Error(), "else choose another") {
			t.Errorf("FORMAT is %q: %v", s, err)
		}
	}
	write("waxwing folder format 1\n")
	if err := os.Mkdir(filepath.Join(dir, "shard-0000"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := openOnce(dir); !errors.As(err, &damage) || !strings.HasSuffix(err.Error(), engine.DamageAdvice) {
		t.Errorf("FORMAT is missing: %v", err)
	}
}

// TestUnusableFolder wants one line that names the folder.
func TestUnusableFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(file, "below"), ""} {
		err := openOnce(bad)
		if err == nil || !strings.Contains(err.Error(), bad) || strings.Contains(err.Error(), "\n") {
			t.Errorf("open %q: %v", bad, err)
		}
	}
	for _, n := range []int64{1, -1, 1 << 60} {
		if _, err := disk.Open(disk.Options{Dir: dir, FileBytes: n}); err == nil {
			t.Errorf("journal files of %d bytes accepted", n)
		}
	}
}

// TestDirNeedNotBeClean writes blobs into a folder that was given with "./".
func TestDirNeedNotBeClean(t *testing.T) {
	t.Chdir(t.TempDir())
	e, err := disk.Open(disk.Options{Dir: "./data/", FileBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	w, err := e.Blobs().Create("0000/x/y")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
