package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadOnlyFolder opens a folder as somebody who may not write there. Root
// may write anywhere, so root becomes nobody first, on this thread.
func TestReadOnlyFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := openOnce(dir); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for name, mode := range map[string]fs.FileMode{dir: 0o555, filepath.Join(dir, "FORMAT"): 0o444, empty: 0o555} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(dir, 0o755); os.Chmod(empty, 0o755) }) // so that TempDir can remove them

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer unix.Setfsuid(0)
	}
	for _, d := range []string{dir, empty, filepath.Join(empty, "new")} {
		err := openOnce(d)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), d) || strings.Contains(err.Error(), "\n") {
			t.Errorf("open %s: %v", d, err)
		}
	}
}
