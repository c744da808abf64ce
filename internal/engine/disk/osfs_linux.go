package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Sync writes data and length, but not the time of change: on a file that was
// filled ahead this costs no commit of the file system's own journal.
func (o osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(o.f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return pathError("fdatasync", o.f, err)
		}
	}
}

// WriteOut begins to write n bytes at off to the device, and waits until the n
// before them are there. It makes nothing durable: Sync does.
func (o osFile) WriteOut(off, n int64) error {
	if err := o.syncRange(off, n, unix.SYNC_FILE_RANGE_WRITE); err != nil {
		return err
	}
	if off < n {
		return nil
	}
	return o.syncRange(off-n, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
}

func (o osFile) syncRange(off, n int64, flags int) error {
	for {
		err := unix.SyncFileRange(int(o.f.Fd()), off, n, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			return nil
		}
		return pathError("sync_file_range", o.f, err)
	}
}

// Preallocate takes the space in one go, so that a full disk shows before
// anything is written.
func (o osFile) Preallocate(size int64) error {
	for {
		err := unix.Fallocate(int(o.f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return nil
		}
		return pathError("fallocate", o.f, err)
	}
}

func pathError(op string, f *os.File, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}
