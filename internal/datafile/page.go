package datafile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// An .idx is made of pages. Except for page 0 they all begin like this:
//
//	0        4      5     6        8
//	+--------+------+-----+--------+----------------------------- … ---+
//	| sum    | kind | 0   | n      | content                           |
//	+--------+------+-----+--------+----------------------------- … ---+
//
// sum is CRC32C over file id (8 bytes), page number (8 bytes) and everything
// behind it, so that a page at the wrong place is found too. n counts the
// records in the page. Integers are little-endian.
const (
	pageBytes      = 4096
	pageHeadBytes  = 8
	pageSpace      = pageBytes - pageHeadBytes
	kindBlock      = 'B'
	kindFence      = 'F'
	kindDirectory  = 'D'
	kindShare      = 'S'
	kindTrailer    = 'T'
	headerSumStart = 16
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func pageSum(file engine.FileID, n uint64, page []byte) uint32 {
	var where [16]byte
	le.PutUint64(where[0:], uint64(file))
	le.PutUint64(where[8:], n)
	return crc32.Update(crc32.Checksum(where[:], castagnoli), castagnoli, page[4:])
}

// sealPage fills in the head of page number n of the .idx of file.
func sealPage(page []byte, file engine.FileID, n uint64, kind byte, records int) {
	page[4], page[5] = kind, 0
	le.PutUint16(page[6:], uint16(records))
	le.PutUint32(page[0:], pageSum(file, n, page))
}

// checkPage says what is wrong with a page, or returns its number of records.
func checkPage(page []byte, file engine.FileID, n uint64, kind byte) (records int, reason string) {
	if got, want := le.Uint32(page), pageSum(file, n, page); got != want {
		return 0, fmt.Sprintf("checksum is %08x, the bytes say %08x", got, want)
	}
	if page[4] != kind {
		return 0, fmt.Sprintf("a page of kind %q where %q belongs", page[4], kind)
	}
	return int(le.Uint16(page[6:])), ""
}

// The header page of .idx and data files. The version comes before the
// checksum, so that a later version may lay out everything else anew.
//
//	0                 8          12       16              24
//	+-----------------+----------+--------+---------------+---------- … ---+
//	| magic           | version  | sum    | file id       | zeros to 4096  |
//	+-----------------+----------+--------+---------------+---------- … ---+
//
// sum is CRC32C over bytes 0–11 and 16–4095.
type format struct {
	magic   string
	version uint32 // that is written; earlier ones are read
}

var (
	formatIdx  = format{"WAXW-IDX", 2} // version 1 has no shares
	formatData = format{"WAXW-DAT", 1}
)

func (f format) header(id engine.FileID) []byte {
	p := make([]byte, pageBytes)
	copy(p, f.magic)
	le.PutUint32(p[8:], f.version)
	le.PutUint64(p[16:], uint64(id))
	le.PutUint32(p[12:], headerSum(p))
	return p
}

func headerSum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:12], castagnoli), castagnoli, p[headerSumStart:])
}

// check fails with ErrNewer or *ErrDamaged when p is not the header of the file
// id.
func (f format) check(p []byte, name string, id engine.FileID) error {
	if string(p[:8]) != f.magic {
		return damaged(name, 0, "no %s header", f.magic)
	}
	if v := le.Uint32(p[8:]); v > f.version {
		return fmt.Errorf("%s has version %d, this program reads up to %d: %w", name, v, f.version, engine.ErrNewer)
	} else if v == 0 {
		return damaged(name, 8, "version 0")
	}
	if got, want := le.Uint32(p[12:]), headerSum(p); got != want {
		return damaged(name, 12, "header checksum is %08x, the bytes say %08x", got, want)
	}
	if got := le.Uint64(p[16:]); got != uint64(id) {
		return damaged(name, 16, "the header is that of file %016x", got)
	}
	return nil
}

func damaged(path string, off int64, format string, args ...any) error {
	return &engine.ErrDamaged{Path: path, Off: off, Reason: fmt.Sprintf(format, args...)}
}
