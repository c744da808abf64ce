package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	defaultFileBytes = 128 << 20
	minFileBytes     = 32 << 10
	maxFileBytes     = 4<<30 - pageBytes // what an index can point into
	softSlotBytes    = 4 << 20
	// firstFileBytes is the length of the first file of an epoch, which is
	// filled while the caller waits for the start.
	firstFileBytes = 32 << 20
	maxReserve     = 16 << 20
)

// Options say where and how an engine stores. Only Dir is needed.
type Options struct {
	Dir string
	// FS is where Dir lies; nil means the file system of the operating system.
	FS FS
	// FileBytes is the length of a journal file; 0 means 128 MiB. It also
	// limits a slot, which must fit a file.
	FileBytes int64
	// Rand gives the salts of journal files; nil means crypto/rand.
	Rand io.Reader
	// Synchronous does everything inside the calls and starts no goroutine,
	// so that a run can be repeated exactly. A full disk is then tried again
	// whenever Full or Append is called.
	Synchronous bool
	// Logf gets a line for each event that an operator should know of; nil
	// drops them.
	Logf func(format string, args ...any)
}

// Engine is an engine.Engine over a folder.
type Engine struct {
	opt     Options
	traits  engine.Traits
	reserve int64 // bytes of the open file kept for Append with reserve
	lock    io.Closer
	blobs   *blobStore
	ballast *ballast

	mu     sync.Mutex // guards what follows
	shards []*shard   // claimed, in the order of their claims
	closed bool

	randMu sync.Mutex
}

var _ engine.Engine = (*Engine)(nil)

// Open opens the folder for this process alone, and creates it if need be.
// It fails with engine.ErrNewer if a newer version wrote the folder and with
// engine.ErrHeld if another process has it; the text names the folder, the
// versions and the process.
func Open(opt Options) (*Engine, error) {
	if err := opt.complete(); err != nil {
		return nil, err
	}
	e := &Engine{opt: opt, traits: opt.traits()}
	e.reserve = e.traits.ReserveBytes
	lock, err := openFolder(opt.FS, opt.Dir)
	if err != nil {
		return nil, err
	}
	e.lock = lock
	e.ballast = &ballast{fs: opt.FS, dir: opt.Dir, bytes: min(16<<20, opt.FileBytes/8), logf: opt.Logf}
	e.blobs = newBlobStore(e)
	if err := errors.Join(e.blobs.sweep(), e.ballast.open()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

// complete fills in the defaults and refuses what makes no sense.
func (o *Options) complete() error {
	if o.Dir == "" {
		return errors.New("data folder: no path given")
	}
	o.Dir = filepath.Clean(o.Dir) // paths are compared with it
	if o.FS == nil {
		o.FS = OS()
	}
	if o.FileBytes == 0 {
		o.FileBytes = defaultFileBytes
	}
	if o.FileBytes < minFileBytes || o.FileBytes > maxFileBytes {
		return fmt.Errorf("journal files of %d bytes: must be between %d and %d",
			o.FileBytes, int64(minFileBytes), int64(maxFileBytes))
	}
	o.FileBytes = (o.FileBytes + pageBytes - 1) &^ (pageBytes - 1)
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	return nil
}

func (o *Options) traits() engine.Traits {
	hard := min(maxSlotBytes, o.FileBytes-2*pageBytes)
	return engine.Traits{
		SlotBytesSoft: min(softSlotBytes, o.FileBytes/16), // what is pending fits a file, several times
		SlotBytesMax:  hard,
		Linger:        0,
		Pipeline:      1,
		ReserveBytes:  min(maxReserve, o.FileBytes/4),
	}
}

// Traits returns the limits that follow from the length of a journal file.
func (e *Engine) Traits() engine.Traits { return e.traits }

// Blobs returns the blobs of the folder.
func (e *Engine) Blobs() engine.BlobStore { return e.blobs }

// Close gives the folder up. It refuses while a shard is claimed.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	if len(e.shards) > 0 {
		return fmt.Errorf("%s: shard %d is still claimed", e.opt.Dir, e.shards[0].id)
	}
	e.closed = true
	return e.lock.Close()
}

// freed is called when space may have become free. Journals go before ballast.
func (e *Engine) freed() {
	e.mu.Lock()
	shards := append([]*shard(nil), e.shards...)
	e.mu.Unlock()
	for _, s := range shards {
		s.keeper.retry()
		if s.keeper.starved() {
			return
		}
	}
	e.ballast.restore()
}

// random returns 64 random bits.
func (e *Engine) random() (uint64, error) {
	e.randMu.Lock()
	defer e.randMu.Unlock()
	var b [8]byte
	if _, err := io.ReadFull(e.opt.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("random bits: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func (e *Engine) path(elem ...string) string {
	return filepath.Join(append([]string{e.opt.Dir}, elem...)...)
}
