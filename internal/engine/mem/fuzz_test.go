package mem_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// FuzzRecover overwrites any part of a journal file and cuts it anywhere.
// Recovery refuses, or it delivers what was written. It may lack the last
// slot; only a cut or a patch that is longer than a slot can take more.
func FuzzRecover(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	base := newHistory(mem.New(mem.Options{Seed: 1, FileBytes: crashFileBytes}))
	if err := base.start(); err != nil {
		f.Fatal(err)
	}
	for range 3 {
		s := newSlot(rng, 100, 1000)
		s.data = append(s.data, make([]byte, 2000)...)
		s.data = append(s.data, "so that the slot has an end that is not zero"...)
		if err := base.append(s, false); err != nil {
			f.Fatal(err)
		}
	}
	base.lose(nil)
	name := fmt.Sprintf("%s/shard-0000/journal/%016x.wal", mem.Dir, 1)
	original, err := base.disk.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(4096), []byte{}, uint32(0))
	f.Add(uint32(4096), []byte("WXSL"), uint32(0))
	f.Add(uint32(4096+24), []byte{0xff, 0xff, 0xff, 0xff}, uint32(0))
	f.Add(uint32(8192), original[4096:8192], uint32(0))
	f.Add(uint32(0), []byte("WaxJrnl\n\x02"), uint32(100))
	f.Fuzz(func(t *testing.T, off uint32, patch []byte, cut uint32) {
		content := append([]byte{}, original...)
		copy(content[int(off)%len(content):], patch)
		content = content[:len(content)-int(cut)%len(content)]
		h := base.clone()
		if err := h.disk.WriteFile(name, content); err != nil {
			t.Fatal(err)
		}
		eng, err := h.disk.Engine()
		if err != nil {
			t.Fatal(err)
		}
		shard, err := eng.Claim(t.Context(), 0)
		if err != nil {
			if !errors.Is(err, engine.ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		n := 0
		err = shard.Recover(t.Context(), 0, func(s engine.Slot) error {
			if n++; n > len(h.slots) || string(s.Head) != string(h.slots[n-1].head) {
				return fmt.Errorf("slot %d is not what was written", n)
			}
			return nil
		})
		var damage *engine.ErrDamaged
		if err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		}
		if err == nil && n < len(h.slots)-1 && cut == 0 && len(patch) < 1500 {
			t.Fatalf("recovered %d of %d slots without an error", n, len(h.slots))
		}
	})
}
