package mem_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// must stops the test at an error of the file system.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, d *mem.Disk, name string) disk.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	return f
}

func write(t *testing.T, f disk.File, text string, off int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(text), off)
	must(t, err)
}

// outcomes crashes copies of a disk many times and counts what comes of it.
func outcomes(d *mem.Disk, see func(*mem.Disk) string) map[string]int {
	seen := map[string]int{}
	for seed := range uint64(300) {
		seen[see(d.Clone().Crash(rand.New(rand.NewPCG(seed, 0))))]++
	}
	return seen
}

func content(name string) func(*mem.Disk) string {
	return func(d *mem.Disk) string {
		b, err := d.ReadFile(name)
		if err != nil {
			return "missing"
		}
		return string(b)
	}
}

// same checks that exactly the wanted outcomes were seen.
func same(t *testing.T, what string, seen map[string]int, want ...string) {
	t.Helper()
	for _, w := range want {
		if seen[w] == 0 {
			t.Errorf("%s: a crash never left %q", what, w)
		}
		delete(seen, w)
	}
	for other, n := range seen {
		t.Errorf("%s: %d crashes left %q", what, n, other)
	}
}

func TestCrashLosesUnsyncedNames(t *testing.T) {
	d := mem.New(mem.Options{})
	f := create(t, d, "/a")
	write(t, f, "x", 0)
	must(t, f.Sync())
	same(t, "created", outcomes(d, content("/a")), "x", "missing")
	must(t, d.SyncDir("/"))
	same(t, "created and synced", outcomes(d, content("/a")), "x")

	must(t, d.Rename("/a", "/b"))
	both := func(d *mem.Disk) string { return content("/a")(d) + " " + content("/b")(d) }
	same(t, "renamed", outcomes(d, both), "x missing", "missing x")
	must(t, d.SyncDir("/"))
	same(t, "renamed and synced", outcomes(d, both), "missing x")

	must(t, d.Remove("/b"))
	same(t, "removed", outcomes(d, content("/b")), "x", "missing")
	create(t, d, "/b")
	same(t, "made anew", outcomes(d, content("/b")), "x", "missing", "")

	must(t, d.Mkdir("/dir"))
	create(t, d, "/dir/c")
	must(t, d.SyncDir("/dir"))
	same(t, "in an unsynced folder", outcomes(d, content("/dir/c")), "", "missing")
}

func TestCrashTearsUnsyncedWrites(t *testing.T) {
	d := mem.New(mem.Options{})
	f := create(t, d, "/a")
	old, now := make([]byte, 1024), make([]byte, 1024)
	for i := range old {
		old[i], now[i] = 'o', 'n'
	}
	write(t, f, string(old), 0)
	must(t, f.Sync(), d.SyncDir("/"))
	write(t, f, string(now), 0)
	sectors := func(d *mem.Disk) string {
		b, err := d.ReadFile("/a")
		if err != nil || len(b) != 1024 {
			return "bad"
		}
		for i := range b {
			if b[i] != b[i/512*512] {
				return "torn sector"
			}
		}
		return string(b[0]) + string(b[512])
	}
	same(t, "written", outcomes(d, sectors), "oo", "on", "no", "nn")
	same(t, "killed and written", outcomes(d.Clone().Kill(), sectors), "oo", "on", "no", "nn")
	if got := sectors(d.Clone().Kill()); got != "nn" {
		t.Errorf("the process died and left %s, want all of the write", got)
	}
	must(t, f.Sync())
	same(t, "synced", outcomes(d, sectors), "nn")
	must(t, f.Truncate(0))
	same(t, "cut", outcomes(d, content("/a")), string(now), "")
}

