package mem_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// slot is what went into a slot.
type slot struct{ head, data []byte }

func newSlot(rng *rand.Rand, headMax, dataMax int) slot {
	s := slot{make([]byte, rng.IntN(headMax+1)), make([]byte, rng.IntN(dataMax+1))}
	for _, b := range [][]byte{s.head, s.data} {
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
	}
	return s
}

// history is what a shard and its blobs must hold, as someone knows who got
// the answers: what was acknowledged, what was served, and what was under way
// when the disk crashed.
type history struct {
	disk   *mem.Disk
	eng    *disk.Engine
	shard  engine.Shard
	slots  []slot // acknowledged or served, by number from 1
	flying *slot  // not answered: may be there or not
	// trimmed is what a checkpoint covers: recovery asks for what follows.
	trimmed engine.SlotNo

	blobs      map[string][]byte
	flyingBlob string // neither committed nor failed for sure
	flyingData []byte
}

func newHistory(d *mem.Disk) *history {
	return &history{disk: d, blobs: map[string][]byte{}}
}

// start opens, claims and recovers. An error that is no crash is a finding of
// the test, as is what verify says.
func (h *history) start() error {
	var err error
	if h.eng, err = h.disk.Engine(); err != nil {
		return err
	}
	if h.shard, err = h.eng.Claim(context.Background(), 0); err != nil {
		return err
	}
	var found []engine.Slot
	var heads [][]byte
	err = h.shard.Recover(context.Background(), h.trimmed, func(s engine.Slot) error {
		heads = append(heads, bytes.Clone(s.Head))
		found = append(found, s)
		return nil
	})
	if err != nil {
		return err
	}
	return h.verify(found, heads)
}

// verify compares what was recovered with the history. What is recovered has
// been served, so from now on it must stay.
func (h *history) verify(found []engine.Slot, heads [][]byte) error {
	end := int(h.trimmed) + len(found)
	switch {
	case end == len(h.slots)+1 && h.flying != nil:
		h.slots = append(h.slots, *h.flying)
	case end != len(h.slots):
		return fmt.Errorf("recovered slots up to %d, but %d were acknowledged or served", end, len(h.slots))
	}
	h.flying = nil
	for i, s := range found {
		want := h.slots[int(h.trimmed)+i]
		if s.No != h.trimmed+engine.SlotNo(i)+1 || !bytes.Equal(heads[i], want.head) {
			return fmt.Errorf("slot %d: recovered with another head, as slot %d", int(h.trimmed)+i+1, s.No)
		}
		data := make([]byte, s.DataLen)
		if _, err := h.shard.ReadAt(s.File, data, s.DataOff); err != nil && err != io.EOF {
			return err
		}
		if !bytes.Equal(data, want.data) {
			return fmt.Errorf("slot %d: recovered with other data", s.No)
		}
	}
	if err := h.verifyFiles(); err != nil {
		return err
	}
	return h.verifyBlobs()
}

// verifyFiles scans each file by what it says that it holds.
func (h *history) verifyFiles() error {
	for _, f := range h.shard.Files() {
		if f.First == 0 {
			continue
		}
		if err := h.scan(f.First-1, f.Last); err != nil {
			return fmt.Errorf("file %+v: %w", f, err)
		}
	}
	return nil
}

func (h *history) verifyBlobs() error {
	names, err := h.eng.Blobs().List("")
	if err != nil {
		return err
	}
	if h.flyingBlob != "" {
		delete(h.blobs, h.flyingBlob) // a deletion that may have happened
		if slices.Contains(names, h.flyingBlob) {
			h.blobs[h.flyingBlob] = h.flyingData
		}
		h.flyingBlob = ""
	}
	if len(names) != len(h.blobs) {
		return fmt.Errorf("blobs %q, want %d", names, len(h.blobs))
	}
	for _, name := range names {
		blob, err := h.eng.Blobs().Open(name)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
		if err != nil || !bytes.Equal(got, h.blobs[name]) {
			return fmt.Errorf("blob %s holds other bytes: %w", name, err)
		}
		if err := blob.Close(); err != nil {
			return err
		}
	}
	return nil
}

// append writes a slot. Only an answer makes it part of the history.
func (h *history) append(s slot, reserve bool) error {
	h.flying = &s
	_, err := h.shard.Append(s.head, [][]byte{s.data}, reserve).Wait()
	switch {
	case err == nil:
		h.slots = append(h.slots, s)
		h.flying = nil
	case errors.Is(err, engine.ErrFull), errors.Is(err, engine.ErrTooLarge):
		h.flying = nil
	}
	return err
}

func (h *history) putBlob(name string, content []byte) error {
	w, err := h.eng.Blobs().Create(name)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(content); err != nil {
		return err
	}
	h.flyingBlob, h.flyingData = name, content
	if err := w.Commit(); err != nil {
		return err
	}
	h.blobs[name], h.flyingBlob = content, ""
	return nil
}

func (h *history) deleteBlob(name string) error {
	h.flyingBlob, h.flyingData = name, h.blobs[name]
	if err := h.eng.Blobs().Delete(name); err != nil {
		return err
	}
	delete(h.blobs, name)
	h.flyingBlob = ""
	return nil
}

// trim deletes closed files: all of which the checkpoint covers everything if
// rng is nil, else any of those.
func (h *history) trim(rng *rand.Rand) error {
	var ids []engine.FileID
	files := h.shard.Files()
	for _, f := range files[:len(files)-1] {
		if rng == nil || rng.IntN(2) == 0 {
			ids = append(ids, f.ID)
			h.trimmed = max(h.trimmed, f.Last)
		}
	}
	return h.shard.Trim(ids...)
}

// scan checks Scan against the history.
func (h *history) scan(after, upTo engine.SlotNo) error {
	next := after + 1
	err := h.shard.Scan(context.Background(), after, upTo, func(s engine.Slot) error {
		if s.No != next || !bytes.Equal(s.Head, h.slots[next-1].head) {
			return fmt.Errorf("scan: slot %d is not what slot %d was", s.No, next)
		}
		next++
		return nil
	})
	if err == nil && next <= min(upTo, engine.SlotNo(len(h.slots))) {
		err = fmt.Errorf("scan (%d, %d] ended before slot %d", after, upTo, next)
	}
	return err
}

// end releases and closes, on a disk that works.
func (h *history) end() error {
	return errors.Join(h.shard.Release(), h.eng.Close())
}

// lose replaces the disk by what a power loss leaves of it, or, without rng,
// the death of the process.
func (h *history) lose(rng *rand.Rand) {
	if rng == nil {
		h.disk = h.disk.Kill()
	} else {
		h.disk = h.disk.Crash(rng)
	}
}
