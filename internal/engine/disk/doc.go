// Package disk keeps shards and blobs in a folder.
//
//	DIR/LOCK                              held by the one process that may write here
//	DIR/FORMAT                            the version of this layout, checked before all else
//	DIR/ballast                           space that is given up so that a checkpoint fits a full disk
//	DIR/shard-0000/journal/%016x.wal      journal files, drawn in docs/format/journal-file.md
//	DIR/blobs/...                         blobs under their names
//
// # Why a crash loses nothing that was acknowledged
//
// A journal file gets its name only after it has its full length, which reads as
// zeros, and has been synced. From then on a slot is one write and one
// fdatasync into space that is already there. Slot n+1 is never written
// before slot n is synced. So at any moment at most one slot, the last, is
// not known to be durable, and everything before it is.
//
// Recovery cannot know whether the last slot that it can read was synced, or
// only stands in the page cache of a machine whose process died. It therefore
// writes that slot again, as the first slot of a new file under a new epoch,
// and says in that file's header where the older epochs end. Once the file is
// synced and has its name, everything is durable, and only then does Recover
// return. The file appears whole or not at all, so a crash during recovery
// leaves either the old log or the new one.
//
// A slot that cannot be read and has nothing after it is a torn tail: its
// write was never acknowledged. With a slot after it, it was synced once, so
// it is damage, and Recover refuses.
//
// # Who runs here
//
// Each claimed shard has one goroutine, its keeper, which prepares the next
// journal file ahead of need and ends with Release. With
// Options.Synchronous there is none: the same work is done inside the calls.
package disk
