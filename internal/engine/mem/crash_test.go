package mem_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// crashFileBytes makes files that a few slots fill.
const crashFileBytes = 32 << 10

// work does a little of everything and stops at the first error.
func work(h *history, rng *rand.Rand) error {
	if err := h.start(); err != nil {
		return err
	}
	for i := range 24 {
		if err := h.append(newSlot(rng, 1000, 7000), false); err != nil {
			return err
		}
		var err error
		switch i {
		case 3, 9, 15:
			err = h.putBlob(fmt.Sprintf("0000/checkpoint/%d", i), make([]byte, 3000))
		case 7, 20:
			err = h.trim(rng)
		case 10:
			err = h.deleteBlob("0000/checkpoint/3")
		}
		if err != nil {
			return err
		}
	}
	return h.end()
}

// TestCrashAtEveryOperation crashes at each change of the disk, by power loss
// and by death of the process, and then again at each change of the recovery.
func TestCrashAtEveryOperation(t *testing.T) {
	dry := newHistory(mem.New(mem.Options{Seed: 7, FileBytes: crashFileBytes}))
	if err := work(dry, rand.New(rand.NewPCG(7, 0))); err != nil {
		t.Fatal(err)
	}
	ops := dry.disk.Ops()
	if ops < 100 {
		t.Fatalf("the work takes only %d operations", ops)
	}
	for n := 1; n <= ops; n++ {
		for variant := range uint64(4) {
			rng := rand.New(rand.NewPCG(uint64(n), variant))
			h := newHistory(mem.New(mem.Options{Seed: 7, FileBytes: crashFileBytes}))
			h.disk.CrashAfter(n)
			// A crash while the last spare is prepared goes unnoticed.
			if err := work(h, rand.New(rand.NewPCG(7, 0))); err != nil && !errors.Is(err, mem.ErrCrashed) {
				t.Fatalf("operation %d of %d: %v", n, ops, err)
			}
			if variant == 0 {
				rng = nil
			}
			h.lose(rng)
			if err := recoverAgainAndAgain(h, rand.New(rand.NewPCG(uint64(n), variant+10))); err != nil {
				t.Fatalf("crash at operation %d of %d, variant %d: %v", n, ops, variant, err)
			}
		}
	}
}

// recoverAgainAndAgain lets recovery crash a few times, anywhere, before it
// may finish; then it goes on, dies and recovers once more.
func recoverAgainAndAgain(h *history, rng *rand.Rand) error {
	for range rng.IntN(4) {
		h.disk.CrashAfter(1 + rng.IntN(25))
		err := h.start()
		if err != nil && !errors.Is(err, mem.ErrCrashed) {
			return fmt.Errorf("recovery that is to crash: %w", err)
		}
		h.loseSomehow(rng)
	}
	for range 2 {
		if err := h.start(); err != nil {
			return fmt.Errorf("recovery: %w", err)
		}
		if err := h.append(newSlot(rng, 100, 5000), false); err != nil {
			return err
		}
		h.loseSomehow(rng)
	}
	return nil
}

func (h *history) loseSomehow(rng *rand.Rand) {
	if rng.IntN(2) == 0 {
		rng = nil
	}
	h.lose(rng)
}

