package enginetest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

func testEmptyShard(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	if s.shard.Epoch() < 1 {
		t.Errorf("epoch %d, want at least 1", s.shard.Epoch())
	}
	files := s.shard.Files()
	if len(files) != 1 || !files[0].Open || files[0].First != 0 || files[0].Last != 0 {
		t.Errorf("files of an empty shard: %+v", files)
	}
	if s.shard.Full() {
		t.Error("an empty shard is full")
	}
	tr := s.eng.Traits()
	if tr.SlotBytesSoft < 1 || tr.SlotBytesMax < tr.SlotBytesSoft || tr.Pipeline < 1 {
		t.Errorf("traits %+v", tr)
	}
}

// shapes are slots of many lengths: nothing at all, around the borders of
// pages, and as large as a slot should become.
func shapes(tr engine.Traits) []record {
	var rs []record
	for _, l := range [][2]int{
		{0, 0}, {1, 0}, {0, 1}, {13, 100}, {4096, 0}, {0, 4096}, {100, 4096 - 64 - 100},
		{100, 4096 - 64 - 99}, {5000, 5000}, {64, int(min(tr.SlotBytesSoft, 64<<10)) - 64}, {1, 1},
	} {
		rs = append(rs, fill(len(rs)+1, l[0], l[1]))
	}
	return rs
}

func testAppendAndReopen(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	for _, r := range shapes(s.eng.Traits()) {
		s.append(r)
	}
	s.checkData(s.slots)
	checkPlaces(t, s.slots)
	epoch := s.shard.Epoch()
	s.end()

	s = start(t, p, s.want, 0)
	if s.shard.Epoch() <= epoch {
		t.Errorf("epoch %d after %d", s.shard.Epoch(), epoch)
	}
	s.append(fill(100, 10, 10))
	checkPlaces(t, s.slots)
	want := s.want
	s.end()
	start(t, p, want, 0)
}

// checkPlaces checks that slots do not overlap and come in order.
func checkPlaces(t *testing.T, slots []engine.Slot) {
	t.Helper()
	for i, s := range slots {
		if s.Off > s.DataOff || s.DataOff+s.DataLen > s.End {
			t.Errorf("slot %d is not within itself: %+v", s.No, s)
		}
		if i == 0 {
			continue
		}
		prev := slots[i-1]
		if s.File < prev.File || s.File == prev.File && s.Off != prev.End {
			t.Errorf("slot %d at %d of file %d, the one before ends at %d of file %d",
				s.No, s.Off, s.File, prev.End, prev.File)
		}
	}
}

func testReopenAfterKill(t *testing.T, p Place) {
	var want []record
	for round := range 4 {
		s := start(t, p, want, 0)
		for range round + 1 {
			s.append(fill(len(s.want)+1, 50, 3000*len(s.want)))
		}
		want = s.want
		s.kill()
	}
	start(t, p, want, 0)
}

// testReopenOften checks that starting again and again neither loses nor
// collects anything.
func testReopenOften(t *testing.T, p Place) {
	var want []record
	most := 0
	for round := range 12 {
		s := start(t, p, want, 0)
		if round%4 == 0 {
			s.append(fill(round, 30, 9000))
			want = s.want
			most = len(s.shard.Files())
		}
		if n := len(s.shard.Files()); n > most+1 {
			t.Errorf("%d files after starting without writing, %d before", n, most)
		}
		if round%2 == 0 {
			s.kill()
		} else {
			s.end()
		}
	}
	start(t, p, want, 0)
}

func testRecoverAfter(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(4)
	want := s.want
	s.end()
	for after := 0; after <= len(want); after++ {
		s := start(t, p, want, engine.SlotNo(after))
		s.end()
	}
	_, err := tryStart(t, p, want, engine.SlotNo(len(want)+1))
	if err := isDamage(err); err != nil {
		t.Errorf("recover from behind the end: %v", err)
	}
}

