package datafile

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// store reads blobs. It keeps the ones used last open, up to a number, and
// their index pages in a cache.
type store struct {
	blobs engine.BlobStore
	cache *pageCache
	keys  atomic.Uint64 // last idx.key given out

	mu   sync.Mutex
	max  int
	tick uint64 // grows with each use
	open map[string]*handle
}

// handle is an open blob. The table holds one reference, each reader another.
type handle struct {
	blob engine.Blob
	refs int
	used uint64
}

func newStore(blobs engine.BlobStore, cacheBytes int64, openMax int) *store {
	return &store{blobs: blobs, cache: newPageCache(cacheBytes), max: openMax, open: make(map[string]*handle)}
}

// acquire opens a blob, or finds it open. fresh, if not nil, is called with a
// blob that has just been opened.
func (s *store) acquire(name string, fresh func(engine.Blob) error) (*handle, error) {
	s.mu.Lock()
	if h := s.open[name]; h != nil {
		s.use(h)
		s.mu.Unlock()
		return h, nil
	}
	s.mu.Unlock()
	blob, err := s.blobs.Open(name)
	if err != nil {
		return nil, err
	}
	if fresh != nil {
		if err := fresh(blob); err != nil {
			return nil, errors.Join(err, blob.Close())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.open[name]; h != nil { // somebody else was faster
		s.use(h)
		return h, blob.Close()
	}
	s.makeRoom()
	h := &handle{blob: blob, refs: 1}
	s.use(h)
	s.open[name] = h
	return h, nil
}

func (s *store) use(h *handle) {
	s.tick++
	h.used = s.tick
	h.refs++
}

// makeRoom closes the blob that was not used for longest when too many are
// open. Closing a blob that was only read cannot lose anything.
func (s *store) makeRoom() {
	if len(s.open) < s.max {
		return
	}
	var oldest string
	used := ^uint64(0)
	for name, h := range s.open {
		if h.used < used {
			oldest, used = name, h.used
		}
	}
	s.drop(oldest)
}

// drop takes a blob out of the table; its last reader closes it.
func (s *store) drop(name string) {
	if h := s.open[name]; h != nil {
		delete(s.open, name)
		s.release(h)
	}
}

func (s *store) release(h *handle) {
	if h.refs--; h.refs == 0 {
		_ = h.blob.Close() // only read, so nothing is lost
	}
}

// forget closes a blob that is deleted or written anew.
func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(name)
}

// close closes all blobs that nobody reads.
func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.open {
		s.drop(name)
	}
}

func (s *store) with(name string, fresh func(engine.Blob) error, fn func(engine.Blob) error) error {
	h, err := s.acquire(name, fresh)
	if err != nil {
		return err
	}
	err = fn(h.blob)
	s.mu.Lock()
	s.release(h)
	s.mu.Unlock()
	return err
}

func (s *store) size(name string) (size int64, err error) {
	err = s.with(name, nil, func(b engine.Blob) error {
		size = b.Size()
		return nil
	})
	return size, err
}

// read fills p from the blob at off.
func (s *store) read(name string, p []byte, off int64) error {
	return s.with(name, nil, func(b engine.Blob) error { return readFull(b, name, p, off) })
}

// readIdx fills p from an .idx that was opened before. The blob may have been
// closed since, and written anew.
func (s *store) readIdx(x *idx, p []byte, off int64) error {
	same := func(b engine.Blob) error { return x.isStill(b) }
	return s.with(x.name, same, func(b engine.Blob) error { return readFull(b, x.name, p, off) })
}

// isStill checks that b has the trailer that x was opened with.
func (x *idx) isStill(b engine.Blob) error {
	var sum [4]byte
	if b.Size() < pageBytes {
		return damaged(x.name, 0, "it has been cut since it was opened")
	}
	if err := readFull(b, x.name, sum[:], b.Size()-pageBytes); err != nil {
		return err
	}
	if le.Uint32(sum[:]) != x.sum {
		return damaged(x.name, b.Size()-pageBytes, "it has changed since it was opened")
	}
	return nil
}

func readFull(b engine.Blob, name string, p []byte, off int64) error {
	n, err := b.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged(name, off, "%d bytes should be here, the blob ends after %d", len(p), n)
	}
	return fmt.Errorf("reading %s at %d: %w", name, off, err)
}
