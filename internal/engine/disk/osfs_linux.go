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