// TestFailedSyncForgets is what Linux does: after a sync that failed, the
// next one succeeds without writing what the first did not.
func TestFailedSyncForgets(t *testing.T) {
	lost := 0
	for seed := range uint64(50) {
		d := mem.New(mem.Options{Seed: seed})
		f := create(t, d, "/a")
		must(t, d.SyncDir("/"))
		write(t, f, "x", 0)
		d.FailSync(1)
		if err := f.Sync(); !errors.Is(err, mem.ErrIO) {
			t.Fatalf("sync that must fail: %v", err)
		}
		must(t, f.Sync())
		if got := content("/a")(d); got != "x" {
			t.Fatalf("reads %q after the failed sync", got)
		}
		if got := content("/a")(d.Crash(rand.New(rand.NewPCG(seed, 0)))); got != "x" {
			lost++
		}
	}
	if lost == 0 || lost == 50 {
		t.Errorf("a failed sync lost the write in %d of 50 cases", lost)
	}
}

func TestSpace(t *testing.T) {
	d := mem.New(mem.Options{Capacity: 100})
	f := create(t, d, "/a")
	must(t, f.Preallocate(60))
	n, err := f.WriteAt(make([]byte, 80), 50)
	if n != 50 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d bytes, %v, want the 50 that fit", n, err)
	}
	write(t, f, "in place", 10)
	g := create(t, d, "/b")
	if err := g.Preallocate(1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("preallocate on a full disk: %v", err)
	}
	must(t, d.Remove("/a"))
	if err := g.Preallocate(1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the space of a removed file that is open is free: %v", err)
	}
	must(t, f.Close(), g.Preallocate(100), g.Truncate(20))
	d.SetFree(5)
	if err := g.Preallocate(26); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("more than is free: %v", err)
	}
	must(t, g.Preallocate(25))
	d.SetFree(-1)
	must(t, g.Preallocate(1000))
}

// TestAfterCrash: nothing works on the old disk, whatever was open.
func TestAfterCrash(t *testing.T) {
	d := mem.New(mem.Options{})
	f := create(t, d, "/a")
	must(t, d.Mkdir("/dir"))
	d.CrashAfter(3)
	must(t, f.Sync(), d.SyncDir("/"))
	_, createErr := d.Create("/b")
	_, openErr := d.Open("/a")
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, writeErr := f.WriteAt([]byte("x"), 0)
	_, listErr := d.List("/")
	_, sizeErr := f.Size()
	_, lockErr := d.Lock("/lock")
	for what, err := range map[string]error{
		"create": createErr, "open": openErr, "read": readErr, "write": writeErr, "list": listErr, "size": sizeErr,
		"lock": lockErr, "sync": f.Sync(), "truncate": f.Truncate(1), "preallocate": f.Preallocate(1),
		"remove": d.Remove("/a"), "rename": d.Rename("/a", "/c"), "mkdir": d.Mkdir("/m"), "sync folder": d.SyncDir("/"),
	} {
		if !errors.Is(err, mem.ErrCrashed) {
			t.Errorf("%s on a crashed disk: %v", what, err)
		}
	}
}

// TestErrorsOfNames are those that the engine tells apart.
func TestErrorsOfNames(t *testing.T) {
	d := mem.New(mem.Options{})
	f := create(t, d, "/a")
	must(t, d.Mkdir("/dir"), f.Close())
	_, createErr := d.Create("/a")
	_, openErr := d.Open("/x")
	_, belowErr := d.Open("/a/x")
	_, dirErr := d.Open("/dir")
	_, listErr := d.List("/x")
	d.SetReadOnly(true)
	_, readOnlyErr := d.Create("/y")
	for _, c := range []struct {
		what      string
		err, want error
	}{
		{"create twice", createErr, fs.ErrExist}, {"open nothing", openErr, fs.ErrNotExist},
		{"open below a file", belowErr, syscall.ENOTDIR}, {"open a folder", dirErr, syscall.EISDIR},
		{"list nothing", listErr, fs.ErrNotExist}, {"read-only", readOnlyErr, syscall.EROFS},
		{"closed", f.Sync(), fs.ErrClosed}, {"closed twice", f.Close(), fs.ErrClosed},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		}
	}
}
