// Package engine is the seam between Waxwing and the place where its bytes
// become durable. Everything above this package (journal, data files, broker)
// is the same for a folder on one machine and, later, for a bucket.
//
// A shard's log is a sequence of slots. A slot is what one durable write
// carries: it survives a crash whole or not at all. The engine numbers,
// chains, checksums, places and recovers slots; what stands inside a slot's
// head and data is the journal's business and opaque here.
//
// Implementations: engine/disk (a folder), engine/mem (the same code over a
// file system in memory that can lose power). All pass engine/enginetest.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ShardID numbers a shard, from 0.
type ShardID uint32

// Epoch counts the claims of a shard, from 1. Each process that claims a
// shard writes under an epoch of its own, greater than every earlier one.
type Epoch uint32

// SlotNo numbers the slots of a shard, from 1, without gaps, across epochs.
// Zero means "before the first slot".
type SlotNo uint64

// FileID names a file that holds slots. Within a shard the ids of journal
// files grow and are never used twice. Zero is no file.
type FileID uint64

// Slot is one recovered or appended slot.
type Slot struct {
	No      SlotNo
	Epoch   Epoch
	File    FileID
	Off     int64  // where the slot starts in File, in bytes
	DataOff int64  // where the slot's data starts in File, in bytes
	DataLen int64  // length of the data, in bytes
	End     int64  // where the next slot of File would start, in bytes
	Head    []byte // valid during the callback that delivers it; nil in an Append result
}

// Traits are the facts of an engine that the journal tunes itself by.
type Traits struct {
	// SlotBytesSoft is the size (head plus data) at which a slot should be
	// closed. One command may exceed it.
	SlotBytesSoft int64
	// SlotBytesMax is the hard limit for head plus data of one slot.
	SlotBytesMax int64
	// Linger is how long an open slot waits for company after somebody
	// waits for it.
	Linger time.Duration
	// Pipeline is how many slots may be in flight at once.
	Pipeline int
	// ReserveBytes is how much of the space is kept for Append with reserve
	// when the disk is full.
	ReserveBytes int64
}

// Engine holds the shards and blobs of one Waxwing node.
type Engine interface {
	// Claim takes the shard for this process under a new epoch. It fails
	// with ErrHeld if another process has it and with ErrNewer if a newer
	// version wrote it; the error text names the place. A shard that does
	// not exist yet is created, empty. Each shard is claimed at most once
	// at a time.
	Claim(ctx context.Context, id ShardID) (Shard, error)

	// Blobs is where checkpoints, indexes and rewritten data files live.
	Blobs() BlobStore

	Traits() Traits

	// Close releases everything. Shards must have been released before.
	Close() error
}

// Shard is one claimed shard. Recover must be called once before Append.
// Append has one caller at a time; everything else may be called from any
// goroutine.
type Shard interface {
	Epoch() Epoch

	// Recover finds the end of the log, makes everything up to it durable
	// under the new epoch, and calls fn for each slot with a number above
	// after, in order. A torn tail is cut. Damage (a bad slot which has a
	// valid successor, a gap, a missing file) returns an *ErrDamaged; a
	// newer format returns ErrNewer. An error of fn stops it and is
	// returned. After any error, what fn was given must not be served.
	// Slots at or below after may have been trimmed; a log that ends before
	// after is damaged.
	// The Slot that fn sees says where its bytes are now, that is, after
	// the tail has been written again.
	Recover(ctx context.Context, after SlotNo, fn func(Slot) error) error

	// Append writes the next slot: head, then the concatenation of data.
	// The ticket completes once the slot is durable or has failed. After
	// a failure the shard accepts nothing more: every later Append fails
	// with the same error, and the process is expected to exit. The
	// exceptions are ErrFull and ErrTooLarge, which write nothing and leave
	// the shard usable. head and data may be reused as soon as the ticket
	// completes.
	//
	// reserve says that the slot may use the reserve that is kept for
	// acknowledgements, deletions and retention when the disk is full.
	Append(head []byte, data [][]byte, reserve bool) Ticket

	// Full reports whether an Append without reserve would fail with
	// ErrFull now. It is cheap and may be asked before each command.
	Full() bool

	// Room is how many bytes of slots can be appended, with reserve, into
	// space that is there already. It is cheap and may be asked before each
	// command.
	Room() int64

	// Scarce reports whether the next file cannot be had for lack of space, so
	// that Room will not grow before somebody makes some. It is as cheap.
	Scarce() bool

	// Await waits until it is known whether the next file can be had, if that
	// is being tried: until then Scarce is false, and Room may be little.
	Await()

	// Scan calls fn for each durable slot with a number in (after, upTo],
	// reading heads only, while appends go on. It is how checkpoints are
	// made. The files that hold these slots must not have been trimmed.
	Scan(ctx context.Context, after, upTo SlotNo, fn func(Slot) error) error

	// Files lists the journal files, oldest first, the open one last. A file
	// is listed once it holds a durable slot; the open one also if the shard
	// has none at all.
	Files() []FileInfo

	// ReadAt fills p from the journal file at off, as io.ReaderAt does. It
	// fails with ErrNotFound when the file has been trimmed. A read that
	// began before the trim completes.
	ReadAt(file FileID, p []byte, off int64) (int, error)

	// Trim deletes journal files for good and gives their space back. The
	// open file is refused.
	Trim(files ...FileID) error

	// Release ends the claim. Slots in flight are completed first.
	Release() error
}