// TestCrashAtEveryOperationOfRecovery starts from logs in different states
// and crashes each recovery at each of its changes.
func TestCrashAtEveryOperationOfRecovery(t *testing.T) {
	for name, prepare := range map[string]func(*history, *rand.Rand) error{
		"fresh": func(*history, *rand.Rand) error { return nil },
		"one slot": func(h *history, rng *rand.Rand) error {
			return errors.Join(h.start(), h.append(newSlot(rng, 100, 3000), false))
		},
		"unsynced tail": func(h *history, rng *rand.Rand) error {
			return errors.Join(h.start(), h.append(newSlot(rng, 100, 3000), false), h.flyingTail(rng))
		},
		"several files and epochs": func(h *history, rng *rand.Rand) error {
			if err := work(h, rng); err != nil {
				return err
			}
			return errors.Join(h.start(), h.append(newSlot(rng, 100, 3000), false), h.flyingTail(rng))
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := newHistory(mem.New(mem.Options{Seed: 3, FileBytes: crashFileBytes}))
			if err := prepare(base, rand.New(rand.NewPCG(3, 0))); err != nil {
				t.Fatal(err)
			}
			base.lose(nil)
			dry := base.clone()
			if err := dry.start(); err != nil {
				t.Fatal(err)
			}
			for n := 1; n <= dry.disk.Ops(); n++ {
				for variant := range uint64(6) {
					rng := rand.New(rand.NewPCG(uint64(n), variant))
					h := base.clone()
					h.disk.CrashAfter(n)
					if err := h.start(); err != nil && !errors.Is(err, mem.ErrCrashed) {
						t.Fatalf("operation %d: %v", n, err)
					}
					h.loseSomehow(rng)
					if err := recoverAgainAndAgain(h, rng); err != nil {
						t.Fatalf("crash at operation %d of %d, variant %d: %v", n, dry.disk.Ops(), variant, err)
					}
				}
			}
		})
	}
}

// flyingTail begins to append a slot and crashes in its sync.
func (h *history) flyingTail(rng *rand.Rand) error {
	h.disk.CrashAfter(2) // write, then sync
	if err := h.append(newSlot(rng, 100, 3000), false); !errors.Is(err, mem.ErrCrashed) {
		return fmt.Errorf("append on a disk that crashes: %w", err)
	}
	return nil
}

// clone copies the history and the disk, with nothing open.
func (h *history) clone() *history {
	c := newHistory(h.disk.Clone())
	c.slots = append(c.slots, h.slots...)
	c.flying, c.trimmed = h.flying, h.trimmed
	for name, content := range h.blobs { // the order does not show
		c.blobs[name] = content
	}
	return c
}

// TestUnprovenTailIsMadeDurable is the case for which the tail is written
// again: the process dies with a slot that was written and not synced, the
// next process serves it, and then the power fails.
func TestUnprovenTailIsMadeDurable(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHistory(mem.New(mem.Options{Seed: seed, FileBytes: crashFileBytes}))
		err := errors.Join(h.start(), h.append(newSlot(rng, 100, 3000), false), h.flyingTail(rng))
		if err != nil {
			t.Fatal(err)
		}
		h.lose(nil)
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		if len(h.slots) != 2 {
			t.Fatalf("seed %d: %d slots after the process died, want the unsynced one too", seed, len(h.slots))
		}
		h.lose(rng)
		if err := h.start(); err != nil {
			t.Fatalf("seed %d: after the power loss: %v", seed, err)
		}
	}
}

// TestTrimIsForGood loses power after a trim: the files do not come back.
func TestTrimIsForGood(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHistory(mem.New(mem.Options{Seed: seed, FileBytes: crashFileBytes}))
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := h.append(newSlot(rng, 100, 7000), false); err != nil {
				t.Fatal(err)
			}
		}
		first := h.shard.Files()[0].ID
		if err := h.trim(nil); err != nil {
			t.Fatal(err)
		}
		h.lose(rng)
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		if got := h.shard.Files()[0].ID; got <= first {
			t.Errorf("seed %d: file %d came back", seed, got)
		}
	}
}

// TestFailedSync fails one sync in an append. Nothing may be appended after
// it, although the next sync would succeed.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHistory(mem.New(mem.Options{Seed: seed, FileBytes: crashFileBytes}))
		if err := errors.Join(h.start(), h.append(newSlot(rng, 100, 3000), false)); err != nil {
			t.Fatal(err)
		}
		h.disk.FailSync(1)
		first := h.append(newSlot(rng, 100, 3000), false)
		if !errors.Is(first, mem.ErrIO) {
			t.Fatalf("append with a failing sync: %v", first)
		}
		flying := h.flying
		ops := h.disk.Ops()
		if err := h.append(newSlot(rng, 100, 3000), true); err == nil || err.Error() != first.Error() {
			t.Fatalf("append after a failed sync: %v, want the same error %v", err, first)
		}
		if h.disk.Ops() != ops {
			t.Error("the disk was written after a failed sync")
		}
		h.flying = flying
		h.loseSomehow(rng)
		if err := recoverAgainAndAgain(h, rng); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestFailedSyncAnywhere fails each sync of the work in turn, of files and of
