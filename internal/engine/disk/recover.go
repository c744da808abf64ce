package disk

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// recovery is one run of Recover.
type recovery struct {
	s     *shard
	ctx   context.Context
	after engine.SlotNo
	fn    func(engine.Slot) error

	live []*planned     // the files to read, oldest first
	dead []*journalFile // superseded files

	pos    chainEnd // behind the last slot that was read
	held   held     // that slot, not yet delivered: it may have to move
	before chainEnd // before it
	// proven says that held was synced once, because the header of a slot
	// after it can be read.
	proven bool
	// followed says that something stands behind held, so that it was synced
	// once unless the disk has changed what nobody wrote.
	followed bool
}

// held is the last slot that was read.
type held struct {
	slotHeader
	file *planned // nil if there is no slot
	off  int64
	head []byte
	raw  []byte // the slot as it stands in the file, once it was loaded
}

func (h *held) slot() engine.Slot {
	return h.slotHeader.slot(h.file.file, h.off, h.head)
}

// Recover reads the log, starts the new epoch and then delivers the tail.
func (s *shard) Recover(ctx context.Context, after engine.SlotNo, fn func(engine.Slot) error) error {
	s.appending.Lock()
	defer s.appending.Unlock()
	s.mu.Lock()
	recovered, released := s.recovered, s.released
	s.mu.Unlock()
	switch {
	case released:
		return engine.ErrReleased
	case recovered:
		return fmt.Errorf("shard %d: recovered already", s.id)
	case s.damage != nil:
		return s.damage
	}
	r := &recovery{s: s, ctx: ctx, after: after, fn: fn}
	if err := r.run(); err != nil {
		return err
	}
	s.mu.Lock()
	s.recovered = true
	s.mu.Unlock()
	s.keeper.start(s.files.open.file)
	return nil
}

func (r *recovery) run() error {
	if err := r.plan(); err != nil {
		return err
	}
	if err := r.read(); err != nil {
		return err
	}
	if err := r.judgeTail(); err != nil {
		return err
	}
	if r.pos.slot < r.after {
		return &engine.ErrDamaged{Path: r.s.dir, Reason: fmt.Sprintf(
			"the journal ends with slot %d, but slot %d was durable",
			r.pos.slot, r.after)}
	}
	if err := r.makeRoom(); err != nil {
		return err
	}
	if err := r.startEpoch(); err != nil {
		return err
	}
	return r.retire()
}

// read goes through the files and delivers every slot but the last.
func (r *recovery) read() error {
	var prev *planned
	for i, f := range r.live {
		if err := r.enter(f, prev); err != nil {
			return err
		}
		more, err := r.readFile(i)
		if err != nil {
			return err
		}
		if !more {
			for _, spare := range r.live[i+1:] {
				r.dead = append(r.dead, spare.journalFile)
			}
			r.live = r.live[:i+1]
			return nil
		}
		prev = f
	}
	return nil
}

// enter checks that f may follow on what was read so far, and sets the
// position if slots before it have been trimmed. prev is nil for the first.
func (r *recovery) enter(f, prev *planned) error {
	if f.kind == continuation {
		if prev != nil && f.prev.file == prev.file {
			return nil // leave has seen that the chain goes on
		}
		if f.lead == 0 || f.lead-1 > r.after || f.lead-1 < r.pos.slot {
			return damaged(f.journalFile, pageBytes, fmt.Sprintf(
				"journal file %016x before it is missing", uint64(f.prev.file)))
		}
		r.pos = chainEnd{file: f.prev.file, slot: f.lead - 1, crc: f.pred}
		return r.flush()
	}
	switch {
	case prev != nil && f.prev.slot == r.pos.slot && f.prev.crc == r.pos.crc:
	case prev != nil && (f.prev.slot <= r.pos.slot || f.prev.file == prev.file),
		f.prev.slot > r.after:
		return damaged(f.journalFile, 0, fmt.Sprintf(
			"it follows on slot %d of journal file %016x, which is not there", f.prev.slot, uint64(f.prev.file)))
	default:
		r.pos = f.prev
	}
	return r.flush()
}

// stop is where reading a file came to an end, and why.
type stop struct {
	off     int64
	end     int64 // where the slot at off ends, if its header can be read; else off
	verdict verdict
	reason  string
}