func testRecoverStops(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	for range 5 {
		s.append(fill(len(s.want)+1, 5, 5))
	}
	want := s.want
	s.end()

	claim := func() (engine.Engine, engine.Shard) {
		eng, err := p.Open()
		if err != nil {
			t.Fatal(err)
		}
		shard, err := eng.Claim(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return eng, shard
	}
	eng, shard := claim()
	mine := errors.New("mine")
	n := 0
	err := shard.Recover(context.Background(), 0, func(engine.Slot) error {
		if n++; n == 3 {
			return mine
		}
		return nil
	})
	if !errors.Is(err, mine) || n != 3 {
		t.Errorf("Recover returned %v after %d calls, want the error of the third", err, n)
	}
	if _, err := shard.Append([]byte("x"), nil, false).Wait(); err == nil {
		t.Error("Append after a Recover that failed")
	}
	closeAll(t, eng, shard)

	eng, shard = claim()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = shard.Recover(ctx, 0, func(engine.Slot) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Recover with a cancelled context: %v", err)
	}
	closeAll(t, eng, shard)
	start(t, p, want, 0)
}

func closeAll(t *testing.T, eng engine.Engine, shards ...engine.Shard) {
	t.Helper()
	for _, s := range shards {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}
	if err := eng.Close(); err != nil {
		t.Error(err)
	}
}

func testSlotLimits(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	limit := int(s.eng.Traits().SlotBytesMax)
	s.append(fill(1, 10, 10))
	for _, r := range []record{fill(2, limit+1, 0), fill(2, 1, limit)} {
		if _, err := s.tryAppend(r, true); !errors.Is(err, engine.ErrTooLarge) {
			t.Errorf("slot of %d bytes: %v, want ErrTooLarge", limit+1, err)
		}
	}
	s.append(fill(2, 0, limit))
	s.append(fill(3, limit, 0))
	s.append(fill(4, 1, 1))
	s.append(fill(5, 7, limit-7))
	want := s.want
	s.kill() // with the longest possible tail
	start(t, p, want, 0)
}

func testManyFiles(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(5)
	checkFiles(t, s)
	want := s.want
	s.kill()
	s = start(t, p, want, 0)
	checkFiles(t, s)
	s.append(fill(1000, 1, 1))
	checkFiles(t, s)
}

// checkFiles compares Files with where the slots are.
func checkFiles(t *testing.T, s *session) {
	t.Helper()
	files := s.shard.Files()
	next := 0
	for i, f := range files {
		if i > 0 && f.ID <= files[i-1].ID {
			t.Errorf("file %d after %d", f.ID, files[i-1].ID)
		}
		if f.Open != (i == len(files)-1) {
			t.Errorf("file %d of %d: open is %v", i+1, len(files), f.Open)
		}
		first := next
		for next < len(s.slots) && s.slots[next].File == f.ID {
			next++
		}
		if first == next {
			t.Errorf("file %+v holds no slot", f)
			continue
		}
		if f.First != s.slots[first].No || f.Last != s.slots[next-1].No || f.Bytes < s.slots[next-1].End {
			t.Errorf("file %+v, but it holds slots %d to %d up to offset %d",
				f, s.slots[first].No, s.slots[next-1].No, s.slots[next-1].End)
		}
	}
	if next != len(s.slots) {
		t.Errorf("slot %d is in no file", s.slots[next].No)
	}
}

func testSeveralShards(t *testing.T, p Place) {
	const shards = 3
	for round := range 3 {
		eng, err := p.Open()
		if err != nil {
			t.Fatal(err)
		}
		var claimed []engine.Shard
		for id := range engine.ShardID(shards) {
			s, err := eng.Claim(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			err = s.Recover(context.Background(), 0, func(slot engine.Slot) error {
				if n++; !bytes.Equal(slot.Head, []byte{byte(id), byte(n)}) {
					t.Errorf("shard %d slot %d has head %x", id, n, slot.Head)
				}
				return nil
			})
			if err != nil || n != round {
				t.Fatalf("shard %d: recovered %d slots, want %d: %v", id, n, round, err)
			}
			claimed = append(claimed, s)
		}
		for id, s := range claimed {
			if _, err := s.Append([]byte{byte(id), byte(round + 1)}, nil, false).Wait(); err != nil {
				t.Fatal(err)
			}
		}
		closeAll(t, eng, claimed...)
	}
}

func testTwoClaims(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	if _, err := s.eng.Claim(context.Background(), 0); !errors.Is(err, engine.ErrHeld) {
		t.Errorf("second claim in the process: %v, want ErrHeld", err)
	}
	if err := s.eng.Close(); err == nil {
		t.Error("closed with a claimed shard")
	}
	other, err := p.Open()
	if err == nil {
		_, err = other.Claim(context.Background(), 0)
		defer other.Close()
	}
	if !errors.Is(err, engine.ErrHeld) {
		t.Errorf("second process: %v, want ErrHeld", err)
	}
	s.append(fill(1, 1, 1)) // the first one is not disturbed
	if err := s.shard.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := s.eng.Claim(context.Background(), 0)
	if err != nil {
		t.Fatalf("claim after release: %v", err)
	}
	if again.Epoch() <= s.shard.Epoch() {
		t.Errorf("epoch %d after %d", again.Epoch(), s.shard.Epoch())
	}
	s.shard = again
}

func testReleased(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	slot := s.append(fill(1, 1, 1))
	if err := s.shard.Release(); err != nil {
		t.Fatal(err)
	}
	never := func(engine.Slot) error { t.Error("slot of a released shard"); return nil }
	_, appendErr := s.shard.Append(nil, nil, true).Wait()
	_, readErr := s.shard.ReadAt(slot.File, make([]byte, 1), slot.DataOff)
	for what, err := range map[string]error{
		"Append":  appendErr,
		"ReadAt":  readErr,
		"Scan":    s.shard.Scan(context.Background(), 0, 1, never),
		"Trim":    s.shard.Trim(slot.File),
		"Recover": s.shard.Recover(context.Background(), 0, never),
	} {
		if !errors.Is(err, engine.ErrReleased) {
			t.Errorf("%s after Release: %v, want ErrReleased", what, err)
		}
	}
	if err := s.shard.Release(); err != nil {
		t.Errorf("second Release: %v", err)
	}
}

func testNewer(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.append(fill(1, 10, 10))
	want := s.want
	s.end()
	before := takeImage(t, p)
	if err := p.MakeNewer(); err != nil {
		t.Fatal(err)
	}
	newer := takeImage(t, p)
	if _, err := tryStart(t, p, want, 0); !errors.Is(err, engine.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
	for name, content := range newer {
		now, err := p.ReadFile(name)
		if err != nil || !bytes.Equal(now, content) {
			t.Errorf("%s was touched although it is newer: %v", name, err)
		}
	}
	before.restore(t, p)
	start(t, p, want, 0)
}
