package disk

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	// keeperRetry is how long a keeper waits after it could not prepare a file.
	keeperRetry = time.Second
	// keeperRest is how long it rests after each chunk when nothing presses,
	// so that the syncs of the journal find the device free.
	keeperRest = 20 * time.Millisecond
)

var errStopped = errors.New("stopped")

// keeper keeps one empty journal file ahead of need, the spare. Its goroutine
// runs from start to stop; in synchronous mode there is none, and ensure does
// the work.
type keeper struct {
	s *shard

	kick    chan struct{} // something changed: look again
	quit    chan struct{} // closed by stop
	stopped chan struct{} // closed when the goroutine has ended

	attempt sync.Mutex // held while a file is prepared

	mu      sync.Mutex
	running bool
	spare   *journalFile  // nil while there is none
	err     error         // why the last attempt failed; nil if it did not
	changed chan struct{} // closed when an attempt has ended, and replaced
	urgent  bool          // an Append waits
	prev    engine.FileID // the file that the spare follows
	nextID  engine.FileID
	full    *journalFile // the file before prev, whose unused end is to be cut
}

func newKeeper(s *shard) *keeper {
	return &keeper{
		s:       s,
		kick:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
		changed: make(chan struct{}),
	}
}

// start begins to keep a spare that follows the open file.
func (k *keeper) start(open engine.FileID) {
	k.mu.Lock()
	k.prev, k.nextID, k.running = open, open+1, true
	k.mu.Unlock()
	if k.s.e.opt.Synchronous {
		k.ensure()
		return
	}
	go k.run()
}

// stop ends the goroutine and closes the spare, which stays in the folder
// until the next recovery.
func (k *keeper) stop() error {
	k.mu.Lock()
	running := k.running
	k.running = false
	k.mu.Unlock()
	if !running {
		return nil
	}
	close(k.quit)
	if !k.s.e.opt.Synchronous {
		<-k.stopped
	}
	k.attempt.Lock() // in synchronous mode another goroutine may be at it
	defer k.attempt.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spare == nil {
		return nil
	}
	return k.spare.handle.Close()
}

func (k *keeper) run() {
	defer close(k.stopped)
	for {
		k.ensure()
		retry := time.NewTimer(keeperRetry)
		if !k.lacking() {
			retry.Stop()
		}
		select {
		case <-k.quit:
			retry.Stop()
			return
		case <-k.kick:
		case <-retry.C:
		}
		retry.Stop()
	}
}

// ensure makes one attempt to prepare the spare if there is none, and cuts
// the file that became full.
func (k *keeper) ensure() {
	k.attempt.Lock()
	defer k.attempt.Unlock()
	k.mu.Lock()
	full, id, prev := k.full, k.nextID, k.prev
	k.full = nil
	need := k.spare == nil && k.running && !errors.Is(k.err, errNamed)
	k.mu.Unlock()
	if full != nil {
		k.s.cut(full)
	}
	if !need {
		return
	}
	spare, err := k.prepare(id, prev)
	k.mu.Lock()
	if err != nil && k.err == nil && !errors.Is(err, errStopped) {
		k.s.e.opt.Logf("shard %d: next journal file: %v", k.s.id, err)
	}
	k.spare, k.err, k.urgent = spare, err, false
	k.nextID = id + 1 // even a failed attempt may have left a file
	close(k.changed)
	k.changed = make(chan struct{})
	k.mu.Unlock()
	if err == nil {
		k.s.e.ballast.restore()
	}
}

// prepare makes the file, unless a blob writer needs the space more.
func (k *keeper) prepare(id, prev engine.FileID) (*journalFile, error) {
	if k.s.e.ballast.lent() {
		return nil, errLent
	}
	d, err := k.s.nextDraft(id, prev)
	if err != nil {
		return nil, err
	}
	if !k.s.e.opt.Synchronous {
		d.pace, d.used = k.pace, k.s.used()
	}
	return d.prepare(k.s.e.opt.FS, k.s.dir)
}

// pace rests between chunks, unless the spare is behind: it is to be ready
// when three quarters of what the open file offers are used. Where the journal is
// so quick that filling would take its bandwidth, it ends the filling.
func (k *keeper) pace(f *fill) (next int64, err error) {
	k.mu.Lock()
	urgent := k.urgent
	k.mu.Unlock()
	used := k.s.used()
	if f.reserved && (urgent || f.outrun(used, time.Now(), k.s.e.opt.FileBytes)) {
		return 0, errFilledEnough
	}
	if urgent || float64(f.done) < used*4/3*float64(k.s.e.opt.FileBytes) {
		select {
		case <-k.quit:
			return 0, errStopped
		default:
			return fillChunkUrgent, nil
		}
	}
	rest := time.NewTimer(keeperRest)
	defer rest.Stop()
	select {
	case <-k.quit:
		return 0, errStopped
	case <-rest.C:
		return fillChunk, nil
	}
}

// wait returns the spare, or why there is none. It waits for an attempt that
// is under way, but not for another after one that failed.
func (k *keeper) wait() (*journalFile, error) {
	if k.s.e.opt.Synchronous {
		k.ensure()
	}
	for {
		k.mu.Lock()
		spare, err, changed := k.spare, k.err, k.changed
		k.urgent = k.urgent || spare == nil
		k.mu.Unlock()
		if spare != nil || err != nil {
			return spare, err
		}
		<-changed
	}
}

// ready reports whether there is a spare now.
func (k *keeper) ready() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spare != nil
}

// lacking reports whether the last attempt failed.
func (k *keeper) lacking() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spare == nil && k.err != nil
}

// starved reports whether there is no spare because the disk is full.
func (k *keeper) starved() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.spare == nil && outOfSpace(k.err)
}

// taken says that the spare has become the open file after full. The next
// spare is prepared, in synchronous mode before taken returns.
func (k *keeper) taken(full *journalFile) {
	k.mu.Lock()
	k.prev, k.spare, k.full = k.spare.file, nil, full
	k.mu.Unlock()
	k.retry()
}

// retry looks for space again.
func (k *keeper) retry() {
	if k.s.e.opt.Synchronous {
		k.ensure()
		return
	}
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// errLent is a full disk in disguise.
var errLent = errors.New("a blob is being written in the last free space")

// outOfSpace reports whether no file can be made for now: the disk is full, or
// the process has no file descriptor left. Both pass, and the keeper tries
// again.
func outOfSpace(err error) bool {
	return isNoSpace(err) || errors.Is(err, errLent) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
