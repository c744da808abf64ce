package disk

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	slotHeaderBytes = 64
	// maxSlotBytes limits head plus data of a slot, whatever the options say.
	maxSlotBytes = 64 << 20
	slotMagic    = 0x4c535857 // "WXSL"
)

// slotHeader stands before each slot, at a multiple of pageBytes.
//
//	 0       4       8        16     24     28     32     36     40     44      60     64
//	+-------+-------+--------+------+------+------+------+------+------+-------+------+
//	| magic | epoch | number | salt | head | head | data | data | pred | zeros | CRC  |
//	|       |       |        |      | len  | CRC  | len  | CRC  | CRC  |       | 32C  |
//	+-------+-------+--------+------+------+------+------+------+------+-------+------+
//	| head ... | data ... | zeros up to a multiple of 4096                            |
//
// Numbers are little-endian, checksums are CRC32C. The last one covers the
// 60 bytes before it. pred is the last one of the slot before, so that slots
// form a chain over files and epochs.
type slotHeader struct {
	epoch   engine.Epoch
	no      engine.SlotNo
	salt    uint64
	headLen uint32
	headCRC uint32
	dataLen uint32
	dataCRC uint32
	pred    uint32
	crc     uint32 // set by encode and decode
}

// encode writes the header into p, at least slotHeaderBytes long, and sets crc.
func (h *slotHeader) encode(p []byte) {
	clear(p[:slotHeaderBytes])
	le := binary.LittleEndian
	le.PutUint32(p, slotMagic)
	le.PutUint32(p[4:], uint32(h.epoch))
	le.PutUint64(p[8:], uint64(h.no))
	le.PutUint64(p[16:], h.salt)
	le.PutUint32(p[24:], h.headLen)
	le.PutUint32(p[28:], h.headCRC)
	le.PutUint32(p[32:], h.dataLen)
	le.PutUint32(p[36:], h.dataCRC)
	le.PutUint32(p[40:], h.pred)
	h.crc = crc32.Checksum(p[:slotHeaderBytes-4], castagnoli)
	le.PutUint32(p[slotHeaderBytes-4:], h.crc)
}

// decodeSlotHeader reads a header and reports whether it is one. Lengths are
// not judged: see fits.
func decodeSlotHeader(p []byte) (slotHeader, bool) {
	le := binary.LittleEndian
	if len(p) < slotHeaderBytes || le.Uint32(p) != slotMagic {
		return slotHeader{}, false
	}
	h := slotHeader{
		epoch:   engine.Epoch(le.Uint32(p[4:])),
		no:      engine.SlotNo(le.Uint64(p[8:])),
		salt:    le.Uint64(p[16:]),
		headLen: le.Uint32(p[24:]),
		headCRC: le.Uint32(p[28:]),
		dataLen: le.Uint32(p[32:]),
		dataCRC: le.Uint32(p[36:]),
		pred:    le.Uint32(p[40:]),
		crc:     le.Uint32(p[slotHeaderBytes-4:]),
	}
	return h, h.crc == crc32.Checksum(p[:slotHeaderBytes-4], castagnoli)
}

// slotSize is the space in bytes that a slot with n bytes of head and data
// takes in the file.
func slotSize(n int64) int64 {
	return (slotHeaderBytes + n + pageBytes - 1) &^ (pageBytes - 1)
}

func (h *slotHeader) size() int64 {
	return slotSize(int64(h.headLen) + int64(h.dataLen))
}

// fits reports whether a slot that starts at off can be as long as it says,
// in a file of fileBytes.
func (h *slotHeader) fits(off, fileBytes int64) bool {
	return int64(h.headLen)+int64(h.dataLen) <= maxSlotBytes && off+h.size() <= fileBytes
}

// slot describes the slot at off of file f.
func (h *slotHeader) slot(f engine.FileID, off int64, head []byte) engine.Slot {
	return engine.Slot{
		No:      h.no,
		Epoch:   h.epoch,
		File:    f,
		Off:     off,
		DataOff: off + slotHeaderBytes + int64(h.headLen),
		DataLen: int64(h.dataLen),
		End:     off + h.size(),
		Head:    head,
	}
}
