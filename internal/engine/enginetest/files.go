package enginetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// scan checks that Scan delivers exactly (after, upTo].
func (s *session) scan(after, upTo engine.SlotNo) {
	s.t.Helper()
	next := after + 1
	err := s.shard.Scan(context.Background(), after, upTo, func(slot engine.Slot) error {
		s.delivered(slot, next)
		if got, want := withoutHead(slot), s.slots[next-s.after-1]; got.No != want.No || got.File != want.File ||
			got.Off != want.Off || got.DataOff != want.DataOff || got.DataLen != want.DataLen || got.End != want.End {
			s.t.Fatalf("scanned %+v, want %+v", got, want)
		}
		next++
		return nil
	})
	if err != nil {
		s.t.Fatalf("scan (%d, %d]: %v", after, upTo, err)
	}
	if want := max(after, min(upTo, engine.SlotNo(len(s.want)))); next-1 != want {
		s.t.Fatalf("scan (%d, %d] ended with %d, want %d", after, upTo, next-1, want)
	}
}

func testScan(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(3)
	want := s.want
	s.kill()
	s = start(t, p, want, 0)
	s.appendUntil(5)
	n := engine.SlotNo(len(s.want))
	for _, r := range [][2]engine.SlotNo{
		{0, n}, {0, 0}, {0, 1}, {n, n}, {n - 1, n}, {3, n - 3}, {5, 4}, {0, n + 10}, {n + 1, n + 2},
	} {
		s.scan(r[0], r[1])
	}
	for from := engine.SlotNo(0); from < n; from += 3 { // as checkpoints do
		s.scan(from, min(from+3, n))
	}
	mine := errors.New("mine")
	err := s.shard.Scan(context.Background(), 0, n, func(engine.Slot) error { return mine })
	if !errors.Is(err, mine) {
		t.Errorf("scan returned %v, want the error of its function", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = s.shard.Scan(ctx, 0, n, func(engine.Slot) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("scan with a cancelled context: %v", err)
	}
}

// testScanWhileAppending scans what is durable so far, again and again, while
// another goroutine appends over several files.
func testScanWhileAppending(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	const slots = 120
	all := make([]record, slots)
	for i := range all {
		all[i] = fill(i+1, 200, 10_000)
	}
	done := make(chan error, 1)
	go func() {
		for _, r := range all {
			if _, err := s.shard.Append(r.head, [][]byte{r.data}, false).Wait(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	check := session{t: t, want: all}
	var seen engine.SlotNo
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		from := seen / 2
		next := from + 1
		err := s.shard.Scan(context.Background(), from, slots, func(slot engine.Slot) error {
			check.delivered(slot, next)
			next++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if next-1 < seen {
			t.Fatalf("scan ended with slot %d, an earlier one with %d", next-1, seen)
		}
		seen = next - 1
	}
	if seen != slots {
		t.Errorf("the last scan ended with slot %d, want %d", seen, slots)
	}
}

func testTrim(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(5)
	files := s.shard.Files()
	stored := len(p.Names())
	open := files[len(files)-1]
	if err := s.shard.Trim(open.ID); err == nil {
		t.Error("the open file was trimmed")
	}
	if err := s.shard.Trim(files[0].ID, files[1].ID); err != nil {
		t.Fatal(err)
	}
	if n := len(p.Names()); n > stored-1 { // a spare may have come meanwhile
		t.Errorf("%d files stored after the trim, %d before", n, stored)
	}
	if _, err := s.shard.ReadAt(files[0].ID, make([]byte, 1), 0); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("read from a trimmed file: %v, want ErrNotFound", err)
	}
	if err := s.shard.Trim(files[0].ID); err != nil {
		t.Errorf("trim again: %v", err)
	}
	if got := s.shard.Files(); len(got) != len(files)-2 || got[0].ID != files[2].ID {
		t.Errorf("files after the trim: %+v", got)
	}
	err := s.shard.Scan(context.Background(), 0, files[2].Last, func(engine.Slot) error { return nil })
	if !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("scan of trimmed slots: %v, want ErrNotFound", err)
	}
	s.scan(files[1].Last, open.Last)
	want, highest := s.want, open.ID
	s.kill()

	_, err = tryStart(t, p, want, files[1].Last-1)
	if err := isDamage(err); err != nil {
		t.Errorf("recover slots that were trimmed: %v", err)
	}
	s = start(t, p, want, files[1].Last)
	for _, f := range s.shard.Files() {
		if f.Open && f.ID <= highest {
			t.Errorf("file id %d is used again", f.ID)
		}
	}
	checkFiles(t, s)
	s.append(fill(1, 1, 1))
	want = s.want
	s.end()
	start(t, p, want, files[1].Last)
}

// testTrimWithHoles trims what rewriting would trim: any file that holds
// nothing above the checkpoint. Those between stay readable.
func testTrimWithHoles(t *testing.T, p Place) { trimWithHoles(t, p, func() {}) }

// testTrimWithHolesFull does it on a disk on which nothing can be noted.
func testTrimWithHolesFull(t *testing.T, p Place) {
	trimWithHoles(t, p, func() { p.SetFree(0) })
	p.SetFree(-1)
}

func trimWithHoles(t *testing.T, p Place, before func()) {
	s := start(t, p, nil, 0)
	s.appendUntil(4)
	want := s.want
	s.kill()
	s = start(t, p, want, 0)
	s.appendUntil(7)
	files := s.shard.Files()
	n := len(files)
	before()
	if err := s.shard.Trim(files[0].ID, files[2].ID, files[3].ID, files[5].ID); err != nil {
		t.Fatal(err)
	}
	kept := []engine.FileID{files[1].ID, files[4].ID, files[n-1].ID}
	want, slots := s.want, s.slots
	after := files[5].Last
	s.kill()
	for round := range 3 {
		s = start(t, p, want, after)
		infos := s.shard.Files()
		for _, id := range kept[:2] {
			if !hasFile(infos, id) {
				t.Fatalf("round %d: file %d is gone", round, id)
			}
		}
		for _, slot := range slots {
			if slot.File == kept[0] || slot.File == kept[1] {
				s.checkData([]engine.Slot{slot})
			}
		}
		for _, f := range infos {
			if f.ID == kept[0] || f.ID == kept[1] {
				checkKept(t, s, f, slots)
			}
		}
		s.kill()
	}
}

// checkKept checks that a file between trimmed ones knows what it holds, as
// whoever indexes it again must.
func checkKept(t *testing.T, s *session, f engine.FileInfo, slots []engine.Slot) {
	t.Helper()
	var first, last engine.SlotNo
	for _, slot := range slots {
		if slot.File == f.ID {
			last = slot.No
			if first == 0 {
				first = slot.No
			}
		}
	}
	if f.First != first || f.Last != last {
		t.Errorf("file %+v holds slots %d to %d", f, first, last)
	}
	next := first
	err := s.shard.Scan(context.Background(), first-1, last, func(slot engine.Slot) error {
		s.delivered(slot, next)
		next++
		return nil
	})
	if err != nil || next != last+1 {
		t.Errorf("scan of file %d ended before slot %d: %v", f.ID, next, err)
	}
}

func hasFile(infos []engine.FileInfo, id engine.FileID) bool {
	for _, f := range infos {
		if f.ID == id {
			return true
		}
	}
	return false
}

// testTrimWhileReading reads from a file in several goroutines while it is
// trimmed: each read gets the right bytes or ErrNotFound.
func testTrimWhileReading(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(4)
	files := s.shard.Files()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				for _, slot := range s.slots[:4] {
					b := make([]byte, slot.DataLen)
					_, err := s.shard.ReadAt(slot.File, b, slot.DataOff)
					if errors.Is(err, engine.ErrNotFound) {
						return
					}
					if err != nil || string(b) != string(s.want[slot.No-1].data) {
						t.Errorf("read of slot %d during trim: %v", slot.No, err)
						return
					}
				}
			}
		})
	}
	if err := s.shard.Trim(files[1].ID, files[0].ID); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
