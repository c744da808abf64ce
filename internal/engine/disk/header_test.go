package disk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

var sampleFile = fileHeader{
	shard: 3, file: 0x11, epoch: 5, kind: firstOfEpoch, salt: 0x0102030405060708,
	prev: chainEnd{file: 0x0f, off: 8192, slot: 77, crc: 0xdeadbeef},
	held: true,
}

var sampleSlot = slotHeader{
	epoch: 5, no: 78, salt: 0x0102030405060708,
	headLen: 10, headCRC: 0x11111111, dataLen: 20, dataCRC: 0x22222222, pred: 0xdeadbeef,
}

// TestBytesOfHeaders pins the formats: what one version writes, every later
// one must read.
func TestBytesOfHeaders(t *testing.T) {
	page := make([]byte, pageBytes)
	sampleFile.encode(page)
	const wantFile = "5761784a726e6c0a" + "01000000" + "03000000" + "1100000000000000" + "05000000" + "01000000" +
		"0807060504030201" + "0f00000000000000" + "0020000000000000" + "4d00000000000000" + "efbeadde" + "01000000"
	if got := hex.EncodeToString(page[:72]); got != wantFile {
		t.Errorf("file header\n%s, want\n%s", got, wantFile)
	}
	if !allZero(page[72:pageBytes-4]) || hex.EncodeToString(page[pageBytes-4:]) != "53b12da4" {
		t.Errorf("file header: checksum %x", page[pageBytes-4:])
	}
	slot := make([]byte, slotHeaderBytes)
	h := sampleSlot
	h.encode(slot)
	const wantSlot = "5758534c" + "05000000" + "4e00000000000000" + "0807060504030201" + "0a000000" + "11111111" +
		"14000000" + "22222222" + "efbeadde" + "00000000000000000000000000000000" + "e9ff7d4c"
	if got := hex.EncodeToString(slot); got != wantSlot {
		t.Errorf("slot header\n%s, want\n%s", got, wantSlot)
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	page := make([]byte, pageBytes)
	sampleFile.encode(page)
	if got, err := decodeFileHeader(page); err != nil || got != sampleFile {
		t.Errorf("file header: %+v, %v", got, err)
	}
	slot := make([]byte, slotHeaderBytes)
	h := sampleSlot
	h.encode(slot)
	if got, ok := decodeSlotHeader(slot); !ok || got != h {
		t.Errorf("slot header: %+v, %v", got, ok)
	}
}

// TestNewerBeforeChecksum: a version that lays its header out in another way
// has no checksum that this one could check.
func TestNewerBeforeChecksum(t *testing.T) {
	page := make([]byte, pageBytes)
	sampleFile.encode(page)
	page[8] = 2
	page[2000] = 1
	if _, err := decodeFileHeader(page); !errors.Is(err, engine.ErrNewer) {
		t.Errorf("newer version: %v", err)
	}
}

func TestBadFileHeaders(t *testing.T) {
	for name, change := range map[string]func(*fileHeader){
		"kind":            func(h *fileHeader) { h.kind = 3 },
		"no id":           func(h *fileHeader) { h.file = 0 },
		"no epoch":        func(h *fileHeader) { h.epoch = 0 },
		"follows itself":  func(h *fileHeader) { h.prev.file = h.file },
		"negative offset": func(h *fileHeader) { h.prev.off = -4096 },
		"odd offset":      func(h *fileHeader) { h.prev.off = 100 },
	} {
		h := sampleFile
		change(&h)
		page := make([]byte, pageBytes)
		h.encode(page)
		if _, err := decodeFileHeader(page); err == nil || errors.Is(err, engine.ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	page := make([]byte, pageBytes)
	sampleFile.encode(page)
	for at := range page {
		if at >= 8 && at < 12 {
			continue // the version
		}
		page[at] ^= 0x40
		if _, err := decodeFileHeader(page); err == nil {
			t.Errorf("byte %d changed unnoticed", at)
		}
		page[at] ^= 0x40
	}
}

func FuzzFileHeader(f *testing.F) {
	page := make([]byte, pageBytes)
	sampleFile.encode(page)
	f.Add(page)
	f.Add(page[:100])
	f.Add(bytes.Repeat([]byte{0xff}, pageBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeFileHeader(b)
		if err != nil {
			return
		}
		again := make([]byte, pageBytes)
		h.encode(again)
		if got, err := decodeFileHeader(again); err != nil || got != h {
			t.Fatalf("%+v became %+v, %v", h, got, err)
		}
	})
}

func FuzzSlotHeader(f *testing.F) {
	b := make([]byte, slotHeaderBytes)
	h := sampleSlot
	h.encode(b)
	f.Add(b, int64(4096))
	f.Add(b[:10], int64(0))
	f.Fuzz(func(t *testing.T, b []byte, off int64) {
		h, ok := decodeSlotHeader(b)
		if !ok {
			return
		}
		if off >= 0 && off < 1<<40 && h.fits(off, 128<<20) && (h.size() > maxSlotBytes+2*pageBytes || off+h.size() > 128<<20) {
			t.Fatalf("%+v of %d bytes fits at %d", h, h.size(), off)
		}
		again := make([]byte, slotHeaderBytes)
		copied := h
		copied.encode(again)
		if copied != h {
			t.Fatalf("%+v became %+v", h, copied)
		}
	})
}