// folders. Whatever it hits, nothing that was acknowledged is lost.
func TestFailedSyncAnywhere(t *testing.T) {
	for what, fail := range map[string]func(*mem.Disk, int){
		"file":   (*mem.Disk).FailSync,
		"folder": (*mem.Disk).FailSyncDir,
	} {
		failed := 0
		for n := 1; n <= 60; n++ {
			h := newHistory(mem.New(mem.Options{Seed: 7, FileBytes: crashFileBytes}))
			fail(h.disk, n)
			// A failure that concerns a spare or the ballast is no error yet.
			err := work(h, rand.New(rand.NewPCG(7, 0)))
			if err != nil && !errors.Is(err, mem.ErrIO) {
				t.Fatalf("%s sync %d: %v", what, n, err)
			}
			if err != nil {
				failed++
			}
			rng := rand.New(rand.NewPCG(uint64(n), 0))
			fail(h.disk, 0)
			h.loseSomehow(rng)
			if err := recoverAgainAndAgain(h, rng); err != nil {
				t.Fatalf("failed %s sync %d: %v", what, n, err)
			}
		}
		if failed < 8 {
			t.Errorf("only %d failed syncs of a %s were noticed", failed, what)
		}
	}
}

// TestSameSeedSameBytes runs the same work and crash twice.
func TestSameSeedSameBytes(t *testing.T) {
	run := func() map[string]string {
		rng := rand.New(rand.NewPCG(9, 9))
		h := newHistory(mem.New(mem.Options{Seed: 9, FileBytes: crashFileBytes}))
		h.disk.CrashAfter(120)
		if err := work(h, rng); !errors.Is(err, mem.ErrCrashed) {
			t.Fatal(err)
		}
		h.lose(rng)
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		stored := map[string]string{}
		for _, name := range h.disk.Names() {
			content, err := h.disk.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			stored[name] = string(content)
		}
		return stored
	}
	first, second := run(), run()
	if len(first) != len(second) {
		t.Fatalf("%d files and %d files", len(first), len(second))
	}
	for name, content := range first {
		if second[name] != content {
			t.Errorf("%s differs between two runs of one seed", name)
		}
	}
}

// TestEveryByteOfHeaders inverts each byte of a slot's header and head in turn.
func TestEveryByteOfHeaders(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	base := newHistory(mem.New(mem.Options{Seed: 5, FileBytes: crashFileBytes}))
	if err := base.start(); err != nil {
		t.Fatal(err)
	}
	var at []engine.Slot
	for range 3 {
		s := newSlot(rng, 100, 3000)
		placed, err := base.shard.Append(s.head, [][]byte{s.data}, false).Wait()
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, placed)
		base.slots = append(base.slots, s)
	}
	base.lose(nil)
	name := fmt.Sprintf("%s/shard-0000/journal/%016x.wal", mem.Dir, at[0].File)
	for i, s := range at {
		for off := s.Off; off < s.DataOff; off++ {
			h := base.clone()
			if err := h.disk.FlipBit(name, off*8+off%8); err != nil {
				t.Fatal(err)
			}
			last := i == len(at)-1
			if last {
				h.slots, h.flying = h.slots[:i:i], nil
			}
			err := h.start()
			var damage *engine.ErrDamaged
			// Zeros in the header are under its checksum too, so every byte counts.
			if !last && !errors.As(err, &damage) || last && err != nil {
				t.Errorf("byte %d of slot %d: %v", off-s.Off, i+1, err)
			}
		}
	}
}
