package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/enginetest"
)

// testFileBytes is the length of journal files in tests.
const testFileBytes = 256 << 10

// folder is a place on the real file system.
type folder struct {
	t   *testing.T
	dir string
	fs  *process
}

func newFolder(t *testing.T) *folder {
	return &folder{t: t, dir: filepath.Join(t.TempDir(), "data"), fs: newProcess()}
}

func (f *folder) Open() (engine.Engine, error) {
	e, err := disk.Open(disk.Options{Dir: f.dir, FS: f.fs, FileBytes: testFileBytes, Logf: f.t.Logf})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Kill cuts the engine off the file system and takes its lock.
func (f *folder) Kill() {
	dead := f.fs
	dead.die()
	f.fs = newProcess()
	f.fs.free = dead.free // nobody changes it any more
}

func (f *folder) SetFree(bytes int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.free = bytes
}

func (f *folder) MakeNewer() error {
	for _, name := range f.Names() {
		if !strings.HasSuffix(name, ".wal") {
			continue
		}
		content, err := f.ReadFile(name)
		if err != nil {
			return err
		}
		content[8]++
		if err := f.WriteFile(name, content); err != nil {
			return err
		}
	}
	return nil
}

func (f *folder) Names() []string {
	var names []string
	err := filepath.WalkDir(f.dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "LOCK" {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func (f *folder) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

func (f *folder) WriteFile(name string, content []byte) error {
	if content == nil {
		return os.Remove(name)
	}
	return os.WriteFile(name, content, 0o600)
}

// process is the real file system as one process sees it: it can die, and it
// can be short of space.
type process struct {
	disk.FS
	mu    sync.Mutex
	dead  bool
	free  int64 // bytes that may still be taken; negative for no limit
	locks []io.Closer
}

var errDead = errors.New("the process is dead")

func newProcess() *process { return &process{FS: disk.OS(), free: -1} }

func (p *process) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true // no operation is under way, and none will be
	for _, l := range p.locks {
		l.Close() // the lock may have been given up already
	}
}

// do runs an operation unless the process is dead.
func (p *process) do(op func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errDead
	}
	return op()
}

func (p *process) Create(name string) (f disk.File, err error) {
	err = p.do(func() error { f, err = p.FS.Create(name); return err })
	if err != nil {
		return nil, err
	}
	return &processFile{f, p}, nil
}

func (p *process) Open(name string) (f disk.File, err error) {
	err = p.do(func() error { f, err = p.FS.Open(name); return err })
	if err != nil {
		return nil, err
	}
	return &processFile{f, p}, nil
}

func (p *process) Rename(from, to string) error {
	return p.do(func() error { return p.FS.Rename(from, to) })
}

// Remove gives the space of the file back.
func (p *process) Remove(name string) error {
	return p.do(func() error {
		info, err := os.Stat(name)
		if err == nil {
			err = p.FS.Remove(name)
		}
		if err == nil && p.free >= 0 {
			p.free += info.Size()
		}
		return err
	})
}

func (p *process) Mkdir(name string) error   { return p.do(func() error { return p.FS.Mkdir(name) }) }
func (p *process) SyncDir(name string) error { return p.do(func() error { return p.FS.SyncDir(name) }) }

func (p *process) List(dir string) (entries []disk.Entry, err error) {
	err = p.do(func() error { entries, err = p.FS.List(dir); return err })
	return entries, err
}

func (p *process) Lock(name string) (l io.Closer, err error) {
	err = p.do(func() error {
		l, err = p.FS.Lock(name)
		if err == nil {
			p.locks = append(p.locks, l)
		}
		return err
	})
	return l, err
}

// processFile is a file of a process. Closing it works after death too, so
// that tests leak nothing.
type processFile struct {
	disk.File
	p *process
}

func (f *processFile) WriteAt(b []byte, off int64) (n int, err error) {
	err = f.p.do(func() error {
		size, err := f.Size()
		if err == nil {
			err = f.p.take(off + int64(len(b)) - size)
		}
		if err == nil {
			n, err = f.File.WriteAt(b, off)
		}
		return err
	})
	return n, err
}

func (f *processFile) Sync() error { return f.p.do(f.File.Sync) }

func (f *processFile) Truncate(n int64) error {
	return f.p.do(func() error {
		size, err := f.Size()
		if err == nil {
			err = f.p.take(n - size)
		}
		if err == nil && n < size && f.p.free >= 0 {
			f.p.free += size - n
		}
		if err != nil {
			return err
		}
		return f.File.Truncate(n)
	})
}

func (f *processFile) Preallocate(n int64) error {
	return f.p.do(func() error {
		size, err := f.Size()
		if err == nil {
			err = f.p.take(n - size)
		}
		if err != nil {
			return err
		}
		return f.File.Preallocate(n)
	})
}

// take accounts for n bytes more, or refuses.
func (p *process) take(n int64) error {
	if n <= 0 || p.free < 0 {
		return nil
	}
	if n > p.free {
		return syscall.ENOSPC
	}
	p.free -= n
	return nil
}

func TestEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Place { return newFolder(t) })
}
