package journal

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Options say what log to open.
type Options struct {
	ID         engine.ShardID
	Shard      engine.Shard // claimed, not yet recovered
	Blobs      engine.BlobStore
	Traits     engine.Traits
	NewMachine func() Machine
	Logger     *slog.Logger
	// Inline: no goroutines; the caller drives the journal with Flush.
	Inline bool
}

// Open recovers the log: it loads the newest good checkpoint, applies every
// entry after it, and returns the state and a journal that goes on behind it.
func Open(ctx context.Context, o Options) (*Journal, Machine, *Checkpoints, error) {
	cps := &Checkpoints{o: o}
	m, from, err := cps.load()
	if err != nil {
		return nil, nil, nil, err
	}
	last := from
	err = o.Shard.Recover(ctx, from, func(s engine.Slot) error {
		if s.No != last+1 {
			return fmt.Errorf("recovery was given slot %d after slot %d", s.No, last)
		}
		last = s.No
		return applyHead(m, s)
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("recover shard %d: %w", o.ID, err)
	}
	return newJournal(o.Shard, o.Traits, last, o.Inline), m, cps, nil
}

// applyHead applies the entries of a slot.
func applyHead(m Machine, s engine.Slot) error {
	h := readHead(s.Head)
	if err := h.entries(m.Apply); err != nil {
		return fmt.Errorf("slot %d in file %d at %d: %w", s.No, s.File, s.Off, err)
	}
	return nil
}

// Extents reads the directory of extents of a recovered or scanned slot.
func Extents(s engine.Slot) ([]datafile.Extent, error) {
	h := readHead(s.Head)
	skip := func(Entry) error { return nil }
	if err := h.entries(skip); err != nil {
		return nil, slotError(s, err)
	}
	exts, err := h.extents(s.DataOff)
	if err != nil {
		return nil, slotError(s, err)
	}
	return exts, nil
}

func slotError(s engine.Slot, err error) error {
	return &engine.ErrDamaged{
		Path: fmt.Sprintf("journal file %016x", uint64(s.File)), Off: s.Off,
		Reason: fmt.Sprintf("head of slot %d: %v", s.No, err),
	}
}

// Entries calls fn for each entry of a slot's head, for tools and tests.
func Entries(head []byte, fn func(Entry) error) error {
	h := readHead(head)
	return h.entries(fn)
}
