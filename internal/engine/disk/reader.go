package disk

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

const (
	readAheadMin = pageBytes
	readAheadMax = 256 << 10
	searchChunk  = 1 << 20
)

// verdict is what stands at a place where a slot might be.
type verdict int

const (
	whole      verdict = iota // the slot that must follow; its data was not looked at
	badHead                   // the header of the slot that must follow, but its head is bad
	absent                    // zeros, or the end of the file
	unreadable                // no slot header of this file
	foreign                   // a slot header of this file that cannot be here
)

// found is what was read of a slot.
type found struct {
	slotHeader
	off  int64
	head []byte // valid until the next read
}

// slotReader reads the slots of a file from front to back, headers and heads
// only. It reads ahead while slots are small.
type slotReader struct {
	f     *journalFile // acquired by the caller
	size  int64        // nothing is read from here on
	win   []byte       // what was read last
	off   int64        // where win stands in the file
	ahead int64
}

// bytes returns n bytes at off, valid until the next call.
func (r *slotReader) bytes(off, n int64) ([]byte, error) {
	if in := off - r.off; in >= 0 && in+n <= int64(len(r.win)) {
		return r.win[in : in+n], nil
	}
	if end := r.off + int64(len(r.win)); off >= r.off && off <= end+readAheadMin && end > 0 {
		r.ahead = min(2*r.ahead, readAheadMax)
	} else {
		r.ahead = readAheadMin
	}
	want := min(max(n, r.ahead), r.size-off)
	if int64(cap(r.win)) < want {
		r.win = make([]byte, max(want, readAheadMax))
	}
	r.off, r.win = off, r.win[:want]
	if err := readFull(r.f.handle, r.win, off); err != nil {
		r.win = r.win[:0]
		return nil, fmt.Errorf("%s: %w", r.f.name, err)
	}
	return r.win[:n], nil
}

// at judges what stands at off, where the slot after prev must be. The text
// says what is wrong with it.
func (r *slotReader) at(off int64, prev link) (found, verdict, string, error) {
	if off+slotHeaderBytes > r.size {
		return found{}, absent, "the file ends", nil
	}
	p, err := r.bytes(off, slotHeaderBytes)
	if err != nil {
		return found{}, 0, "", err
	}
	h, ok := r.f.ownSlot(p)
	_, marked := r.f.ownMark(p, off)
	switch {
	case !ok && (marked || allZero(p)):
		return found{}, absent, "there is no slot", nil
	case !ok:
		return found{}, unreadable, "this is no slot header of the file", nil
	case h.no != prev.no+1:
		return found{}, foreign, fmt.Sprintf("slot %d stands where slot %d must be", h.no, prev.no+1), nil
	case h.pred != prev.crc:
		return found{}, foreign, fmt.Sprintf("slot %d does not follow on the slot before it", h.no), nil
	case !h.fits(off, r.size):
		return found{}, foreign, fmt.Sprintf("slot %d reaches beyond the end of the file", h.no), nil
	}
	return r.head(h, off)
}

// head reads and checks the head of a slot.
func (r *slotReader) head(h slotHeader, off int64) (found, verdict, string, error) {
	p, err := r.bytes(off, slotHeaderBytes+int64(h.headLen))
	if err != nil {
		return found{}, 0, "", err
	}
	s := found{slotHeader: h, off: off, head: p[slotHeaderBytes:]}
	if crc32.Checksum(s.head, castagnoli) != h.headCRC && !mutant.On(mutant.TornTailNotCut) {
		return s, badHead, fmt.Sprintf("checksum of the head of slot %d does not match", h.no), nil
	}
	return s, whole, "", nil
}

// ownSlot decodes a slot header and reports whether it was written for this
// file under its epoch.
func (f *journalFile) ownSlot(p []byte) (slotHeader, bool) {
	h, ok := decodeSlotHeader(p)
	return h, ok && h.salt == f.salt && h.epoch == f.epoch
}

// remains is what stands behind the place where a log seems to end.
type remains struct {
	written bool          // something that is not zero
	slot    engine.SlotNo // number of a slot; 0 if there is none
	off     int64         // where that slot is
}

// remains looks for anything from off on, and at each page for a slot of this
// file with a number above above.
func (f *journalFile) remains(off int64, above engine.SlotNo) (remains, error) {
	var r remains
	buf := make([]byte, searchChunk)
	for ; off < f.size; off += searchChunk {
		p := buf[:min(searchChunk, f.size-off)]
		if err := readFull(f.handle, p, off); err != nil {
			return r, fmt.Errorf("%s: %w", f.name, err)
		}
		if bytes.Equal(p, zeros[:len(p)]) {
			continue
		}
		r.written = true
		for at := 0; at+slotHeaderBytes <= len(p); at += pageBytes {
			if h, ok := f.ownSlot(p[at:]); ok && h.no > above {
				r.slot, r.off = h.no, off+int64(at)
				return r, nil
			}
		}
	}
	return r, nil
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
