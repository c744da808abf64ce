package disk

import (
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
)

// ballast is a file of no content whose space is given up when a blob meets a
// full disk: without a checkpoint nothing could be trimmed, and without
// trimming nothing would ever become free.
type ballast struct {
	fs    FS
	dir   string
	bytes int64
	logf  func(format string, args ...any)

	mu      sync.Mutex // guards what follows, and the file
	there   bool
	borrows int // blob writers that live on its space
}

func (b *ballast) name() string { return filepath.Join(b.dir, "ballast") }

// open finds or creates the file. A full disk is no error.
func (b *ballast) open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, err := b.fs.Open(b.name())
	if err == nil {
		size, sizeErr := f.Size()
		if err := errors.Join(sizeErr, f.Close()); err != nil {
			return err
		}
		b.there = size == b.bytes
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if b.there {
		return nil
	}
	err = b.create()
	if isNoSpace(err) {
		return nil
	}
	return err
}

// borrow gives the space up for a blob writer, which must call repaid when it
// is done. It reports whether there was any space to give.
func (b *ballast) borrow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.there {
		if err := b.drop(); err != nil {
			b.logf("ballast cannot be given up: %v", err)
			return false
		}
		b.logf("disk full: ballast of %d bytes given up for a blob", b.bytes)
	} else if b.borrows == 0 {
		return false
	}
	b.borrows++
	return true
}

// repaid ends a borrow.
func (b *ballast) repaid() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.borrows--
}

// lent reports whether a blob writer needs the space more than others do.
func (b *ballast) lent() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.borrows > 0
}

// release gives the space up for good, for the start on a full disk. It
// reports whether there was any.
func (b *ballast) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there && b.drop() == nil
}

// restore creates the file again if it is missing and there is room.
func (b *ballast) restore() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.there || b.borrows > 0 {
		return
	}
	if err := b.create(); err != nil && !isNoSpace(err) {
		b.logf("ballast cannot be created: %v", err)
	}
}

func (b *ballast) drop() error {
	if err := b.fs.Remove(b.name()); err != nil {
		return err
	}
	b.there = false
	// Some file systems free space only when the removal is durable.
	return b.fs.SyncDir(b.dir)
}

func (b *ballast) create() error {
	if err := b.fs.Remove(b.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := b.fs.Create(b.name())
	if err != nil {
		return err
	}
	err = f.Preallocate(b.bytes)
	if err == nil {
		err = fillZeros(f, 0, b.bytes, nil, nil)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, b.fs.Remove(b.name()))
	}
	b.there = true
	return nil
}
