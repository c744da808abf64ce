package mem_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// fillUp appends until the disk is full but for the reserve.
func fillUp(t *testing.T, h *history) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	h.disk.SetFree(0)
	for {
		err := h.append(newSlot(rng, 100, 3000), false)
		if errors.Is(err, engine.ErrFull) {
			return
		}
		must(t, err)
	}
}

// TestBlobGoesBeforeJournal: what becomes free while a blob lives on the
// ballast is for the blob, and for the journal once the blob is done.
func TestBlobGoesBeforeJournal(t *testing.T) {
	const fileBytes = 64 << 10
	h := newHistory(mem.New(mem.Options{Seed: 1, FileBytes: fileBytes}))
	must(t, h.start(), h.putBlob("x/old", make([]byte, 2*fileBytes)))
	fillUp(t, h)
	w, err := h.eng.Blobs().Create("x/new")
	must(t, err)
	_, err = w.Write(make([]byte, 100))
	must(t, err)
	must(t, h.deleteBlob("x/old"))
	if !h.shard.Full() {
		t.Error("the journal took the space while a blob was being written")
	}
	_, err = w.Write(make([]byte, fileBytes))
	must(t, err)
	must(t, w.Commit())
	must(t, h.eng.Blobs().Delete("x/new"))
	if h.shard.Full() {
		t.Error("the journal did not take the space when the blob was done")
	}
}

// TestBallastComesBack: the space that was given up is taken again when there
// is room, after the journal has its file.
func TestBallastComesBack(t *testing.T) {
	h := newHistory(mem.New(mem.Options{Seed: 1, FileBytes: 64 << 10}))
	must(t, h.start())
	there := func() bool {
		_, err := h.disk.ReadFile(mem.Dir + "/ballast")
		return err == nil
	}
	if !there() {
		t.Fatal("no ballast in a new folder")
	}
	fillUp(t, h)
	must(t, h.putBlob("x/y", make([]byte, 100)))
	if there() {
		t.Fatal("the blob did not need the ballast")
	}
	must(t, h.deleteBlob("x/y"))
	if there() {
		t.Error("ballast came before the journal")
	}
	h.disk.SetFree(-1)
	if h.shard.Full() {
		t.Error("full although there is space")
	}
	if !there() {
		t.Error("the ballast did not come back")
	}
}

// TestStartOnFullDisk takes every way to make room before it gives up, says
// what is wrong, and starts when there is room.
func TestStartOnFullDisk(t *testing.T) {
	h := newHistory(mem.New(mem.Options{Seed: 1, FileBytes: 64 << 10}))
	must(t, h.start())
	fillUp(t, h)
	rng := rand.New(rand.NewPCG(2, 2))
	full := false
	for range 20 {
		h.lose(nil)
		h.disk.SetFree(0)
		if err := h.start(); err != nil {
			if !errors.Is(err, engine.ErrFull) {
				t.Fatal(err)
			}
			full = true
			break
		}
		for { // use up the reserve, which nobody who deletes would do
			if err := h.append(newSlot(rng, 10, 3000), true); errors.Is(err, engine.ErrFull) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if !full {
		t.Error("started again and again on a disk without room for a slot")
	}
	h.lose(nil)
	h.disk.SetFree(1 << 20)
	must(t, h.start())
}

// TestReadOnlyDisk wants an error, not a half-open engine.
func TestReadOnlyDisk(t *testing.T) {
	h := newHistory(mem.New(mem.Options{Seed: 1}))
	must(t, h.start(), h.end())
	h.disk.SetReadOnly(true)
	if err := h.start(); err == nil {
		t.Error("started on a read-only disk")
	}
	h.disk.SetReadOnly(false)
	must(t, h.start())
}
