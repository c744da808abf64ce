package disk

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// countingFS counts the journal files and blobs that are open.
type countingFS struct {
	FS
	open, most atomic.Int64
}

type countingFile struct {
	File
	fs *countingFS
}

func (c *countingFS) count(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	c.most.Store(max(c.most.Load(), c.open.Add(1)))
	return countingFile{f, c}, nil
}

func (c *countingFS) Create(name string) (File, error) { return c.count(c.FS.Create(name)) }
func (c *countingFS) Open(name string) (File, error)   { return c.count(c.FS.Open(name)) }

func (f countingFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// TestHandlesAreBounded reads from many more files than may be open.
func TestHandlesAreBounded(t *testing.T) {
	const limit, files = 5, 30
	counter := &countingFS{FS: OS()}
	e, err := Open(Options{Dir: t.TempDir(), FS: counter, FileBytes: minFileBytes, Synchronous: true})
	if err != nil {
		t.Fatal(err)
	}
	claimed, err := e.Claim(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := claimed.(*shard)
	s.files.limit = limit
	if err := s.Recover(context.Background(), 0, func(engine.Slot) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var slots []engine.Slot
	for len(s.Files()) < files {
		slot, err := s.Append([]byte{byte(len(slots))}, [][]byte{make([]byte, 9000)}, false).Wait()
		if err != nil {
			t.Fatal(err)
		}
		slots = append(slots, slot)
	}
	for range 3 {
		for i, slot := range slots {
			head := make([]byte, 1)
			if _, err := s.ReadAt(slot.File, head, slot.DataOff-1); err != nil || head[0] != byte(i) {
				t.Fatalf("slot %d: %v, %v", slot.No, head, err)
			}
		}
	}
	// Beside the old files: the open one, the spare and one being opened.
	if n := counter.most.Load(); n > limit+3 {
		t.Errorf("%d files were open at once, want at most %d", n, limit+3)
	}
	if err := errors.Join(s.Release(), e.Close()); err != nil {
		t.Fatal(err)
	}
	if n := counter.open.Load(); n != 0 {
		t.Errorf("%d files are open after Close", n)
	}
}

// exhaustedFS has, on demand, no file descriptor left.
type exhaustedFS struct {
	FS
	exhausted atomic.Bool
}

func (f *exhaustedFS) Create(name string) (File, error) {
	if f.exhausted.Load() {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	return f.FS.Create(name)
}

// TestNoFileDescriptorIsNotTheEnd: while the process has no file descriptor
// left for the next file, producers are refused, the reserve can be used, and
// everything goes on once there is one again.
func TestNoFileDescriptorIsNotTheEnd(t *testing.T) {
	exhausted := &exhaustedFS{FS: OS()}
	e, err := Open(Options{Dir: t.TempDir(), FS: exhausted, FileBytes: minFileBytes, Synchronous: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Claim(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if err := s.Recover(context.Background(), 0, func(engine.Slot) error { return nil }); err != nil {
		t.Fatal(err)
	}
	write := func(reserve bool) error {
		_, err := s.Append([]byte("head"), [][]byte{make([]byte, 100)}, reserve).Wait()
		return err
	}
	exhausted.exhausted.Store(true)
	for n := 0; err == nil; n++ {
		if err = write(false); n > 100 {
			t.Fatal("appends go on without a file to go to")
		}
	}
	if !errors.Is(err, engine.ErrFull) {
		t.Fatalf("append: %v, want ErrFull", err)
	}
	if !s.Full() {
		t.Error("not full after ErrFull")
	}
	if err := write(true); err != nil {
		t.Errorf("append with reserve: %v", err)
	}
	exhausted.exhausted.Store(false)
	if err := write(false); err != nil {
		t.Errorf("append with file descriptors again: %v", err)
	}
	if s.Full() {
		t.Error("still full")
	}
}
