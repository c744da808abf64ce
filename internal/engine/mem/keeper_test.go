package mem_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// startInBackground opens a shard that prepares its files in a goroutine, as
// in production, with the clock of the bubble.
func startInBackground(t *testing.T, d *mem.Disk, fileBytes int64) (engine.Shard, func()) {
	t.Helper()
	e, err := disk.Open(disk.Options{Dir: mem.Dir, FS: d, FileBytes: fileBytes, Rand: d.Rand(), Logf: t.Logf})
	must(t, err)
	s, err := e.Claim(context.Background(), 0)
	must(t, err)
	must(t, s.Recover(context.Background(), 0, func(engine.Slot) error { return nil }))
	return s, func() { must(t, s.Release(), e.Close()) }
}

func walFiles(d *mem.Disk) int {
	n := 0
	for _, name := range d.Names() {
		if name[len(name)-4:] == ".wal" {
			n++
		}
	}
	return n
}

// TestSpareIsPreparedGently: while nobody is in a hurry, filling leaves the
// device free most of the time; an append that needs the file does not wait.
func TestSpareIsPreparedGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mem.New(mem.Options{})
		s, end := startInBackground(t, d, 64<<20)
		defer end()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if walFiles(d) != 1 {
			t.Error("64 MiB were filled in half a second though nothing pressed")
		}
		before := time.Now()
		for range 5 { // the first file is shorter: 32 MiB, of which 16 are the reserve
			_, err := s.Append(nil, [][]byte{make([]byte, 8<<20)}, false).Wait()
			must(t, err)
		}
		if took := time.Since(before); took > 100*time.Millisecond {
			t.Errorf("appends waited %v for the next file", took)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := walFiles(d); n != 3 {
			t.Errorf("%d journal files, want the full one, the open one and the spare", n)
		}
	})
}

// TestFullDiskIsTriedAgain: without any help from above, the spare is
// prepared a second or so after space became free.
func TestFullDiskIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mem.New(mem.Options{})
		s, end := startInBackground(t, d, 64<<10)
		defer end()
		d.SetFree(0)
		rng := rand.New(rand.NewPCG(1, 1))
		for !s.Full() {
			time.Sleep(10 * time.Millisecond)
			x := newSlot(rng, 100, 3000)
			if _, err := s.Append(x.head, [][]byte{x.data}, false).Wait(); err != nil && !errors.Is(err, engine.ErrFull) {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if !s.Full() {
			t.Error("not full any more though nothing became free")
		}
		d.SetFree(1 << 20)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if s.Full() {
			t.Error("still full a second after space became free")
		}
		_, err := s.Append(nil, nil, false).Wait()
		must(t, err)
	})
}

// TestReleaseWhileFilling stops the goroutine in the middle of a file.
func TestReleaseWhileFilling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mem.New(mem.Options{})
		_, end := startInBackground(t, d, 64<<20)
		time.Sleep(100 * time.Millisecond)
		before := time.Now()
		end()
		if took := time.Since(before); took > 50*time.Millisecond {
			t.Errorf("release took %v", took)
		}
		if walFiles(d) != 1 {
			t.Error("a half-filled file was left")
		}
	})
}
