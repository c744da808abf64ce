package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// counted is how many handles of this process on a file are counted.
func counted(id inode) int {
	openInodes.Lock()
	defer openInodes.Unlock()
	return openInodes.n[id]
}

// TestRemovedFileStaysReadable: freeing a deleted file in steps waits for the
// last one who has it open.
func TestRemovedFileStaysReadable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "large")
	want := bytes.Repeat([]byte("waxwing\n"), 3*freeStep/8)
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	var handles []osFile
	for range 2 {
		f, err := OS().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, f.(osFile))
	}
	if err := OS().Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Fatalf("the name is still there: %v", err)
	}
	if err := handles[0].Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * freeRest) // what must not happen would happen now
	got := make([]byte, len(want))
	if err := readFull(handles[1], got, 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("an open file has changed: %v", err)
	}
	if n := counted(handles[1].inode); n != 1 {
		t.Fatalf("%d handles counted, want 1", n)
	}
	if err := handles[1].Close(); err != nil {
		t.Fatal(err)
	}
	if n := counted(handles[1].inode); n != 0 {
		t.Fatalf("%d handles counted, want none", n)
	}
}

// TestRemoveFreesAtOnce: with nobody else, the space is free when Remove
// returns, whatever kind of thing the name was.
func TestRemoveFreesAtOnce(t *testing.T) {
	dir := t.TempDir()
	for name, bytes := range map[string]int64{"empty": 0, "small": 1, "step": freeStep, "large": 3*freeStep + 1} {
		name = filepath.Join(dir, name)
		f, err := OS().Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(bytes); err != nil {
			t.Fatal(err)
		}
		id := f.(osFile).inode
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err := OS().Remove(name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := counted(id); n != 0 {
			t.Errorf("%s: %d handles counted", name, n)
		}
		if err := OS().Remove(name); !os.IsNotExist(err) {
			t.Errorf("%s: removed twice: %v", name, err)
		}
	}
	if err := OS().Mkdir(filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	if err := OS().Remove(filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
}
