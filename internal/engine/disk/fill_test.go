package disk

import (
	"errors"
	"testing"
	"time"
)

// TestOutrun: only a journal that is quick for some time outruns the filling.
func TestOutrun(t *testing.T) {
	const size = 128 << 20
	began := time.Unix(1000, 0)
	f := fill{began: began, used: 0.25}
	for _, c := range []struct {
		used  float64
		after time.Duration
		want  bool
	}{
		{0.9, outrunAfter / 2, false},
		{0.25, outrunAfter, false},
		{0.25 + 0.16, 160 * time.Millisecond, false}, // 128 MB a second
		{0.25 + 0.20, 160 * time.Millisecond, true},  // 160 MB a second
	} {
		if got := f.outrun(c.used, began.Add(c.after), size); got != c.want {
			t.Errorf("%.2f used after %v: %t", c.used, c.after, got)
		}
	}
}

// noReserve is a file system that cannot reserve space.
type noReserve struct{ FS }

type noReserveFile struct{ File }

func (fs noReserve) Create(name string) (File, error) {
	f, err := fs.FS.Create(name)
	return noReserveFile{f}, err
}

func (noReserveFile) Preallocate(int64) error { return nil }

// TestFillingMayEnd: a file whose space is reserved need not be filled to its
// end to be whole; where it cannot be reserved it must.
func TestFillingMayEnd(t *testing.T) {
	reserved := false
	d := draft{fileHeader: fileHeader{file: 1, epoch: 1, kind: continuation}, size: 8 << 20, pace: func(f *fill) (int64, error) {
		reserved = f.reserved
		return 0, errFilledEnough
	}}
	f, err := d.prepare(OS(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.handle.Close()
	if size, err := f.handle.Size(); err != nil || size != d.size || !reserved {
		t.Fatalf("%d bytes, reserved %t, %v", size, reserved, err)
	}
	end := make([]byte, pageBytes)
	if err := readFull(f.handle, end, d.size-pageBytes); err != nil {
		t.Fatal(err)
	}
	for _, b := range end {
		if b != 0 {
			t.Fatal("what was not filled is not zeros")
		}
	}
	if _, err := d.prepare(noReserve{OS()}, t.TempDir()); !errors.Is(err, errFilledEnough) || reserved {
		t.Fatalf("without reserved space: %v, reserved %t", err, reserved)
	}
}
