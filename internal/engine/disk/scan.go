package disk

import (
	"context"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// extent is the part of a journal file that was durable at one moment.
type extent struct {
	file        *journalFile
	first, last engine.SlotNo
	end         int64
}

// bookmark is where a scan ended.
type bookmark struct {
	file engine.FileID
	off  int64
	at   link // the slot before off
}

// scan is one run of Scan.
type scan struct {
	s    *shard
	ctx  context.Context
	upTo engine.SlotNo
	next engine.SlotNo // the slot that must come next
	fn   func(engine.Slot) error
}

// Scan reads the durable slots in (after, upTo] while others append. Nothing
// says where in its file a slot is, so it reads the file from its first slot,
// unless it goes on where the last scan ended.
func (s *shard) Scan(ctx context.Context, after, upTo engine.SlotNo, fn func(engine.Slot) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	extents, durable := s.files.between(after, upTo)
	c := scan{s: s, ctx: ctx, upTo: min(upTo, durable), next: after + 1, fn: fn}
	for _, x := range extents {
		if x.first > c.next {
			break
		}
		if err := c.file(x); err != nil {
			return err
		}
	}
	if c.next <= c.upTo {
		return fmt.Errorf("shard %d: slot %d: %w", s.id, c.next, engine.ErrNotFound)
	}
	return nil
}

// between returns the files that hold durable slots in (after, upTo], and the
// number of the last durable slot of all.
func (t *fileTable) between(after, upTo engine.SlotNo) ([]extent, engine.SlotNo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var extents []extent
	var durable engine.SlotNo
	for _, f := range t.list {
		durable = max(durable, f.last)
		if f.first != 0 && f.last > after && f.first <= upTo {
			extents = append(extents, extent{f, f.first, f.last, f.end})
		}
	}
	return extents, durable
}

// file delivers the wanted slots of one file.
func (c *scan) file(x extent) error {
	if _, err := c.s.files.acquire(x.file.file); err != nil {
		return err
	}
	defer c.s.files.release(x.file)
	r := slotReader{f: x.file, size: x.end}
	off, prev, err := c.start(&r, x)
	if err != nil {
		return err
	}
	for prev.no < min(c.upTo, x.last) {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		s, v, reason, err := r.at(off, prev)
		if err != nil {
			return err
		}
		if v != whole {
			return damaged(x.file, off, reason)
		}
		if s.no >= c.next {
			if err := c.fn(s.slot(x.file.file, off, s.head)); err != nil {
				return err
			}
			c.next = s.no + 1
		}
		prev, off = link{s.no, s.crc}, off+s.size()
	}
	c.s.remember(bookmark{x.file.file, off, prev})
	return nil
}

// start returns where to begin in the file and what the slot there follows on.
func (c *scan) start(r *slotReader, x extent) (int64, link, error) {
	if b := c.s.recall(); b.file == x.file.file && b.at.no == c.next-1 {
		return b.off, b.at, nil
	}
	p, err := r.bytes(pageBytes, slotHeaderBytes)
	if err != nil {
		return 0, link{}, err
	}
	h, ok := x.file.ownSlot(p)
	if !ok || h.no != x.first {
		return 0, link{}, damaged(x.file, pageBytes, fmt.Sprintf("slot %d cannot be read", x.first))
	}
	return pageBytes, link{h.no - 1, h.pred}, nil
}

func (s *shard) remember(b bookmark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scanned = b
}

func (s *shard) recall() bookmark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scanned
}