// readFile reads the slots of a file. It reports whether the log goes on in
// the next one.
func (r *recovery) readFile(i int) (bool, error) {
	f := r.live[i]
	if _, err := r.s.files.acquire(f.file); err != nil {
		return false, err
	}
	defer r.s.files.release(f.journalFile)
	reader := slotReader{f: f.journalFile, size: f.size}
	if f.limit > 0 {
		reader.size = min(f.size, f.limit)
	}
	for off := int64(pageBytes); ; off = r.pos.off {
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
		s, v, reason, err := reader.at(off, link{r.pos.slot, r.pos.crc})
		if err != nil {
			return false, err
		}
		if v != whole {
			at := stop{off, off, v, reason}
			if v == badHead {
				at.end += s.size()
			}
			return r.leave(i, at)
		}
		if err := r.accept(f, s); err != nil {
			return false, err
		}
	}
}

// accept takes a slot. The one before it is proven by it.
func (r *recovery) accept(f *planned, s found) error {
	if err := r.flush(); err != nil {
		return err
	}
	r.held = held{slotHeader: s.slotHeader, file: f, off: s.off, head: append(r.held.head[:0], s.head...)}
	r.before = r.pos
	r.pos = chainEnd{file: f.file, off: s.off + s.size(), slot: s.no, crc: s.crc}
	if f.first == 0 {
		f.first = s.no
	}
	f.last, f.end = s.no, r.pos.off
	return nil
}

// flush delivers the held slot where it stands.
func (r *recovery) flush() error {
	if r.held.file == nil {
		return nil
	}
	slot := r.held.slot()
	r.held.file = nil
	return r.deliver(slot)
}

func (r *recovery) deliver(s engine.Slot) error {
	if s.No <= r.after {
		return nil
	}
	return r.fn(s)
}

// leave decides what it means that no further slot could be read in a file.
func (r *recovery) leave(i int, at stop) (more bool, err error) {
	f := r.live[i]
	if f.limit > 0 {
		if at.off != f.limit {
			return false, damaged(f.journalFile, at.off, fmt.Sprintf(
				"%s, but a later epoch says that this one ended at offset %d", at.reason, f.limit))
		}
		return true, nil
	}
	if i == len(r.live)-1 {
		return false, r.end(i, at)
	}
	next := r.live[i+1]
	if next.kind == continuation && next.prev.file == f.file {
		if next.lead == r.pos.slot+1 && next.pred == r.pos.crc {
			return true, nil
		}
		return false, r.end(i, at)
	}
	if at.verdict != absent {
		return false, damaged(f.journalFile, at.off, at.reason+", but later files follow")
	}
	return true, nil
}

// end accepts that the log ends in file i, unless a later slot shows that the
// place held a slot once.
func (r *recovery) end(i int, at stop) error {
	f := r.live[i]
	if at.verdict == foreign || f.held && at.off == pageBytes {
		return damaged(f.journalFile, at.off, at.reason)
	}
	written, err := r.beyond(i, at)
	if err != nil {
		return err
	}
	if at.verdict == badHead {
		if written {
			return damaged(f.journalFile, at.off, at.reason+", but something was written after it")
		}
		r.proven = true
	} else {
		r.followed = written
	}
	if r.proven || r.followed {
		r.s.e.opt.Logf("%s: torn tail cut at offset %d: %s", f.name, at.off, at.reason)
	}
	return nil
}

// beyond looks at everything behind the place where the log seems to end in
// file i. A slot there is damage. It reports whether anything else is there:
// files are filled with zeros and a slot is not written before the one before
// it is synced, so that shows how far the writing had come.
func (r *recovery) beyond(i int, at stop) (written bool, err error) {
	f := r.live[i]
	for _, g := range r.live[i:] {
		from, above := int64(pageBytes), engine.SlotNo(0)
		if g == f {
			from, above = at.end, r.pos.slot
		}
		if _, err := r.s.files.acquire(g.file); err != nil {
			return false, err
		}
		left, err := g.remains(from, above)
		r.s.files.release(g.journalFile)
		if err != nil {
			return false, err
		}
		if left.slot != 0 {
			return false, damaged(f.journalFile, at.off, fmt.Sprintf(
				"%s, but slot %d follows at offset %d of %s", at.reason, left.slot, left.off, g.name))
		}
		written = written || left.written
	}
	return written, nil
}
