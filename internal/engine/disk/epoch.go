package disk

import (
	"fmt"
	"hash/crc32"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/mutant"
)

// judgeTail checks the data of the last slot, the only one that may not have
// been synced. If it is bad, the slot is cut.
func (r *recovery) judgeTail() error {
	h := &r.held
	if h.file == nil || r.proven {
		return nil
	}
	if _, err := r.s.files.acquire(h.file.file); err != nil {
		return err
	}
	defer r.s.files.release(h.file.journalFile)
	h.raw = alignedBytes(h.size())
	if err := readFull(h.file.handle, h.raw, h.off); err != nil {
		return fmt.Errorf("%s: %w", h.file.name, err)
	}
	data := h.raw[slotHeaderBytes+int64(h.headLen):][:h.dataLen]
	if crc32.Checksum(data, castagnoli) == h.dataCRC || mutant.On(mutant.TornTailNotCut) {
		return nil
	}
	reason := fmt.Sprintf("checksum of the data of slot %d does not match", h.no)
	if h.file.held && h.off == pageBytes {
		return damaged(h.file.journalFile, h.off, reason)
	}
	if r.followed {
		return damaged(h.file.journalFile, h.off, reason+", but something was written after it")
	}
	r.s.e.opt.Logf("%s: torn tail cut at offset %d: %s", h.file.name, h.off, reason)
	r.dropHeld()
	// The header of the slot that was cut stands after the new last one.
	r.proven = true
	return nil
}

// dropHeld takes the held slot off its file, because it is bad or because it
// is going to stand elsewhere.
func (r *recovery) dropHeld() {
	f := r.held.file
	if f.first == r.held.no {
		f.first, f.last, f.end = 0, 0, pageBytes
	} else {
		f.last, f.end = r.held.no-1, r.held.off
	}
	r.pos = r.before
	r.held.file = nil
}

// makeRoom deletes what is superseded and cuts what lies behind the last
// slot, so that the new epoch finds space on a full disk. All of it is safe
// to lose while the old epoch is still the newest.
func (r *recovery) makeRoom() error {
	if err := r.s.files.remove(r.s.dir, r.dead); err != nil {
		return fmt.Errorf("shard %d: remove superseded journal files: %w", r.s.id, err)
	}
	if len(r.live) == 0 {
		return nil
	}
	f := r.live[len(r.live)-1]
	return r.truncate(f.journalFile, max(f.end, pageBytes), false)
}

func (r *recovery) truncate(f *journalFile, end int64, sync bool) error {
	if f.size <= end {
		return nil
	}
	if _, err := r.s.files.acquire(f.file); err != nil {
		return err
	}
	defer r.s.files.release(f)
	if err := f.handle.Truncate(end); err != nil {
		return fmt.Errorf("%s: cut unused space: %w", f.name, err)
	}
	f.size = end
	if !sync {
		return nil
	}
	return f.handle.Sync()
}

// startEpoch makes the first file of the new epoch, with the tail in it, and
// delivers the tail. When it returns, the whole log is durable.
func (r *recovery) startEpoch() error {
	tail := r.held
	d, err := r.firstDraft(&tail)
	if err != nil {
		return err
	}
	f, err := r.prepareFirst(&d)
	if err != nil {
		return fmt.Errorf("shard %d: start epoch %d: %w", r.s.id, r.s.epoch, err)
	}
	r.s.files.mu.Lock()
	r.s.files.list = append(r.s.files.list, f)
	r.s.files.open = f
	r.s.files.mu.Unlock()
	r.s.last = link{r.pos.slot, r.pos.crc}
	if d.slot == nil {
		return r.flush()
	}
	slot := tail.slotHeader.slot(f.file, pageBytes, tail.head)
	f.first, f.last, f.end = tail.no, tail.no, slot.End
	r.s.last = link{tail.no, tail.crc}
	return r.deliver(slot)
}

// firstDraft describes the file. Unless the held slot is proven, it is taken
// off the old epoch and becomes the first slot of the new one.
func (r *recovery) firstDraft(tail *held) (draft, error) {
	salt, err := r.s.e.random()
	if err != nil {
		return draft{}, err
	}
	d := draft{fileHeader: fileHeader{
		shard: r.s.id,
		file:  r.newest() + 1,
		epoch: r.s.epoch,
		kind:  firstOfEpoch,
		salt:  salt,
	}}
	if tail.file != nil && !r.proven && !mutant.On(mutant.UnprovenTailServed) {
		r.dropHeld()
		tail.salt, tail.epoch = salt, r.s.epoch
		tail.encode(tail.raw)
		d.held, d.slot = true, tail.raw
	}
	d.prev = r.pos
	return d, nil
}

// newest is the highest id that any file of the shard has or had at the claim.
func (r *recovery) newest() engine.FileID {
	var id engine.FileID
	for _, f := range r.s.files.list {
		id = max(id, f.file)
	}
	for _, f := range r.dead {
		id = max(id, f.file)
	}
	return id
}

// prepareFirst makes the file as long as the disk allows: on a full disk the
// ballast is given up, and a shorter file serves until something is deleted.
func (r *recovery) prepareFirst(d *draft) (*journalFile, error) {
	need := pageBytes + int64(len(d.slot))
	least := (need + r.s.e.reserve/8 + pageBytes) &^ (pageBytes - 1)
	d.size = max(min(r.s.e.opt.FileBytes, firstFileBytes), need+r.s.e.reserve) &^ (pageBytes - 1)
	for {
		f, err := d.prepare(r.s.e.opt.FS, r.s.dir)
		switch {
		case !isNoSpace(err):
			return f, err
		case r.s.e.ballast.release(): // try the same again
		case d.size == least:
			return nil, fmt.Errorf("%w: %w", engine.ErrFull, err)
		default:
			d.size = max(least, d.size/2&^(pageBytes-1))
		}
	}
}

// retire cuts the copy of the tail off the old epoch and deletes files that
// hold no slot any more.
func (r *recovery) retire() error {
	var empty []*journalFile
	for i, f := range r.live {
		if f.first == 0 {
			empty = append(empty, f.journalFile)
			continue
		}
		if i < len(r.live)-1 && f.limit == 0 {
			continue
		}
		// Synced, so that the copy cannot come back when the header that
		// says where this file ends has been trimmed.
		if err := r.truncate(f.journalFile, f.end, true); err != nil {
			return err
		}
	}
	if err := r.s.files.remove(r.s.dir, empty); err != nil {
		return fmt.Errorf("shard %d: remove empty journal files: %w", r.s.id, err)
	}
	return nil
}
