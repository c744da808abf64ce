package mem_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// TestRandomHistories does anything in any order and crashes at any moment.
// After each crash everything that was acknowledged or served is there, in
// order and whole, and at most the one slot more that was under way.
func TestRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHistory(mem.New(mem.Options{Seed: seed, FileBytes: 32<<10 + 4096*rapid.Int64Range(0, 16).Draw(t, "pages")}))
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			op := rapid.SampledFrom(steps).Draw(t, "step")
			err := op.do(h, rng)
			if expected(err) {
				h.loseSomehow(rng)
				err = restart(h, rng)
			}
			if err != nil {
				t.Fatalf("%s: %v", op, err)
			}
		}
		h.lose(rng)
		if err := restart(h, rng); err != nil {
			t.Fatal(err)
		}
	})
}

// expected reports whether an error comes from a fault, so that the process
// would end with it.
func expected(err error) bool {
	return errors.Is(err, mem.ErrCrashed) || errors.Is(err, mem.ErrIO)
}

// restart recovers, through crashes and failing syncs in between.
func restart(h *history, rng *rand.Rand) error {
	h.disk.SetFree(-1)
	switch rng.IntN(6) {
	case 0:
		h.disk.CrashAfter(1 + rng.IntN(30))
	case 1:
		h.disk.FailSync(1 + rng.IntN(3))
	}
	err := h.start()
	if expected(err) {
		h.loseSomehow(rng)
		return restart(h, rng)
	}
	return err
}

// step is one thing that can happen.
type step struct {
	name string
	do   func(h *history, rng *rand.Rand) error
}

func (s step) String() string { return s.name }

var steps = []step{
	{"append", func(h *history, rng *rand.Rand) error {
		return fullIsFine(h.append(newSlot(rng, 300, 3000), rng.IntN(4) == 0))
	}},
	{"append large", func(h *history, rng *rand.Rand) error {
		return fullIsFine(h.append(newSlot(rng, 9000, 14_000), rng.IntN(4) == 0))
	}},
	{"append many", func(h *history, rng *rand.Rand) error {
		for range 10 {
			if err := fullIsFine(h.append(newSlot(rng, 300, 6000), false)); err != nil {
				return err
			}
		}
		return nil
	}},
	{"crash soon", func(h *history, rng *rand.Rand) error {
		h.disk.CrashAfter(1 + rng.IntN(20))
		return nil
	}},
	{"fail a sync soon", func(h *history, rng *rand.Rand) error {
		h.disk.FailSync(1 + rng.IntN(4))
		return nil
	}},
	{"fail a sync of a folder soon", func(h *history, rng *rand.Rand) error {
		h.disk.FailSyncDir(1 + rng.IntN(3))
		return nil
	}},
	{"crash", func(h *history, rng *rand.Rand) error {
		h.loseSomehow(rng)
		return restart(h, rng)
	}},
	{"stop and start", func(h *history, rng *rand.Rand) error {
		if err := h.end(); err != nil {
			return err
		}
		err := h.start()
		if errors.Is(err, engine.ErrFull) { // even the ballast is gone
			h.lose(nil)
			return restart(h, rng)
		}
		return err
	}},
	{"fill the disk", func(h *history, rng *rand.Rand) error {
		h.disk.SetFree(rng.Int64N(64 << 10))
		return nil
	}},
	{"empty the disk", func(h *history, _ *rand.Rand) error {
		h.disk.SetFree(-1)
		return nil
	}},
	{"trim some", func(h *history, rng *rand.Rand) error { return h.trim(rng) }},
	{"trim all", func(h *history, _ *rand.Rand) error { return h.trim(nil) }},
	{"scan", func(h *history, rng *rand.Rand) error {
		n := engine.SlotNo(len(h.slots))
		after := h.trimmed + engine.SlotNo(rng.Uint64N(uint64(n-h.trimmed)+1))
		return h.scan(after, n)
	}},
	{"blob", func(h *history, rng *rand.Rand) error {
		name := fmt.Sprintf("%d/blob", rng.IntN(4))
		if _, there := h.blobs[name]; there {
			return h.deleteBlob(name)
		}
		return fullIsFine(h.putBlob(name, newSlot(rng, 0, 20_000).data))
	}},
}

// fullIsFine lets go of the refusals that write nothing.
func fullIsFine(err error) error {
	if errors.Is(err, engine.ErrFull) || errors.Is(err, engine.ErrTooLarge) {
		return nil
	}
	return err
}
