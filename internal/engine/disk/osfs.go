package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// osFS is the file system of the operating system.
type osFS struct{}

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

func (osFS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return openFile(name, os.O_RDWR) }

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Mkdir(name string) error      { return os.Mkdir(name, 0o750) }

func (osFS) List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(found))
	for i, e := range found {
		entries[i] = Entry{Name: e.Name(), Dir: e.IsDir()}
	}
	return entries, nil
}

func (osFS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// Lock takes advisory locks, on the file and on the folder that it lies in,
// which the kernel drops when the process ends, however it ends. The folder's
// still holds when somebody has removed the file. The process id in the file is
// only for the message.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		f.Close()
		return nil, err
	}
	l := folderLock{file: f, dir: dir}
	if err := l.take(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// folderLock is a lock that is held.
type folderLock struct{ file, dir *os.File }

func (l folderLock) take() error {
	err := flock(l.file)
	if err == nil {
		err = flock(l.dir)
		// Not every file system locks folders; then the file must do.
		if errors.Is(err, unix.EBADF) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
			err = nil
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return heldBy(l.file)
	}
	if err != nil {
		return err
	}
	return writePID(l.file)
}

// Close drops the lock.
func (l folderLock) Close() error { return errors.Join(l.file.Close(), l.dir.Close()) }

func flock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

func heldBy(f *os.File) error {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0) // the number only serves the message
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return engine.ErrHeld
	}
	return fmt.Errorf("%w (pid %d)", engine.ErrHeld, pid)
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	if isNoSpace(err) {
		return nil // a full disk must not keep the process from starting
	}
	return err
}

// osFile is a file of the operating system.
type osFile struct {
	f *os.File
	osFileExtra
}

func (o osFile) ReadAt(p []byte, off int64) (int, error)  { return o.f.ReadAt(p, off) }
func (o osFile) WriteAt(p []byte, off int64) (int, error) { return o.f.WriteAt(p, off) }
func (o osFile) Truncate(size int64) error                { return o.f.Truncate(size) }

func (o osFile) Size() (int64, error) {
	info, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
