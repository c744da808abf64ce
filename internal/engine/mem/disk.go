package mem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
)

// ErrCrashed is what every operation fails with once the disk has lost power.
var ErrCrashed = errors.New("crashed")

// ErrIO is a sync that failed.
var ErrIO = fmt.Errorf("injected fault: %w", syscall.EIO)

// Dir is the data folder of the engine on a Disk.
const Dir = "/data"

// defaultFileBytes keeps simulations small.
const defaultFileBytes = 256 << 10

// Options describe a disk and the engine on it.
type Options struct {
	// Seed decides everything that is left to chance, but what a crash
	// leaves: that is decided by the argument of Crash.
	Seed uint64
	// FileBytes is the length of a journal file; 0 means 256 KiB.
	FileBytes int64
	// Capacity limits the bytes of all files together; 0 means no limit.
	Capacity int64
	// Logf gets what the engine logs; nil drops it.
	Logf func(format string, args ...any)
	// BeforeSync is called before each sync of a file, with its path, while
	// no lock is held. A simulation may let time pass there. It may be nil.
	BeforeSync func(name string)
}

// Disk is a file system in memory. Its methods may be called from any
// goroutine.
type Disk struct {
	opt Options

	mu       sync.Mutex
	rng      *rand.Rand
	root     *node
	locked   map[string]bool
	used     int64 // bytes of all files that exist or are open
	crashed  bool
	ops      int // operations so far that change something
	crashAt  int // the operation that crashes; 0 if none is to
	failSync int // how many syncs of files from now fails; 0 if none is to
	failDir  int // the same for folders
	readOnly bool
}

var _ disk.FS = (*Disk)(nil)

// New returns an empty disk.
func New(opt Options) *Disk {
	if opt.FileBytes == 0 {
		opt.FileBytes = defaultFileBytes
	}
	return &Disk{
		opt:    opt,
		rng:    rand.New(rand.NewPCG(opt.Seed, 1)),
		root:   newFolder(),
		locked: map[string]bool{},
	}
}

// Engine opens the engine on what the disk holds, in synchronous mode. Only
// one can be open at a time; after Crash or Kill open one on the new disk.
func (d *Disk) Engine() (*disk.Engine, error) {
	return disk.Open(disk.Options{
		Dir:         Dir,
		FS:          d,
		FileBytes:   d.opt.FileBytes,
		Rand:        d.Rand(),
		Synchronous: true,
		Logf:        d.opt.Logf,
	})
}

// Rand returns a reader of random bytes that follow from the seed.
func (d *Disk) Rand() io.Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], d.rng.Uint64())
	return rand.NewChaCha8(seed)
}

