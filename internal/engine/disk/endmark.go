package disk

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const (
	endMarkBytes = 64
	endMarkMagic = 0x444e5857 // "WXND"
)

// endMark is the last page of a file whose successor is trimmed while it
// stays itself. Without the successor nothing else says which slot of the
// file is the last, but reading all of it.
//
//	 0       4       8        16     24       32      60     64         4096
//	+-------+-------+--------+------+--------+-------+------+----------+
//	| magic | zeros | number | salt | offset | zeros | CRC  | zeros    |
//	|       |       |        |      |        |       | 32C  |          |
//	+-------+-------+--------+------+--------+-------+------+----------+
//
// number is that of the last slot, offset where it ends and the mark stands.
type endMark struct {
	last engine.SlotNo
	salt uint64
	off  int64
}

// encode writes the mark into p, which must be pageBytes long.
func (m endMark) encode(p []byte) {
	clear(p[:pageBytes])
	le := binary.LittleEndian
	le.PutUint32(p, endMarkMagic)
	le.PutUint64(p[8:], uint64(m.last))
	le.PutUint64(p[16:], m.salt)
	le.PutUint64(p[24:], uint64(m.off))
	le.PutUint32(p[endMarkBytes-4:], crc32.Checksum(p[:endMarkBytes-4], castagnoli))
}

// decodeEndMark reads a mark and reports whether it is one.
func decodeEndMark(p []byte) (endMark, bool) {
	le := binary.LittleEndian
	if len(p) < endMarkBytes || le.Uint32(p) != endMarkMagic {
		return endMark{}, false
	}
	m := endMark{
		last: engine.SlotNo(le.Uint64(p[8:])),
		salt: le.Uint64(p[16:]),
		off:  int64(le.Uint64(p[24:])),
	}
	return m, crc32.Checksum(p[:endMarkBytes-4], castagnoli) == le.Uint32(p[endMarkBytes-4:])
}

// ownMark decodes the mark of this file that stands at off.
func (f *journalFile) ownMark(p []byte, off int64) (endMark, bool) {
	m, ok := decodeEndMark(p)
	return m, ok && m.salt == f.salt && m.off == off
}

// markEnds marks the files before those that are to be trimmed, durably. On a
// full disk it does nothing: then the next recovery reads these files.
func (s *shard) markEnds(trim []*journalFile) error {
	going := make(map[*journalFile]bool)
	for _, f := range trim {
		going[f] = true
	}
	var stay []*journalFile
	s.files.mu.Lock()
	for i, f := range s.files.list {
		if !going[f] && i+1 < len(s.files.list) && going[s.files.list[i+1]] && f.first != 0 && !f.marked {
			stay = append(stay, f)
		}
	}
	s.files.mu.Unlock()
	for _, f := range stay {
		err := s.markEnd(f)
		if err != nil && !isNoSpace(err) {
			return fmt.Errorf("%s: mark its end: %w", f.name, err)
		}
		f.marked = err == nil
	}
	return nil
}

func (s *shard) markEnd(f *journalFile) error {
	if _, err := s.files.acquire(f.file); err != nil {
		return err
	}
	defer s.files.release(f)
	page := make([]byte, pageBytes)
	endMark{last: f.last, salt: f.salt, off: f.end}.encode(page)
	if err := f.handle.Truncate(f.end + pageBytes); err != nil {
		return err
	}
	if _, err := f.handle.WriteAt(page, f.end); err != nil {
		return err
	}
	return f.handle.Sync()
}

// findEnd sets last and end of a file that recovery need not read: from its
// mark, or, if there is none, by reading it.
func (r *recovery) findEnd(f *planned) error {
	if _, err := r.s.files.acquire(f.file); err != nil {
		return err
	}
	defer r.s.files.release(f.journalFile)
	page := make([]byte, endMarkBytes)
	off := f.size - pageBytes
	if err := readFull(f.handle, page, off); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if m, ok := f.ownMark(page, off); ok && m.last >= f.lead {
		f.last, f.end, f.marked = m.last, off, true
		return nil
	}
	reader := slotReader{f: f.journalFile, size: f.size}
	at := link{f.lead - 1, f.pred}
	for f.end = pageBytes; ; {
		s, v, reason, err := reader.at(f.end, at)
		if err != nil {
			return err
		}
		if v == absent {
			f.last = at.no
			return nil
		}
		if v != whole {
			return damaged(f.journalFile, f.end, reason)
		}
		at = link{s.no, s.crc}
		f.end += s.size()
	}
}
