package disk

import (
	"fmt"
	"hash/crc32"
	"math/bits"
	"unsafe"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

const (
	// bufferKept is the size up to which the buffer of a slot is used again.
	bufferKept = 8 << 20
	// copyChunk is copied and then checksummed while it is in the cache.
	copyChunk = 32 << 10
)

// ticket is a completed append.
type ticket struct {
	slot engine.Slot
	err  error
}

func (t *ticket) Wait() (engine.Slot, error) { return t.slot, t.err }

// Append writes and syncs in the caller's goroutine, so that the ticket is
// complete when it returns.
func (s *shard) Append(head []byte, data [][]byte, reserve bool) engine.Ticket {
	s.appending.Lock()
	defer s.appending.Unlock()
	slot, err := s.appendSlot(head, data, reserve)
	return &ticket{slot, err}
}

func (s *shard) appendSlot(head []byte, data [][]byte, reserve bool) (engine.Slot, error) {
	if err := s.usable(); err != nil {
		return engine.Slot{}, err
	}
	if err := s.failure(); err != nil {
		return engine.Slot{}, err
	}
	n := int64(len(head))
	for _, d := range data {
		n += int64(len(d))
	}
	if n > s.e.traits.SlotBytesMax {
		return engine.Slot{}, fmt.Errorf("%w: %d bytes, at most %d", engine.ErrTooLarge, n, s.e.traits.SlotBytesMax)
	}
	f, err := s.place(slotSize(n), reserve)
	if outOfSpace(err) {
		return engine.Slot{}, fmt.Errorf("shard %d: %w: %w", s.id, engine.ErrFull, err)
	}
	if err != nil {
		return engine.Slot{}, s.fail(err)
	}
	return s.write(f, head, data)
}

// place returns the file that a slot of size bytes goes to: the open one, or
// the spare if there is no room left. Without a spare, the end of the open
// file is for those who may use the reserve.
func (s *shard) place(size int64, reserve bool) (*journalFile, error) {
	open := s.files.open
	left := open.size - open.end
	if size > left {
		return s.keeper.wait()
	}
	if reserve || s.keeper.ready() || left-size >= s.e.reserve {
		return open, nil
	}
	if _, err := s.keeper.wait(); outOfSpace(err) {
		return nil, err
	}
	return open, nil
}

// write writes the slot at the end of f, syncs it and publishes it.
func (s *shard) write(f *journalFile, head []byte, data [][]byte) (engine.Slot, error) {
	h := slotHeader{
		epoch: s.epoch,
		no:    s.last.no + 1,
		salt:  f.salt,
		pred:  s.last.crc,
	}
	buf := s.encode(&h, head, data)
	if _, err := f.handle.WriteAt(buf, f.end); err != nil {
		return engine.Slot{}, s.fail(err)
	}
	if !mutant.On(mutant.NoSync) {
		if err := f.handle.Sync(); err != nil {
			return engine.Slot{}, s.fail(err)
		}
	}
	slot := h.slot(f.file, f.end, nil)
	before := s.files.open
	s.last = link{h.no, h.crc}
	s.files.appended(f, h.no, slot.End)
	if f != before {
		s.keeper.taken(before)
	}
	return slot, nil
}

// encode returns the slot as it stands in the file, padding included. It is
// valid until the next call.
func (s *shard) encode(h *slotHeader, head []byte, data [][]byte) []byte {
	n := int64(len(head))
	for _, d := range data {
		n += int64(len(d))
	}
	buf := s.buffer(slotSize(n))
	at := slotHeaderBytes
	h.headLen, h.headCRC = uint32(len(head)), copySum(buf[at:], head, 0)
	at += len(head)
	for _, d := range data {
		h.dataLen += uint32(len(d))
		h.dataCRC = copySum(buf[at:], d, h.dataCRC)
		at += len(d)
	}
	clear(buf[at:])
	h.encode(buf)
	return buf
}

// copySum copies src to dst and continues the checksum over it.
func copySum(dst, src []byte, sum uint32) uint32 {
	for len(src) > 0 {
		n := copy(dst, src[:min(copyChunk, len(src))])
		sum = crc32.Update(sum, castagnoli, dst[:n])
		dst, src = dst[n:], src[n:]
	}
	return sum
}

// buffer returns n bytes that start at a page, so that the kernel copies
// whole pages.
func (s *shard) buffer(n int64) []byte {
	if int64(len(s.buf)) >= n {
		return s.buf[:n]
	}
	buf := alignedBytes(1 << bits.Len64(uint64(max(n, 64<<10)-1)))
	if n <= bufferKept {
		s.buf = buf
	}
	return buf[:n]
}

func alignedBytes(n int64) []byte {
	b := make([]byte, n+pageBytes)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (pageBytes - 1)
	return b[skip : int64(skip)+n : int64(skip)+n]
}

// fail makes every later Append fail with the same error: after a failed sync
// nobody knows what is on the disk, and a second sync would not tell.
func (s *shard) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("shard %d: journal cannot be written: %w", s.id, err)
	}
	return s.failed
}

func (s *shard) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Full reports whether nothing but the reserve is left.
func (s *shard) Full() bool { return s.Scarce() && s.room()-pageBytes < s.e.reserve }

// Room is what the open file has left, or, if that is more, what the spare has:
// the end of the open file is lost when a slot goes to the spare.
func (s *shard) Room() int64 {
	if s.usable() != nil {
		return 0
	}
	room := s.room()
	if s.keeper.ready() {
		room = max(room, s.e.opt.FileBytes-pageBytes)
	}
	return room
}

// Scarce reports whether the keeper found no space for a spare.
func (s *shard) Scarce() bool {
	if s.usable() != nil || !s.keeper.starved() {
		return false
	}
	if s.e.opt.Synchronous {
		s.keeper.ensure()
	}
	return s.keeper.starved()
}

// Await waits for the keeper.
func (s *shard) Await() {
	if s.usable() == nil {
		_, _ = s.keeper.wait() // Scarce tells
	}
}

// room is how many bytes the open file has left.
func (s *shard) room() int64 {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	return s.files.open.size - s.files.open.end
}

// used is which part of the open file, without the reserve, is used up.
func (s *shard) used() float64 {
	s.files.mu.Lock()
	defer s.files.mu.Unlock()
	open := s.files.open
	return float64(open.end) / float64(max(1, open.size-s.e.reserve))
}

// cut gives back the space behind the last slot of a file that was full. If
// it fails or is lost in a crash, only space is lost.
func (s *shard) cut(f *journalFile) {
	if f.size <= f.end {
		return
	}
	if _, err := s.files.acquire(f.file); err != nil {
		return // trimmed meanwhile
	}
	defer s.files.release(f)
	if err := f.handle.Truncate(f.end); err != nil {
		s.e.opt.Logf("%s: cut unused space: %v", f.name, err)
	}
}
