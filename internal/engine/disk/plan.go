package disk

import (
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// planned is a file that belongs to the log.
type planned struct {
	*journalFile
	limit int64         // where in it a later epoch says that the older ones end; 0 if none does
	final engine.SlotNo // the slot that ends there; 0 if none does
	lead  engine.SlotNo // number of its first slot; 0 if none can be read
	pred  uint32        // header checksum of the slot before that
}

// plan decides by headers alone which files make up the log and where reading
// must begin to reach slot after+1.
//
// The header of the first file of an epoch names the file in which the older
// epochs end. Files between the two are superseded: at most the tail that was
// written again, and spares. They are left out.
func (r *recovery) plan() error {
	list := r.s.files.list
	var end *chainEnd // what the nearest later epoch says about the older ones
	for i := len(list) - 1; i >= 0; i-- {
		f := list[i]
		if end != nil && f.file > end.file {
			r.dead = append(r.dead, f)
			continue
		}
		p := &planned{journalFile: f}
		if end != nil && f.file == end.file {
			p.limit, p.final = end.off, end.slot
		}
		if err := r.lead(p); err != nil {
			return err
		}
		r.live = append(r.live, p)
		if f.kind == firstOfEpoch {
			end = &f.prev
		}
	}
	slices.Reverse(r.live)
	if err := r.checkEpochs(); err != nil {
		return err
	}
	return r.skip()
}

// lead reads the header of the file's first slot.
func (r *recovery) lead(p *planned) error {
	if p.size < pageBytes+slotHeaderBytes {
		return nil
	}
	if _, err := r.s.files.acquire(p.file); err != nil {
		return err
	}
	defer r.s.files.release(p.journalFile)
	buf := make([]byte, slotHeaderBytes)
	if err := readFull(p.handle, buf, pageBytes); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if h, ok := p.ownSlot(buf); ok {
		p.lead, p.pred = h.no, h.pred
	}
	return nil
}

// checkEpochs finds headers that contradict each other.
func (r *recovery) checkEpochs() error {
	for i, f := range r.live {
		if i == 0 {
			continue
		}
		prev := r.live[i-1]
		ok := f.epoch > prev.epoch
		if f.kind == continuation {
			ok = f.epoch >= prev.epoch && (f.epoch == prev.epoch || f.prev.file != prev.file)
		}
		if !ok {
			return damaged(f.journalFile, 0, fmt.Sprintf(
				"a file of epoch %d cannot follow on one of epoch %d", f.epoch, prev.epoch))
		}
	}
	return nil
}

// skip takes the files off whose slots are all at or below after. What is
// known of them comes from their neighbours, if those are there.
func (r *recovery) skip() error {
	start := 0
	for i, f := range r.live {
		if f.lead != 0 && f.lead <= r.after+1 {
			start = i
		}
	}
	for i, f := range r.live[:start] {
		next := r.live[i+1]
		if f.lead == 0 || next.lead <= f.lead {
			return damaged(f.journalFile, pageBytes, "its first slot cannot be read or is out of order")
		}
		f.first, f.last, f.end = f.lead, f.final, f.size
		if f.limit > 0 {
			f.end = f.limit
		}
		if f.final == 0 && next.prev.file == f.file {
			f.last = next.lead - 1
		}
		if f.last == 0 {
			if err := r.findEnd(f); err != nil {
				return err
			}
		}
	}
	r.live = r.live[start:]
	return nil
}
