package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

const sectorBytes = 512

// testTornTail writes a slot and then stores every beginning of that write,
// every write with one sector missing, and every single sector of it. The
// slot must be there when it is whole, and cut when it is not.
func testTornTail(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	for n := range 3 {
		s.append(fill(n+1, 300, 2000))
	}
	before := takeImage(t, p)
	s.append(fill(4, 700, 3000))
	after := takeImage(t, p)
	want := s.want
	s.kill()

	name, _ := after.holding(t, want[3].head)
	old, now := before[name], after[name]
	var sectors []int
	for at := 0; at < len(now); at += sectorBytes {
		if !bytes.Equal(old[at:at+sectorBytes], now[at:at+sectorBytes]) {
			sectors = append(sectors, at)
		}
	}
	if len(sectors) < 7 {
		t.Fatalf("the write of the slot changed %d sectors", len(sectors))
	}
	for kind, written := range map[string]func(i, n int) bool{
		"the first %d":   func(i, n int) bool { return i < n },
		"all but no. %d": func(i, n int) bool { return i != n },
		"only no. %d":    func(i, n int) bool { return i == n },
	} {
		for n := range len(sectors) + 1 {
			content, all := slices.Clone(old), true
			for i, at := range sectors {
				all = all && written(i, n)
				if written(i, n) {
					copy(content[at:], now[at:at+sectorBytes])
				}
			}
			after.with(name, content).restore(t, p)
			checkTorn(t, p, fmt.Sprintf(kind, n), want, all)
		}
	}
}

// checkTorn recovers a log whose last slot was written whole or not, goes on
// with it, and recovers that.
func checkTorn(t *testing.T, p Place, what string, want []record, whole bool) {
	t.Helper()
	if !whole {
		want = slices.Clip(want[:len(want)-1])
	}
	s, err := tryStart(t, p, want, 0)
	if err != nil {
		t.Errorf("%s of the sectors: %v", what, err)
		return
	}
	if len(s.slots) != len(want) {
		t.Errorf("%s of the sectors: recovered %d slots, want %d", what, len(s.slots), len(want))
	}
	s.checkData(s.slots)
	s.append(fill(77, 5, 5))
	want = s.want
	s.kill()
	s = start(t, p, want, 0)
	s.end()
}

// testTornRewrittenTail damages a slot that a recovery has made durable and
// delivered. It may be the last one, but it is not a torn tail.
func testTornRewrittenTail(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.append(fill(1, 300, 6000))
	s.append(fill(2, 300, 6000))
	want := s.want
	s.kill()
	s = start(t, p, want, 0)
	s.kill()
	img := takeImage(t, p)
	name, at := img.holding(t, want[1].head)
	for off := at; off < at+6000; off += sectorBytes {
		content := slices.Clone(img[name])
		content[off] ^= 0x10
		img.with(name, content).restore(t, p)
		s, err := tryStart(t, p, want, 0)
		if err := isDamage(err); err != nil {
			t.Errorf("byte %d of the tail changed: %v", off-at, err)
		}
		if s != nil {
			s.end()
		}
	}
}

// testDamageBeforeTornTail: a slot whose head or data is bad is damage if
// there is anything after it, even if that is torn itself.
func testDamageBeforeTornTail(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	for n := range 3 {
		s.append(fill(n+1, 300, 3000))
	}
	want := s.want
	s.kill()
	img := takeImage(t, p)
	name, head := img.holding(t, want[1].head)
	_, data := img.holding(t, want[1].data)
	_, torn := img.holding(t, want[2].head)
	for kind, tear := range map[string]func(sector []byte){
		"zeros": func(sector []byte) { clear(sector) },
		"noise": func(sector []byte) { sector[70] ^= 1; sector[3] ^= 1 },
	} {
		for what, at := range map[string]int{"head": head + 100, "data": data + 1000} {
			content := slices.Clone(img[name])
			content[at] ^= 1
			first := torn / sectorBytes * sectorBytes
			tear(content[first : first+sectorBytes])
			img.with(name, content).restore(t, p)
			_, err := tryStart(t, p, want, 0)
			if err := isDamage(err); err != nil {
				t.Errorf("%s in the last slot, a bit of the %s changed in the one before: %v", kind, what, err)
			}
		}
	}
}

