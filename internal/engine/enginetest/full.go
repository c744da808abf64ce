package enginetest

import (
	"errors"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// appendUntilFull appends until the engine says that the disk is full, and
// returns how many slots it took.
func (s *session) appendUntilFull(reserve bool) int {
	s.t.Helper()
	for n := range 1000 {
		_, err := s.tryAppend(fill(len(s.want)+1, 100, 3000), reserve)
		if errors.Is(err, engine.ErrFull) {
			return n
		}
		if err != nil {
			s.t.Fatalf("append on a disk that fills up: %v", err)
		}
	}
	s.t.Fatal("the disk never became full")
	return 0
}

// eventuallyFree waits until the engine has noticed that there is space.
func (s *session) eventuallyFree() {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); s.shard.Full(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("still full after space became free")
		}
	}
}

func testFull(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(4)
	if s.shard.Full() {
		t.Error("full before the disk is")
	}
	p.SetFree(0)
	s.appendUntilFull(false)
	if !s.shard.Full() {
		t.Error("not full after ErrFull")
	}
	room, reserve := s.shard.Room(), s.eng.Traits().ReserveBytes
	if room < reserve || room > reserve+8192 { // a slot of 3,164 bytes did not fit
		t.Errorf("room of %d bytes when full, the reserve is %d", room, reserve)
	}
	if n := s.appendUntilFull(true); n < 4 {
		t.Errorf("the reserve held %d slots", n)
	}
	if left := s.shard.Room(); left >= room || left > 8192 {
		t.Errorf("room of %d bytes when the reserve is used up, %d before", left, room)
	}
	if _, err := s.tryAppend(fill(1, 1, 1), false); !errors.Is(err, engine.ErrFull) {
		t.Errorf("append without reserve when all is used up: %v", err)
	}
	s.scan(0, engine.SlotNo(len(s.want)))
	s.checkData(s.slots)

	files := s.shard.Files()
	if err := s.shard.Trim(files[0].ID, files[1].ID); err != nil {
		t.Fatal(err)
	}
	s.eventuallyFree()
	s.append(fill(2000, 100, 3000))

	p.SetFree(0)
	s.appendUntilFull(false)
	p.SetFree(-1)
	s.eventuallyFree()
	s.appendUntil(len(s.shard.Files()) + 2)
	want := s.want
	s.kill()
	start(t, p, want, files[1].Last)
}

// testFullReopen starts on a disk that was full to the last byte. There must
// be room for something that deletes, and starting again must cost nothing.
func testFullReopen(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(3)
	p.SetFree(0)
	s.appendUntilFull(false)
	s.appendUntilFull(true)
	for round := range 5 {
		want := s.want
		s.kill()
		s = start(t, p, want, 0)
		if round > 0 {
			continue
		}
		if _, err := s.tryAppend(fill(len(want)+1, 10, 10), true); err != nil {
			t.Errorf("append with reserve after a start on a full disk: %v", err)
		}
	}
	first := s.shard.Files()[0]
	if err := s.shard.Trim(first.ID); err != nil {
		t.Fatal(err)
	}
	p.SetFree(-1)
	s.eventuallyFree()
	s.append(fill(len(s.want)+1, 100, 30_000))
	want := s.want
	s.end()
	start(t, p, want, first.Last)
}

// testFullBlob writes a checkpoint on a full disk, deletes, and does it again.
func testFullBlob(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(2)
	p.SetFree(0)
	s.appendUntilFull(false)
	small, large := fill(1, 0, 12_000).data, fill(2, 0, 1<<20).data
	for round := range 3 {
		if err := putBlob(s.eng.Blobs(), "x/small", small); err != nil {
			t.Fatalf("round %d: small blob on a full disk: %v", round, err)
		}
		if err := putBlob(s.eng.Blobs(), "x/large", large); !errors.Is(err, engine.ErrFull) {
			t.Fatalf("round %d: large blob on a full disk: %v, want ErrFull", round, err)
		}
		checkBlob(t, s.eng.Blobs(), "x/small", small)
		checkNoBlob(t, s.eng.Blobs(), "x/large")
		if err := s.eng.Blobs().Delete("x/small"); err != nil {
			t.Fatal(err)
		}
	}
	p.SetFree(-1)
	if err := putBlob(s.eng.Blobs(), "x/large", large); err != nil {
		t.Errorf("large blob when there is space: %v", err)
	}
}
