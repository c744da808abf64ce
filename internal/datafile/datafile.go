// Package datafile knows where the bytes of a log lie, and moves them.
//
// A log is a partition or a queue. Its batches lie in files: journal files,
// written by the engine in the order of arrival, and rewritten files, written
// here, sorted by log. An Index maps (log, offset) to the place in a file. It
// keeps the extents of files that are still written in RAM; those of a closed
// file stand in an .idx blob beside it, and RAM keeps one line per log and
// file. The Index also counts live and dead bytes and rewrites files that are
// mostly dead.
//
// Nothing here is state of the broker: all of it can be made again from the
// heads of the slots and from the rewritten files themselves.
//
// See DESIGN.md for the why, and docs/format for the bytes.
package datafile

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// LogID names a partition or a queue. It is unique in a shard and never used
// twice.
type LogID uint64

// Extent is a run of whole record batches of one log that lie one after the
// other in one file.
type Extent struct {
	Log     LogID
	Base    int64 // first offset
	Count   int64 // offsets covered; the log goes on at Base+Count or, after compaction, above
	Pos     int64 // where the run starts in its file, in bytes
	Bytes   int64 // length of the run
	MaxTime int64 // largest timestamp in the run, in ms
}

// End is the first offset above the extent.
func (e Extent) End() int64 { return e.Base + e.Count }

// Place is an extent and the file that it lies in.
type Place struct {
	File engine.FileID
	Extent
}

// Limits of what an Index takes.
const (
	// MaxFileBytes is the largest file whose extents can be indexed.
	MaxFileBytes = math.MaxUint32
	// MaxExtentCount is how many offsets one extent may cover.
	MaxExtentCount = math.MaxUint32
)

// check says what is wrong with an extent that cannot be indexed.
func (e Extent) check() error {
	switch {
	case e.Base < 0 || e.Count < 1 || e.Count > MaxExtentCount || e.Base > math.MaxInt64-e.Count:
		return fmt.Errorf("log %d: an extent of %d offsets from %d is out of bounds", e.Log, e.Count, e.Base)
	case e.Pos < 0 || e.Bytes < 1 || e.Bytes > MaxFileBytes || e.Pos > MaxFileBytes-e.Bytes:
		return fmt.Errorf("log %d, offset %d: %d bytes at position %d are out of bounds", e.Log, e.Base, e.Bytes, e.Pos)
	}
	return nil
}

// rewrittenBit marks the ids of rewritten files; the engine numbers journal
// files far below it.
const rewrittenBit engine.FileID = 1 << 63

// RewrittenFile is the id of rewritten file n. The numbers are the caller's,
// part of its durable state, and never used twice in a shard.
func RewrittenFile(n uint64) engine.FileID { return rewrittenBit | engine.FileID(n) }

// IsRewritten reports whether id names a rewritten file, and not a journal file.
func IsRewritten(id engine.FileID) bool { return id&rewrittenBit != 0 }

func folder(shard engine.ShardID, kind string) string {
	return fmt.Sprintf("%04x/%s/", uint32(shard), kind)
}

func dataName(shard engine.ShardID, id engine.FileID) string {
	return fmt.Sprintf("%s%016x", folder(shard, "data"), uint64(id))
}

func idxName(shard engine.ShardID, id engine.FileID) string {
	return fmt.Sprintf("%s%016x", folder(shard, "idx"), uint64(id))
}

// idOfName reads the file id from the last part of a blob name.
func idOfName(name string) (engine.FileID, bool) {
	s := name[strings.LastIndexByte(name, '/')+1:]
	n, err := strconv.ParseUint(s, 16, 64)
	return engine.FileID(n), err == nil && len(s) == 16
}

// fileName is how messages name a file.
func fileName(shard engine.ShardID, id engine.FileID) string {
	if IsRewritten(id) {
		return dataName(shard, id)
	}
	return fmt.Sprintf("journal file %d of shard %d", uint64(id), uint32(shard))
}
