package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	// pageBytes is what slots and the file header are aligned to.
	pageBytes = 4096
	// journalVersion is the format of journal files that this code writes.
	journalVersion = 1
)

var (
	fileMagic  = [8]byte{'W', 'a', 'x', 'J', 'r', 'n', 'l', '\n'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// fileKind says how a journal file follows on what was before.
type fileKind uint32

const (
	firstOfEpoch fileKind = 1 // its header says where the older epochs end
	continuation fileKind = 2 // slots go on where the previous file of the epoch was full
)

// chainEnd is a place between two slots.
type chainEnd struct {
	file engine.FileID // file of the slot before; 0 if there is none
	off  int64         // where that slot ends; 0 if not known, because its file was not read
	slot engine.SlotNo // number of the slot before; 0 if there is none
	crc  uint32        // header checksum of the slot before
}

// fileHeader is the first page of a journal file. It is written and synced
// before the file gets its name, and never changes.
//
//	 0       8         12      16        24      28     32      40
//	+-------+---------+-------+---------+-------+------+-------+
//	| magic | version | shard | file id | epoch | kind | salt  |
//	+-------+---------+-------+---------+-------+------+-------+
//	 40          48         56          64       68     72         4092   4096
//	+-----------+----------+-----------+--------+------+----------+--------+
//	| prev file | prev end | prev slot | prev   | held | zeros    | CRC32C |
//	|           |          |           | CRC    |      |          |        |
//	+-----------+----------+-----------+--------+------+----------+--------+
//
// Numbers are little-endian. The checksum covers everything before it.
// The meaning of each field is in docs/format/journal-file.md.
type fileHeader struct {
	shard engine.ShardID
	file  engine.FileID
	epoch engine.Epoch
	kind  fileKind
	salt  uint64 // random; in each slot of the file
	// prev is where the older epochs end. A continuation has only prev.file,
	// the file that was full.
	prev chainEnd
	// held says that the first slot was in the file when it got its name, so
	// that it must be there.
	held bool
}

// encode writes the header page into p, which must be pageBytes long.
func (h *fileHeader) encode(p []byte) {
	clear(p[:pageBytes])
	le := binary.LittleEndian
	copy(p, fileMagic[:])
	le.PutUint32(p[8:], journalVersion)
	le.PutUint32(p[12:], uint32(h.shard))
	le.PutUint64(p[16:], uint64(h.file))
	le.PutUint32(p[24:], uint32(h.epoch))
	le.PutUint32(p[28:], uint32(h.kind))
	le.PutUint64(p[32:], h.salt)
	le.PutUint64(p[40:], uint64(h.prev.file))
	le.PutUint64(p[48:], uint64(h.prev.off))
	le.PutUint64(p[56:], uint64(h.prev.slot))
	le.PutUint32(p[64:], h.prev.crc)
	if h.held {
		le.PutUint32(p[68:], 1)
	}
	le.PutUint32(p[pageBytes-4:], crc32.Checksum(p[:pageBytes-4], castagnoli))
}

// decodeFileHeader reads a header page. The version is looked at before the
// checksum, so that a newer file is called newer (engine.ErrNewer) and not
// corrupt. Every other error says what is wrong with the bytes.
func decodeFileHeader(p []byte) (fileHeader, error) {
	le := binary.LittleEndian
	if len(p) < pageBytes || [8]byte(p[:8]) != fileMagic {
		return fileHeader{}, errors.New("no journal file header")
	}
	if v := le.Uint32(p[8:]); v > journalVersion {
		return fileHeader{}, fmt.Errorf("%w: journal format %d, this version knows %d",
			engine.ErrNewer, v, journalVersion)
	}
	if crc32.Checksum(p[:pageBytes-4], castagnoli) != le.Uint32(p[pageBytes-4:]) {
		return fileHeader{}, errors.New("checksum of the file header does not match")
	}
	h := fileHeader{
		shard: engine.ShardID(le.Uint32(p[12:])),
		file:  engine.FileID(le.Uint64(p[16:])),
		epoch: engine.Epoch(le.Uint32(p[24:])),
		kind:  fileKind(le.Uint32(p[28:])),
		salt:  le.Uint64(p[32:]),
		prev: chainEnd{
			file: engine.FileID(le.Uint64(p[40:])),
			off:  int64(le.Uint64(p[48:])),
			slot: engine.SlotNo(le.Uint64(p[56:])),
			crc:  le.Uint32(p[64:]),
		},
		held: le.Uint32(p[68:]) == 1,
	}
	return h, h.check()
}

// check finds a header that this code cannot have written.
func (h *fileHeader) check() error {
	switch {
	case h.kind != firstOfEpoch && h.kind != continuation:
		return fmt.Errorf("file header of unknown kind %d", h.kind)
	case h.file == 0 || h.epoch == 0:
		return errors.New("file header without file id or epoch")
	case h.prev.file >= h.file || h.prev.off < 0 || h.prev.off%pageBytes != 0:
		return errors.New("file header with an impossible predecessor")
	}
	return nil
}
