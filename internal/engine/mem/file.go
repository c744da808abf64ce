package mem

import (
	"io"
	"io/fs"
	"syscall"
)

// file is an open file.
type file struct {
	d      *Disk
	n      *node
	name   string
	closed bool
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, syscall.EINVAL)
	}
	if off >= int64(len(f.n.cache)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.cache[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes into the cache. On a full disk it writes what fits. When the
// disk crashes in it, it writes any first part.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable("write"); err != nil {
		return 0, err
	}
	crash := f.d.op("write", f.name)
	if crash != nil {
		if f.d.ops == f.d.crashAt {
			f.n.write(p[:f.d.rng.IntN(len(p)+1)], off)
		}
		return 0, crash
	}
	grow := max(0, off+int64(len(p))-int64(len(f.n.cache)))
	if room := f.d.room(); grow > room {
		n := int64(len(p)) - (grow - room)
		if n <= 0 {
			return 0, pathError("write", f.name, syscall.ENOSPC)
		}
		f.d.used += room
		f.n.write(p[:n], off)
		return int(n), pathError("write", f.name, syscall.ENOSPC)
	}
	f.d.used += grow
	f.n.write(p, off)
	return len(p), nil
}

// Sync makes the content durable. A sync that fails keeps any part, and
// forgets that the rest is not on the disk: the next one succeeds, and reads
// still see everything, as on Linux.
func (f *file) Sync() error {
	if f.d.opt.BeforeSync != nil {
		f.d.opt.BeforeSync(f.name)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable("sync"); err != nil {
		return err
	}
	if err := f.d.op("sync", f.name); err != nil {
		return err
	}
	if f.d.failSync > 0 {
		if f.d.failSync--; f.d.failSync == 0 {
			f.n.stored = f.n.lose(f.d.rng)
			f.n.writes = nil
			return pathError("sync", f.name, ErrIO)
		}
	}
	f.n.sync()
	return nil
}

func (f *file) Truncate(size int64) error {
	return f.setSize("truncate", size)
}

// Preallocate extends the file, or fails without changing it.
func (f *file) Preallocate(size int64) error {
	f.d.mu.Lock()
	have := int64(len(f.n.cache))
	f.d.mu.Unlock()
	return f.setSize("preallocate", max(size, have))
}

func (f *file) setSize(op string, size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable(op); err != nil {
		return err
	}
	if err := f.d.op(op, f.name); err != nil {
		return err
	}
	grow := size - int64(len(f.n.cache))
	if grow > f.d.room() {
		return pathError(op, f.name, syscall.ENOSPC)
	}
	f.d.used += grow
	f.n.resize(size)
	return nil
}

func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.usable("size"); err != nil {
		return 0, err
	}
	return int64(len(f.n.cache)), nil
}

func (f *file) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	f.n.handles--
	f.d.free(f.n)
	return nil
}

func (f *file) usable(op string) error {
	if f.d.crashed {
		return pathError(op, f.name, ErrCrashed)
	}
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}
