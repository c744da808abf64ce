package journal

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// What stands here is what docs/format says. A test that fails after a change
// of the code says that folders of before are misread: the format needs
// another version, not the test other bytes.

// wantBytes compares got with bytes in hexadecimal; what follows a // is left out.
func wantBytes(t *testing.T, got []byte, want string) {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(want) {
		line, _, _ = strings.Cut(line, "//")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, b) {
		t.Errorf("got\n%swant\n%s", hex.Dump(got), hex.Dump(b))
	}
}

// twoEntries adds two entries with data for two logs and writes them as one slot.
func twoEntries(t *testing.T) *world {
	t.Helper()
	const now = 1_700_000_000_000
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	w.j.Add(Entry{Type: 1, Version: 1, Time: now, Body: []byte("first")}, nil,
		Data{Log: 300, Base: 70_000, Count: 3, MaxTime: now - 1, Bytes: []byte("threehundred")})
	w.j.Add(Entry{Type: 200, Version: 2, Time: now + 300}, nil,
		Data{Log: 2, Base: 0, Count: 1, MaxTime: now + 200, Bytes: []byte("two")})
	if err := w.j.Flush(); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestBytesOfHead pins the head of a slot and the order of its data.
func TestBytesOfHead(t *testing.T) {
	w := twoEntries(t)
	err := w.shard.Scan(context.Background(), 0, 1, func(s engine.Slot) error {
		wantBytes(t, s.Head, `
			80 a0 ab fe f9 62   // base time 1,700,000,000,000 ms, signed
			01                  // epoch
			02                  // entries
			01 01 00            // type, version, ms after base time
			05 66 69 72 73 74   // length, body
			c8 01 02 ac 02 00   // type 200, version 2, 300 ms, no body
			02                  // extents, sorted by log
			02 00 01 03 90 03   // log 2: first offset 0, one offset, 3 bytes, base time + 200 ms
			ac 02 e0 c5 08      // log 300: first offset 70,000
			03 0c 01            // 3 offsets, 12 bytes, base time - 1 ms`)
		data := make([]byte, s.DataLen)
		_, err := w.shard.ReadAt(s.File, data, s.DataOff)
		wantBytes(t, data, hex.EncodeToString([]byte("twothreehundred")))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBytesOfCheckpoint pins the blob around a state.
func TestBytesOfCheckpoint(t *testing.T) {
	w := open(t, mem.New(mem.Options{Seed: 1}), true)
	w.add("state", 1, nil, nil)
	if err := errors.Join(w.j.Flush(), w.cps.Make(context.Background(), 1)); err != nil {
		t.Fatal(err)
	}
	b, err := w.eng.Blobs().Open("0000/checkpoint/0000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got := make([]byte, b.Size())
	if _, err := b.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, got, `
		57 58 43 50              // WXCP
		01 00 00 00              // format version
		00 00 00 00              // shard
		01 00 00 00 00 00 00 00  // slot
		0a 00 00 00 00 00 00 00  // length of the state
		f8 40 7b 6c              // CRC-32C of the state
		14 77 02 39              // CRC-32C of the 32 bytes before
		09 73 74 61 74 65 40 31 2f 31`)
}
