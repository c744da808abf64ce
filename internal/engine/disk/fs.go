package disk

import (
	"errors"
	"io"
	"syscall"
)

// FS is what the engine needs of a file system. OS returns the real one;
// package mem has one in memory that loses power and fails on demand.
// Errors are tested with fs.ErrExist, fs.ErrNotExist and syscall.ENOSPC.
type FS interface {
	// Create makes a file that must not exist yet, open for reading and writing.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Rename gives a file another name in the same folder, replacing what has it.
	Rename(from, to string) error
	// Remove deletes a file. Those who have it open keep it.
	Remove(name string) error
	// List returns what is in a folder, sorted by name.
	List(dir string) ([]Entry, error)
	// Mkdir makes a folder that must not exist yet.
	Mkdir(name string) error
	// SyncDir makes creations, renames and removals in a folder durable.
	SyncDir(dir string) error
	// Lock takes the lock file for this process, creating it if need be. It
	// fails with an error that wraps engine.ErrHeld if another has it.
	Lock(name string) (io.Closer, error)
}

// Entry is one thing in a folder.
type Entry struct {
	Name string // without the folder
	Dir  bool
}

// File is an open file. Its methods may be called from any goroutine.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes what was written durable: content and length, not the name.
	Sync() error
	// Truncate changes the length in bytes.
	Truncate(size int64) error
	// Preallocate makes the file size bytes long and takes the space for it,
	// or fails with syscall.ENOSPC. A file system that cannot do it may do
	// nothing.
	Preallocate(size int64) error
	// Size is the length in bytes.
	Size() (int64, error)
	Close() error
}

// isNoSpace reports whether err says that the file system is full.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// readFull fills p from off, or fails. A file that ends before is io.ErrUnexpectedEOF.
func readFull(f io.ReaderAt, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
