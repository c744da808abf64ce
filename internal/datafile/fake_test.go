package datafile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// journal is the part of a shard that the package uses, in memory.
type journal struct {
	engine.Shard
	mu    sync.Mutex
	files map[engine.FileID][]byte
}

func newJournal() *journal { return &journal{files: make(map[engine.FileID][]byte)} }

func (j *journal) write(id engine.FileID, p []byte) (pos int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	pos = int64(len(j.files[id]))
	j.files[id] = append(j.files[id], p...)
	return pos
}

func (j *journal) ReadAt(id engine.FileID, p []byte, off int64) (int, error) {
	j.mu.Lock()
	b, ok := j.files[id]
	j.mu.Unlock()
	if !ok {
		return 0, engine.ErrNotFound
	}
	return bytes.NewReader(b).ReadAt(p, off)
}

func (j *journal) Trim(ids ...engine.FileID) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range ids {
		delete(j.files, id)
	}
	return nil
}

// dirBlobs is a BlobStore over a folder, without syncing.
type dirBlobs struct{ dir string }

func newBlobs(t testing.TB) dirBlobs { return dirBlobs{t.TempDir()} }

func (d dirBlobs) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d dirBlobs) Create(name string) (engine.BlobWriter, error) {
	path := d.path(name)
	if _, err := os.Stat(path); err == nil {
		return nil, engine.ErrExists
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	f, err := os.Create(path + ".part")
	return &dirWriter{File: f, path: path}, err
}

type dirWriter struct {
	*os.File
	path string
	done bool
}

func (w *dirWriter) Commit() error {
	w.done = true
	return errors.Join(w.Close(), os.Rename(w.path+".part", w.path))
}

func (w *dirWriter) Abort() {
	if !w.done {
		w.done = true
		_ = errors.Join(w.Close(), os.Remove(w.path+".part"))
	}
}

type dirBlob struct {
	*os.File
	size int64
}

func (b dirBlob) Size() int64 { return b.size }

func (d dirBlobs) Open(name string) (engine.Blob, error) {
	f, err := os.Open(d.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, engine.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	return dirBlob{f, st.Size()}, err
}

func (d dirBlobs) List(prefix string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(d.dir, path)
		if name := filepath.ToSlash(rel); strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		return err
	})
	sort.Strings(names)
	return names, err
}

func (d dirBlobs) Delete(name string) error {
	if err := os.Remove(d.path(name)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// change lets fn change a blob that is there.
func (d dirBlobs) change(t testing.TB, name string, fn func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		t.Fatal(err)
	}
	b = fn(b)
	// Another file, as blobs that are open do not change.
	if err := errors.Join(os.Remove(d.path(name)), os.WriteFile(d.path(name), b, 0o666)); err != nil {
		t.Fatal(err)
	}
}

// memBlob is a single blob for fuzz tests.
type memBlobs struct {
	engine.BlobStore
	blobs map[string][]byte
}

type memBlob struct{ *bytes.Reader }

func (memBlob) Close() error { return nil }

func (m memBlobs) Open(name string) (engine.Blob, error) {
	b, ok := m.blobs[name]
	if !ok {
		return nil, engine.ErrNotFound
	}
	return memBlob{bytes.NewReader(b)}, nil
}

// A test batch is base (8 bytes), count (4), length of the rest (4), CRC32C of
// the rest, rest.
const batchHead = 20

func makeBatch(base, count int64, size int, seed byte) []byte {
	b := make([]byte, max(size, batchHead))
	for i := batchHead; i < len(b); i++ {
		b[i] = seed + byte(i)
	}
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(count))
	binary.BigEndian.PutUint32(b[12:], uint32(len(b)-batchHead))
	binary.BigEndian.PutUint32(b[16:], crc32.Checksum(b[batchHead:], castagnoli))
	return b
}

func verifyBatches(e Extent, p []byte) error {
	next := e.Base
	for len(p) > 0 {
		if len(p) < batchHead {
			return io.ErrUnexpectedEOF
		}
		base, count := int64(binary.BigEndian.Uint64(p)), int64(binary.BigEndian.Uint32(p[8:]))
		end := batchHead + int(binary.BigEndian.Uint32(p[12:]))
		if base != next || end > len(p) {
			return fmt.Errorf("batch at offset %d where %d belongs", base, next)
		}
		if binary.BigEndian.Uint32(p[16:]) != crc32.Checksum(p[batchHead:end], castagnoli) {
			return errors.New("bad batch checksum")
		}
		next += count
		p = p[end:]
	}
	if next != e.End() {
		return fmt.Errorf("batches end at offset %d, not %d", next, e.End())
	}
	return nil
}

// splitBatches is Config.Split for test batches; time tells their times.
func splitBatches(time func(log LogID, base int64) int64) func(Extent, []byte) (Extent, error) {
	return func(e Extent, p []byte) (Extent, error) {
		base := int64(binary.BigEndian.Uint64(p))
		return Extent{
			Base: base, Count: int64(binary.BigEndian.Uint32(p[8:])),
			Bytes: batchHead + int64(binary.BigEndian.Uint32(p[12:])), MaxTime: time(e.Log, base),
		}, nil
	}
}

// fataler is what *testing.T, *testing.B and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(...any)
}

// collect reads all that is left of an iterator and closes it.
func collect(t fataler, it *Iter) []Place {
	t.Helper()
	defer it.Close()
	var all []Place
	for it.Next() {
		all = append(all, it.Place())
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