// testMixedFiles replaces each closed journal file by the one of another
// folder with the same history of other bytes, as a bad restore would.
func testMixedFiles(t *testing.T, p, other Place) {
	var imgs [2]image
	var want [2][]record
	for i, place := range []Place{p, other} {
		s := start(t, place, nil, 0)
		for range 40 {
			s.append(fill(len(s.want)+1+1000*i, 100, 20_000))
		}
		want[i] = s.want
		s.kill()
		imgs[i] = takeImage(t, place)
	}
	for _, no := range []int{0, 15, 30} {
		name, _ := imgs[0].holding(t, want[0][no].head)
		foreign, _ := imgs[1].holding(t, want[1][no].head)
		imgs[0].with(name, imgs[1][foreign]).restore(t, p)
		if err := isDamage(recoverError(p)); err != nil {
			t.Errorf("the file of slot %d comes from another folder: %v", no+1, err)
		}
	}
}

// recoverError starts and stops, and returns what Recover said. What it
// delivered before it noticed does not matter.
func recoverError(p Place) error {
	eng, err := p.Open()
	if err != nil {
		return err
	}
	defer eng.Close()
	shard, err := eng.Claim(context.Background(), 0)
	if err != nil {
		return err
	}
	defer shard.Release()
	return shard.Recover(context.Background(), 0, func(engine.Slot) error { return nil })
}

// testFlippedBits inverts a bit in each sector that holds something. Either
// that is noticed, or nothing is lost; only the last slot, which nobody can
// know to have been whole, may be cut.
func testFlippedBits(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.append(fill(1, 300, 3000))
	s.append(fill(2, 6000, 100))
	want := s.want
	s.kill()
	s = start(t, p, want, 0)
	s.appendUntil(3)
	s.append(fill(50, 300, 3000))
	want = s.want
	s.kill()
	img := takeImage(t, p)
	refused := 0
	for _, name := range img.names() {
		for at := 0; at < len(img[name]); at += sectorBytes {
			sector := img[name][at:min(at+sectorBytes, len(img[name]))]
			inSlots := bytes.ContainsFunc(sector, func(r rune) bool { return r != 0 })
			if !inSlots && at/sectorBytes%97 != 0 || at%(8*sectorBytes) > 2*sectorBytes {
				continue // data is the business of those who read it
			}
			content := slices.Clone(img[name])
			content[at+at/sectorBytes*7%len(sector)] ^= 1 << (at / sectorBytes % 8)
			img.with(name, content).restore(t, p)
			if checkFlipped(t, p, fmt.Sprintf("%s at %d", name, at), want) {
				refused++
			}
		}
	}
	if refused < 10 {
		t.Errorf("only %d changed bits were noticed", refused)
	}
}

// checkFlipped reports whether the engine refused to start.
func checkFlipped(t *testing.T, p Place, what string, want []record) bool {
	t.Helper()
	s, err := tryStart(t, p, want, 0)
	if err != nil {
		if !errors.Is(err, engine.ErrNewer) && isDamage(err) != nil {
			t.Errorf("%s: %v", what, err)
		}
		return true
	}
	if len(s.slots) < len(want)-1 {
		t.Errorf("%s: recovered %d of %d slots", what, len(s.slots), len(want))
	}
	s.end()
	return false
}

// testMissingFile removes each journal file but the newest.
func testMissingFile(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(3)
	want := s.want
	s.kill()
	s = start(t, p, want, 0)
	s.appendUntil(5)
	files := s.shard.Files()
	want = s.want
	s.kill()
	img := takeImage(t, p)
	for _, f := range files[:len(files)-1] {
		name, _ := img.holding(t, want[f.First-1].head)
		img.restore(t, p)
		if err := p.WriteFile(name, nil); err != nil {
			t.Fatal(err)
		}
		s, err := tryStart(t, p, want, f.First-1)
		if err := isDamage(err); err != nil {
			t.Errorf("file with slots %d to %d is missing: %v", f.First, f.Last, err)
		}
		if s != nil {
			s.end()
		}
		s = start(t, p, want, f.Last) // as if it had been trimmed
		s.end()
	}
}

// testCutFile cuts a journal file within a slot, as an incomplete copy would.
func testCutFile(t *testing.T, p Place) {
	s := start(t, p, nil, 0)
	s.appendUntil(2)
	s.append(fill(1000, 300, 3000))
	want := s.want
	s.kill()
	img := takeImage(t, p)
	for _, no := range []int{0, 1, 3, len(want) - 1} {
		name, at := img.holding(t, want[no].head)
		img.with(name, img[name][:at+100]).restore(t, p)
		s, err := tryStart(t, p, want, 0)
		if err := isDamage(err); err != nil {
			t.Errorf("file cut within slot %d of %d: %v", no+1, len(want), err)
		}
		if s != nil {
			s.end()
		}
	}
}
