package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// TestSlotReaderVerdicts puts one slot header after another where slot 8 of
// epoch 3 must be, and looks at the verdict.
func TestSlotReaderVerdicts(t *testing.T) {
	const salt = 77
	prev := link{no: 7, crc: 0x1234}
	head := []byte("the head")
	good := slotHeader{epoch: 3, no: 8, salt: salt, headLen: uint32(len(head)), dataLen: 100, pred: prev.crc}
	good.headCRC = copySum(make([]byte, len(head)), head, 0)
	for _, c := range []struct {
		what   string
		change func(*slotHeader)
		want   verdict
	}{
		{"as it must be", func(*slotHeader) {}, whole},
		{"head checksum", func(h *slotHeader) { h.headCRC++ }, badHead},
		{"salt", func(h *slotHeader) { h.salt++ }, unreadable},
		{"epoch", func(h *slotHeader) { h.epoch-- }, unreadable},
		{"number before", func(h *slotHeader) { h.no = 7 }, foreign},
		{"number after", func(h *slotHeader) { h.no = 9 }, foreign},
		{"predecessor", func(h *slotHeader) { h.pred++ }, foreign},
		{"reaches beyond the file", func(h *slotHeader) { h.dataLen = 62_000 }, foreign},
		{"longer than any slot", func(h *slotHeader) { h.headLen, h.dataLen = 0xffffffff, 0xffffffff }, foreign},
	} {
		content := make([]byte, 64<<10)
		h := good
		c.change(&h)
		h.encode(content[pageBytes:])
		copy(content[pageBytes+slotHeaderBytes:], head)
		got, v, reason := readSlot(t, content, salt, pageBytes, prev)
		if v != c.want || (v == whole) != (reason == "") {
			t.Errorf("%s: verdict %d, %q, want %d", c.what, v, reason, c.want)
		}
		if v == whole && (!bytes.Equal(got.head, head) || got.no != 8) {
			t.Errorf("%s: read %+v", c.what, got)
		}
	}

	empty := make([]byte, 64<<10)
	for off, want := range map[int64]verdict{pageBytes: absent, 60 << 10: absent, 64 << 10: absent, 1 << 20: absent} {
		if _, v, _ := readSlot(t, empty, salt, off, prev); v != want {
			t.Errorf("zeros at %d: verdict %d", off, v)
		}
	}
	endMark{last: 7, salt: salt, off: pageBytes}.encode(empty[pageBytes:])
	if _, v, _ := readSlot(t, empty, salt, pageBytes, prev); v != absent {
		t.Errorf("end mark: verdict %d", v)
	}
	if _, v, _ := readSlot(t, empty, salt+1, pageBytes, prev); v != unreadable {
		t.Errorf("end mark of another file: verdict %d", v)
	}
	empty[pageBytes+8]++
	if _, v, _ := readSlot(t, empty, salt, pageBytes, prev); v != unreadable {
		t.Errorf("end mark with a changed byte: verdict %d", v)
	}
}

// readSlot reads from a real file of that content.
func readSlot(t *testing.T, content []byte, salt uint64, off int64, prev link) (found, verdict, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OS().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := &journalFile{
		fileHeader: fileHeader{epoch: 3, salt: salt, file: 1, kind: firstOfEpoch},
		name:       name,
		handle:     f,
	}
	r := slotReader{f: j, size: int64(len(content))}
	s, v, reason, err := r.at(off, prev)
	if err != nil {
		t.Fatal(err)
	}
	return s, v, reason
}

// TestRemains looks for what stands behind the end of a log.
func TestRemains(t *testing.T) {
	content := make([]byte, 3<<20)
	h := slotHeader{epoch: 3, no: 12, salt: 5}
	h.encode(content[2<<20+pageBytes:])
	other := slotHeader{epoch: 3, no: 13, salt: 6}
	other.encode(content[2<<20:])
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OS().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := &journalFile{fileHeader: fileHeader{epoch: 3, salt: 5}, name: name, handle: f, size: int64(len(content))}
	for _, c := range []struct {
		off   int64
		above engine.SlotNo
		want  remains
	}{
		{0, 11, remains{true, 12, 2<<20 + pageBytes}},
		{2<<20 + pageBytes, 0, remains{true, 12, 2<<20 + pageBytes}},
		{pageBytes, 12, remains{true, 0, 0}},
		{2<<20 + 2*pageBytes, 0, remains{}},
		{3 << 20, 0, remains{}},
		{4 << 20, 0, remains{}},
	} {
		if got, err := j.remains(c.off, c.above); err != nil || got != c.want {
			t.Errorf("from %d above %d: %+v, %v, want %+v", c.off, c.above, got, err, c.want)
		}
	}
}
