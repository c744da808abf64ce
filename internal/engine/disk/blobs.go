package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	// writingPrefix marks a blob that is being written. It is no letter of a
	// blob name, so List cannot confuse the two.
	writingPrefix = "~"
	maxBlobName   = 512
	maxBlobElem   = 200
)

// blobStore keeps each blob as a file under DIR/blobs.
type blobStore struct {
	e    *Engine
	root string

	mu      sync.Mutex
	writing map[string]bool // names that a writer holds
	folders map[string]bool // folders known to be durable
}

var _ engine.BlobStore = (*blobStore)(nil)

func newBlobStore(e *Engine) *blobStore {
	return &blobStore{
		e:       e,
		root:    e.path("blobs"),
		writing: make(map[string]bool),
		folders: make(map[string]bool),
	}
}

// Create starts a blob in a file of another name, so that a half-written one
// is never taken for whole. It fails with engine.ErrExists also while another
// writer holds the name.
func (b *blobStore) Create(name string) (engine.BlobWriter, error) {
	if err := checkBlobName(name); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writing[name] {
		return nil, fmt.Errorf("blob %s: %w", name, engine.ErrExists)
	}
	if f, err := b.e.opt.FS.Open(b.file(name)); err == nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", name, engine.ErrExists), f.Close())
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", name, err)
	}
	w := &blobWriter{b: b, name: name}
	if err := w.start(); err != nil {
		w.Abort()
		return nil, w.explain(err)
	}
	b.writing[name] = true
	return w, nil
}

// Open opens the file of the blob.
func (b *blobStore) Open(name string) (engine.Blob, error) {
	if err := checkBlobName(name); err != nil {
		return nil, err
	}
	if b.unfinished(name) {
		return nil, fmt.Errorf("blob %s: %w", name, engine.ErrNotFound)
	}
	f, err := b.e.opt.FS.Open(b.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", name, engine.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blob %s: %w", name, err), f.Close())
	}
	return &blob{f, size}, nil
}

// List walks the folders that can hold such names.
func (b *blobStore) List(prefix string) ([]string, error) {
	var names []string
	err := b.walk("", func(name string, dir bool) (bool, error) {
		if dir {
			return strings.HasPrefix(name+"/", prefix) || strings.HasPrefix(prefix, name+"/"), nil
		}
		temp := strings.HasPrefix(path.Base(name), writingPrefix)
		if strings.HasPrefix(name, prefix) && !temp && !b.unfinished(name) {
			names = append(names, name)
		}
		return true, nil
	})
	slices.Sort(names) // folder by folder is not the order of whole names
	return names, err
}

// Delete removes the file, durably.
func (b *blobStore) Delete(name string) error {
	if err := checkBlobName(name); err != nil {
		return err
	}
	err := b.e.opt.FS.Remove(b.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = b.e.opt.FS.SyncDir(filepath.Dir(b.file(name)))
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", name, err)
	}
	b.e.freed()
	return nil
}

