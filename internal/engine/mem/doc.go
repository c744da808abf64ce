// Package mem is a disk in memory that fails the way disks do: it loses power
// and keeps any part of what was not synced, fails a sync and then pretends
// that all is well, runs out of space, stops at any chosen operation, and
// flips bits. The engine on it is the real one, engine/disk, so the code that
// recovers in a simulation is the code that recovers in production.
//
// Everything is deterministic: the same seed and the same calls give the same
// bytes, the same losses and the same errors.
//
// # What a crash may leave
//
// A process that dies (Kill) leaves everything it wrote, synced or not: the
// page cache lives on, and a later power loss can still take it away. A power
// loss (Crash) leaves what was synced and, of the rest, any subset: of a
// file's writes any of their 512-byte sectors, of a folder's changes any that
// do not depend on one that was lost. Real file systems promise more (ext4
// keeps the order of renames and removals); the code must not need it.
package mem