// FileInfo describes one journal file.
type FileInfo struct {
	ID    FileID
	First SlotNo // number of its first slot; 0 if it has none yet
	Last  SlotNo // number of its last durable slot; 0 if it has none yet
	Bytes int64  // bytes in use
	Open  bool   // slots are still being appended
}

// Ticket is the outcome of an Append.
type Ticket interface {
	// Wait blocks until the slot is durable or has failed and returns
	// where it is. It may be called several times.
	Wait() (Slot, error)
}

// BlobStore holds immutable named objects. Names are made of [a-z0-9./-] and
// contain at least one folder ("0000/checkpoint/0000000000000042").
// All methods may be called from any goroutine.
type BlobStore interface {
	// Create starts a blob. It fails with ErrExists if the name is taken.
	// Nothing is visible under the name until Commit of the writer has
	// returned nil, and then the whole blob is durable.
	Create(name string) (BlobWriter, error)
	// Open fails with ErrNotFound if there is no such blob.
	Open(name string) (Blob, error)
	// List returns the names that start with prefix, sorted.
	List(prefix string) ([]string, error)
	// Delete removes the blob; deleting what is not there is no error.
	// Open blobs stay readable until they are closed.
	Delete(name string) error
}

// BlobWriter writes a blob from front to back.
type BlobWriter interface {
	io.Writer
	// Commit makes the blob durable under its name and closes the writer.
	Commit() error
	// Abort drops what was written. After Commit it does nothing.
	Abort()
}

// Blob is an open blob.
type Blob interface {
	io.ReaderAt
	Size() int64
	Close() error
}

// The kinds of failure of an engine. They are wrapped with the place and what
// to do about it; test with errors.Is.
var (
	ErrHeld     = errors.New("held by another process")
	ErrNewer    = errors.New("written by a newer version of Waxwing")
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrFull     = errors.New("no space left")
	ErrTooLarge = errors.New("slot too large")
	ErrReleased = errors.New("shard released")
)

// ErrDamaged says that stored bytes are not what was written. It is never
// repaired silently.
type ErrDamaged struct {
	Path   string // file or blob
	Off    int64  // offset in bytes
	Reason string // what is wrong; not what to do
	Advice string // what to do; "": DamageAdvice
}

// DamageAdvice is what can be done about nearly all damage.
const DamageAdvice = "restore the folder from a backup"

// Error says what is wrong, and what to do.
func (e *ErrDamaged) Error() string { return e.Fault() + "; " + cmp.Or(e.Advice, DamageAdvice) }

// Fault says what is wrong, for damage about which nobody has to do anything.
func (e *ErrDamaged) Fault() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s", e.Path, e.Off, e.Reason)
}