// sweep removes what a crash left half-written, and makes what it left whole
// durable: a process may have died between giving a blob its name and syncing
// the folder, and what is seen from now on must not vanish again.
func (b *blobStore) sweep() error {
	folders := []string{b.e.opt.Dir}
	err := b.walk("", func(name string, dir bool) (bool, error) {
		if dir {
			folders = append(folders, b.file(name))
		} else if strings.HasPrefix(path.Base(name), writingPrefix) {
			return false, b.e.opt.FS.Remove(b.file(name))
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, dir := range append(folders, b.root) {
		if err := b.e.opt.FS.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("blobs: %w", err)
		}
	}
	return nil
}

// walk calls fn for everything below a folder, in order. fn decides about a
// folder whether to go into it.
func (b *blobStore) walk(dir string, fn func(name string, dir bool) (bool, error)) error {
	entries, err := b.e.opt.FS.List(b.file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("blobs: %w", err)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name)
		in, err := fn(name, e.Dir)
		if err == nil && e.Dir && in {
			err = b.walk(name, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unfinished reports whether a writer holds the name. Its file may have got
// the name already, but not durably.
func (b *blobStore) unfinished(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writing[name]
}

// makeFolder makes the folder of a file and those above it, durably.
func (b *blobStore) makeFolder(dir string) error {
	if b.folders[dir] || dir == b.e.opt.Dir {
		return nil
	}
	if err := b.makeFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := b.e.opt.FS.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := b.e.opt.FS.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	b.folders[dir] = true
	return nil
}

func (b *blobStore) file(name string) string {
	return filepath.Join(b.root, filepath.FromSlash(name))
}

func checkBlobName(name string) error {
	elems := strings.Split(name, "/")
	ok := len(elems) >= 2 && len(name) <= maxBlobName
	for _, elem := range elems {
		ok = ok && elem != "" && elem != "." && elem != ".." && len(elem) <= maxBlobElem
	}
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '/' || c == '-')
	}
	if !ok {
		return fmt.Errorf("blob name %.80q: needs a folder and only a-z, 0-9, '.', '-' and '/'", name)
	}
	return nil
}

// blob is an open file that nobody writes any more.
type blob struct {
	File
	size int64
}

func (b *blob) Size() int64 { return b.size }

// blobWriter writes the file of a blob under another name.
type blobWriter struct {
	b        *blobStore
	name     string
	f        File // nil after Commit or Abort
	off      int64
	began    int64 // up to where the file has begun to go to the device
	borrowed bool
	err      error // the first failure; nothing works after it
}

var _ io.Writer = (*blobWriter)(nil)

// temp is the name of the file while it is written. Writers exclude each
// other by blob name, so it is free.
func (w *blobWriter) temp() string {
	dir, base := path.Split(w.name)
	return w.b.file(dir + writingPrefix + base)
}

func (w *blobWriter) start() error {
	create := func() (err error) {
		if err = w.b.makeFolder(filepath.Dir(w.temp())); err == nil {
			w.f, err = w.b.e.opt.FS.Create(w.temp())
		}
		return err
	}
	err := create()
	if w.relieved(err) {
		err = create()
	}
	return err
}

// relieved reports whether err was a full disk and giving up the ballast may
// have helped. It does so once for each writer.
func (w *blobWriter) relieved(err error) bool {
	if !isNoSpace(err) || w.borrowed {
		return false
	}
	w.borrowed = w.b.e.ballast.borrow()
	return w.borrowed
}

// Write appends p. It fails with engine.ErrFull when the disk is full and the
// ballast is used up.
func (w *blobWriter) Write(p []byte) (int, error) {
	if w.f == nil {
		return 0, fs.ErrClosed
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.f.WriteAt(p, w.off)
	if w.relieved(err) {
		var m int
		m, err = w.f.WriteAt(p[n:], w.off+int64(n))
		n += m
	}
	w.off += int64(n)
	if err == nil {
		err = w.writeOut()
	}
	if err != nil {
		w.err = w.explain(err)
	}
	return n, w.err
}

// writeOutBytes is how much of a blob waits in memory at most before it begins
// to go to the device. Were it all left to Commit, syncs of the journal would
// wait behind up to 128 MB.
const writeOutBytes = 1 << 20

// writeOut begins to write what has gathered, and waits for what was begun
// before that.
func (w *blobWriter) writeOut() error {
	n := w.off - w.began
	if n < writeOutBytes {
		return nil
	}
	f, ok := w.f.(interface {
		// WriteOut begins to write n bytes at off to the device, and waits
		// until the n before them are there. It makes nothing durable.
		WriteOut(off, n int64) error
	})
	if !ok {
		return nil
	}
	off := w.began
	w.began = w.off
	return f.WriteOut(off, n)
}

// Commit syncs the file, gives it its name and syncs the folder.
func (w *blobWriter) Commit() error {
	if w.f == nil {
		return fs.ErrClosed
	}
	defer w.Abort()
	if w.err != nil {
		return w.err
	}
	if err := w.f.Sync(); err != nil {
		return w.explain(err)
	}
	target := w.b.file(w.name)
	err := w.b.e.opt.FS.Rename(w.temp(), target)
	if w.relieved(err) {
		err = w.b.e.opt.FS.Rename(w.temp(), target)
	}
	if err != nil {
		return w.explain(err)
	}
	if err := w.b.e.opt.FS.SyncDir(filepath.Dir(target)); err != nil {
		return w.explain(errors.Join(err, w.b.e.opt.FS.Remove(target)))
	}
	return nil
}

// Abort closes the file, removes it if it has not got its name, and frees the
// name for other writers.
func (w *blobWriter) Abort() {
	if w.f != nil {
		if err := w.f.Close(); err != nil {
			w.b.e.opt.Logf("blob %s: close: %v", w.name, err)
		}
		w.f = nil
		if err := w.b.e.opt.FS.Remove(w.temp()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.b.e.opt.Logf("blob %s: remove what was written: %v", w.name, err)
		}
		w.b.mu.Lock()
		delete(w.b.writing, w.name)
		w.b.mu.Unlock()
	}
	if w.borrowed {
		w.borrowed = false
		w.b.e.ballast.repaid()
		w.b.e.freed()
	}
}

func (w *blobWriter) explain(err error) error {
	if err == nil {
		return nil
	}
	if isNoSpace(err) {
		return fmt.Errorf("blob %s: %w: %w", w.name, engine.ErrFull, err)
	}
	return fmt.Errorf("blob %s: %w", w.name, err)
}