// Create makes an empty file.
func (d *Disk) Create(name string) (disk.File, error) {
	var f *file
	err := d.change("create", name, func(dir *node, base string) error {
		if dir.entries[base] != nil {
			return fs.ErrExist
		}
		n := &node{names: 1, handles: 1}
		dir.change(dirOp{to: base, child: n})
		f = &file{d: d, n: n, name: name}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Open opens a file.
func (d *Disk) Open(name string) (disk.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if n.isDir() {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	n.handles++
	return &file{d: d, n: n, name: name}, nil
}

// Rename moves a file within its folder.
func (d *Disk) Rename(from, to string) error {
	if path.Dir(from) != path.Dir(to) {
		return pathError("rename", from, syscall.EXDEV)
	}
	return d.change("rename", from, func(dir *node, base string) error {
		n, target := dir.entries[base], dir.entries[path.Base(to)]
		if n == nil {
			return fs.ErrNotExist
		}
		if target != nil && target.isDir() {
			return syscall.EISDIR
		}
		dir.change(dirOp{from: base, to: path.Base(to), child: n})
		d.unlinked(target)
		return nil
	})
}

// Remove deletes a file.
func (d *Disk) Remove(name string) error {
	return d.change("remove", name, func(dir *node, base string) error {
		n := dir.entries[base]
		if n == nil {
			return fs.ErrNotExist
		}
		if n.isDir() {
			return syscall.EISDIR
		}
		dir.change(dirOp{from: base})
		d.unlinked(n)
		return nil
	})
}

// List returns the entries of a folder.
func (d *Disk) List(dir string) ([]disk.Entry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup("list", dir)
	if err != nil {
		return nil, err
	}
	if !n.isDir() {
		return nil, pathError("list", dir, syscall.ENOTDIR)
	}
	var entries []disk.Entry
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		entries = append(entries, disk.Entry{Name: name, Dir: n.entries[name].isDir()})
	}
	return entries, nil
}

// Mkdir makes a folder.
func (d *Disk) Mkdir(name string) error {
	return d.change("mkdir", name, func(dir *node, base string) error {
		if dir.entries[base] != nil {
			return fs.ErrExist
		}
		child := newFolder()
		child.names = 1
		dir.change(dirOp{to: base, child: child})
		return nil
	})
}

// SyncDir makes the names in a folder durable.
func (d *Disk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.op("sync folder", dir); err != nil {
		return err
	}
	n, err := d.lookup("sync folder", dir)
	if err != nil {
		return err
	}
	if d.failDir > 0 {
		if d.failDir--; d.failDir == 0 {
			return pathError("sync folder", dir, ErrIO)
		}
	}
	n.syncDir()
	return nil
}

// Lock takes a lock, which Crash and Kill drop.
func (d *Disk) Lock(name string) (io.Closer, error) {
	f, err := d.Create(name)
	if errors.Is(err, fs.ErrExist) {
		f, err = d.Open(name)
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f.(*file).n.handles--
	if d.locked[name] {
		return nil, pathError("lock", name, engine.ErrHeld)
	}
	d.locked[name] = true
	return unlocker{d, name}, nil
}

type unlocker struct {
	d    *Disk
	name string
}

func (u unlocker) Close() error {
	u.d.mu.Lock()
	defer u.d.mu.Unlock()
	delete(u.d.locked, u.name)
	return nil
}

// change runs one operation on the folder of name, with its last element. If
// this is the operation that crashes, it may have happened nevertheless.
func (d *Disk) change(op, name string, fn func(dir *node, base string) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	crash := d.op(op, name)
	if crash != nil && (d.ops != d.crashAt || d.rng.IntN(2) == 0) {
		return crash
	}
	dir, err := d.walk(path.Dir(name))
	if err == nil && !dir.isDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = fn(dir, path.Base(name))
	}
	if crash != nil {
		return crash
	}
	if err != nil {
		return pathError(op, name, err)
	}
	return nil
}

// op counts an operation that changes something, and fails if it must.
func (d *Disk) op(op, name string) error {
	if d.crashed {
		return pathError(op, name, ErrCrashed)
	}
	if d.readOnly {
		return pathError(op, name, syscall.EROFS)
	}
	d.ops++
	if d.ops == d.crashAt {
		d.crashed = true
		return pathError(op, name, ErrCrashed)
	}
	return nil
}

// lookup finds what has the name.
func (d *Disk) lookup(op, name string) (*node, error) {
	if d.crashed {
		return nil, pathError(op, name, ErrCrashed)
	}
	n, err := d.walk(name)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	return n, nil
}

func (d *Disk) walk(name string) (*node, error) {
	n := d.root
	for _, elem := range strings.Split(path.Clean("/"+name), "/") {
		if elem == "" {
			continue
		}
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[elem]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// unlinked gives the space of a file back that lost its name, once nobody has
// it open.
func (d *Disk) unlinked(n *node) {
	if n == nil {
		return
	}
	n.names = 0
	d.free(n)
}

func (d *Disk) free(n *node) {
	if n.names == 0 && n.handles == 0 {
		d.used -= int64(len(n.cache))
	}
}

// room returns how many bytes more the disk can hold.
func (d *Disk) room() int64 {
	if d.opt.Capacity == 0 {
		return 1 << 62
	}
	return max(0, d.opt.Capacity-d.used)
}

func pathError(op, name string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
