package journal

import (
	"encoding/binary"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// The head of a slot. All numbers are varints (u: unsigned, s: signed zigzag).
//
//	s base time           ms; time of the first entry
//	u epoch               of the claim that decided it (the tail slot keeps it
//	                      when recovery writes it again under a later epoch)
//	u number of entries
//	  u type              see package broker
//	  u version           frozen meaning per (type, version)
//	  u time              ms after base time
//	  u length, body
//	u number of extents   the directory: where the slot's data belongs
//	  u log
//	  s first offset
//	  u offsets covered
//	  u bytes             extents lie one after the other in the data
//	  s largest time      ms, relative to base time

// Entry is one fact in the log.
type Entry struct {
	Type    uint16
	Version uint8
	Time    int64        // ms since 1970; never goes back within a shard
	Epoch   engine.Epoch // of the claim that decided the entry
	Body    []byte       // valid during Apply only
}

// headReader walks a head. Entries first, then extents.
type headReader struct {
	r     enc.Reader
	base  int64
	epoch engine.Epoch
	last  int64 // time of the last entry read
}

func readHead(head []byte) headReader {
	h := headReader{r: enc.NewReader(head)}
	h.base = h.r.Varint()
	h.epoch = engine.Epoch(h.r.Uvarint())
	h.last = h.base
	return h
}

// entries calls fn for each entry.
func (h *headReader) entries(fn func(Entry) error) error {
	for n := h.r.Count(4); n > 0; n-- {
		e := Entry{
			Type:    uint16(h.r.Uvarint()),
			Version: uint8(h.r.Uvarint()),
			Time:    h.base + int64(h.r.Uvarint()),
			Epoch:   h.epoch,
			Body:    h.r.Bytes(),
		}
		if err := h.r.Err(); err != nil {
			return err
		}
		h.last = max(h.last, e.Time)
		if err := fn(e); err != nil {
			return err
		}
	}
	return h.r.Err()
}

// extents returns the directory, with positions counted from dataOff.
func (h *headReader) extents(dataOff int64) ([]datafile.Extent, error) {
	n := h.r.Count(5)
	exts := make([]datafile.Extent, 0, n)
	for ; n > 0; n-- {
		e := datafile.Extent{
			Log:   datafile.LogID(h.r.Uvarint()),
			Base:  h.r.Varint(),
			Count: int64(h.r.Uvarint()),
			Pos:   dataOff,
			Bytes: int64(h.r.Uvarint()),
		}
		e.MaxTime = h.base + h.r.Varint()
		dataOff += e.Bytes
		exts = append(exts, e)
	}
	return exts, h.r.Done()
}

// appendEntry adds an entry to an open slot's list.
func appendEntry(dst []byte, base int64, e Entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.Type))
	dst = binary.AppendUvarint(dst, uint64(e.Version))
	dst = binary.AppendUvarint(dst, uint64(e.Time-base))
	return enc.Bytes(dst, e.Body)
}

// appendHead assembles the head of a slot from its entries and directory.
func appendHead(dst []byte, base int64, epoch engine.Epoch, count int, entries []byte, exts []datafile.Extent) []byte {
	dst = binary.AppendVarint(dst, base)
	dst = binary.AppendUvarint(dst, uint64(epoch))
	dst = binary.AppendUvarint(dst, uint64(count))
	dst = append(dst, entries...)
	dst = binary.AppendUvarint(dst, uint64(len(exts)))
	for _, e := range exts {
		dst = binary.AppendUvarint(dst, uint64(e.Log))
		dst = binary.AppendVarint(dst, e.Base)
		dst = binary.AppendUvarint(dst, uint64(e.Count))
		dst = binary.AppendUvarint(dst, uint64(e.Bytes))
		dst = binary.AppendVarint(dst, e.MaxTime-base)
	}
	return dst
}
