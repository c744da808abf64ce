// Package enginetest is the contract of package engine as tests. Each engine
// runs all of them, on every kind of storage that it has.
package enginetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Place is where an engine stores, with a hand on what lies there.
//
// The suite fills several journal files and compares what was stored byte by
// byte, so their length should be 256 KiB or so. A slot must fit with at
// least 64 KiB of head and data.
type Place interface {
	// Open opens the engine on what is stored.
	Open() (engine.Engine, error)
	// Kill makes the process that has the engine open die, as far as the
	// storage can tell: nothing that it does afterwards has an effect.
	Kill()
	// SetFree makes the storage accept that many bytes more; a negative
	// number means no limit.
	SetFree(bytes int64)
	// MakeNewer makes what is stored of shard 0 look as if a newer version
	// had written it.
	MakeNewer() error

	// Names returns the names of what is stored, sorted.
	Names() []string
	// ReadFile returns a copy of what is stored under a name.
	ReadFile(name string) ([]byte, error)
	// WriteFile replaces what is stored under a name. nil removes it.
	WriteFile(name string, content []byte) error
}

// Run runs the suite. place returns an empty place.
func Run(t *testing.T, place func(*testing.T) Place) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Place)
	}{
		{"EmptyShard", testEmptyShard},
		{"AppendAndReopen", testAppendAndReopen},
		{"ReopenAfterKill", testReopenAfterKill},
		{"ReopenOften", testReopenOften},
		{"RecoverAfter", testRecoverAfter},
		{"RecoverStops", testRecoverStops},
		{"SlotLimits", testSlotLimits},
		{"ManyFiles", testManyFiles},
		{"SeveralShards", testSeveralShards},
		{"TwoClaims", testTwoClaims},
		{"Released", testReleased},
		{"Newer", testNewer},

		{"Scan", testScan},
		{"ScanWhileAppending", testScanWhileAppending},
		{"Trim", testTrim},
		{"TrimWithHoles", testTrimWithHoles},
		{"TrimWithHolesFull", testTrimWithHolesFull},
		{"TrimWhileReading", testTrimWhileReading},
		{"Full", testFull},
		{"FullReopen", testFullReopen},
		{"FullBlob", testFullBlob},

		{"BlobRoundTrip", testBlobRoundTrip},
		{"BlobExists", testBlobExists},
		{"BlobInvisible", testBlobInvisible},
		{"BlobList", testBlobList},
		{"BlobNames", testBlobNames},
		{"BlobDeleteWhileOpen", testBlobDeleteWhileOpen},

		{"TornTail", testTornTail},
		{"TornRewrittenTail", testTornRewrittenTail},
		{"DamageBeforeTornTail", testDamageBeforeTornTail},
		{"FlippedBits", testFlippedBits},
		{"MissingFile", testMissingFile},
		{"CutFile", testCutFile},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, place(t)) })
	}
	t.Run("MixedFiles", func(t *testing.T) { testMixedFiles(t, place(t), place(t)) })
}

// record is what a test put into a slot.
type record struct {
	head, data []byte
}

// fill makes a record of the given lengths that no other number has.
func fill(number, headLen, dataLen int) record {
	b := make([]byte, headLen+dataLen)
	state := uint64(number)*0x9e3779b97f4a7c15 + 1
	for i := range b {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		b[i] = byte(state)
	}
	return record{b[:headLen:headLen], b[headLen:]}
}

// session is a claimed and recovered shard, and what must be in it.
type session struct {
	t     *testing.T
	place Place
	eng   engine.Engine
	shard engine.Shard
	slots []engine.Slot // as recovered and appended, without heads
	want  []record      // by slot number, from 1
	after engine.SlotNo // slots up to here were not asked for
}

// start opens the place, which must hold want, and recovers from after.
func start(t *testing.T, p Place, want []record, after engine.SlotNo) *session {
	t.Helper()
	s, err := tryStart(t, p, want, after)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.slots) != len(want)-int(after) {
		t.Fatalf("recovered %d slots, want %d", len(s.slots), len(want)-int(after))
	}
	s.checkData(s.slots)
	return s
}

// tryStart opens the place and checks that the heads that are recovered are a
// beginning of want.
func tryStart(t *testing.T, p Place, want []record, after engine.SlotNo) (*session, error) {
	t.Helper()
	eng, err := p.Open()
	if err != nil {
		return nil, err
	}
	s := &session{t: t, place: p, eng: eng, want: want, after: after}
	t.Cleanup(s.end)
	if s.shard, err = eng.Claim(context.Background(), 0); err != nil {
		s.end()
		return nil, err
	}
	err = s.shard.Recover(context.Background(), after, func(slot engine.Slot) error {
		s.delivered(slot, after+engine.SlotNo(len(s.slots))+1)
		s.slots = append(s.slots, withoutHead(slot))
		return nil
	})
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func withoutHead(s engine.Slot) engine.Slot {
	s.Head = nil
	return s
}

// delivered checks a slot that a callback got.
func (s *session) delivered(slot engine.Slot, no engine.SlotNo) {
	s.t.Helper()
	if slot.No != no {
		s.t.Fatalf("slot %d delivered where %d must come", slot.No, no)
	}
	if int(no) > len(s.want) {
		s.t.Fatalf("slot %d delivered, which was never written", no)
	}
	if want := s.want[no-1].head; !bytes.Equal(slot.Head, want) {
		s.t.Fatalf("head of slot %d has %d bytes, or others than the %d written", no, len(slot.Head), len(want))
	}
}

// checkData reads the data of slots from where they say it is.
func (s *session) checkData(slots []engine.Slot) {
	s.t.Helper()
	for _, slot := range slots {
		want := s.want[slot.No-1].data
		if slot.DataLen != int64(len(want)) {
			s.t.Fatalf("slot %d has %d bytes of data, want %d", slot.No, slot.DataLen, len(want))
		}
		got := make([]byte, slot.DataLen)
		if n, err := s.shard.ReadAt(slot.File, got, slot.DataOff); n != len(got) || err != nil && n != len(got) {
			s.t.Fatalf("read data of slot %d: %d of %d bytes: %v", slot.No, n, len(got), err)
		}
		if !bytes.Equal(got, want) {
			s.t.Fatalf("data of slot %d is not what was written", slot.No)
		}
	}
}

// append writes a record as the next slot, its data in three pieces.
func (s *session) append(r record) engine.Slot {
	s.t.Helper()
	slot, err := s.tryAppend(r, false)
	if err != nil {
		s.t.Fatalf("append slot %d: %v", len(s.want)+1, err)
	}
	return slot
}

func (s *session) tryAppend(r record, reserve bool) (engine.Slot, error) {
	s.t.Helper()
	third := len(r.data) / 3
	ticket := s.shard.Append(r.head, [][]byte{r.data[:third], nil, r.data[third:]}, reserve)
	slot, err := ticket.Wait()
	if err != nil {
		return slot, err
	}
	if again, err := ticket.Wait(); err != nil || again.No != slot.No {
		s.t.Fatalf("second Wait: slot %d, %v", again.No, err)
	}
	s.want = append(s.want, r)
	if slot.No != engine.SlotNo(len(s.want)) || slot.Epoch != s.shard.Epoch() || slot.Head != nil {
		s.t.Fatalf("appended %+v, want slot %d of epoch %d without head", slot, len(s.want), s.shard.Epoch())
	}
	s.slots = append(s.slots, slot)
	return slot, nil
}

// appendUntil appends until the journal has n files.
func (s *session) appendUntil(n int) {
	s.t.Helper()
	for len(s.shard.Files()) < n {
		s.append(fill(len(s.want)+1, 100, 20_000))
	}
}

// end releases everything. It may be called again.
func (s *session) end() {
	if s.shard != nil {
		if err := s.shard.Release(); err != nil {
			s.t.Errorf("release: %v", err)
		}
		s.shard = nil
	}
	if s.eng != nil {
		if err := s.eng.Close(); err != nil {
			s.t.Errorf("close: %v", err)
		}
		s.eng = nil
	}
}

// kill makes the process of the session die, and then cleans up what it left
// in ours.
func (s *session) kill() {
	s.place.Kill()
	// What these say about a storage that is gone does not matter.
	_ = s.shard.Release()
	_ = s.eng.Close()
	s.shard, s.eng = nil, nil
}

// image is all that is stored.
type image map[string][]byte

func takeImage(t *testing.T, p Place) image {
	t.Helper()
	img := image{}
	for _, name := range p.Names() {
		content, err := p.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the engine renamed or removed it meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		img[name] = content
	}
	return img
}

// restore makes the place hold exactly the image.
func (img image) restore(t *testing.T, p Place) {
	t.Helper()
	for _, name := range p.Names() {
		if _, keep := img[name]; !keep {
			if err := p.WriteFile(name, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range img.names() {
		if err := p.WriteFile(name, append([]byte{}, img[name]...)); err != nil {
			t.Fatal(err)
		}
	}
}

func (img image) names() []string { return slices.Sorted(maps.Keys(img)) }

// with returns a copy of the image in which one file has other content.
func (img image) with(name string, content []byte) image {
	img = maps.Clone(img)
	img[name] = content
	return img
}

// holding returns the name of the one file that contains b, and where.
func (img image) holding(t *testing.T, b []byte) (string, int) {
	t.Helper()
	var found []string
	for _, name := range img.names() {
		if bytes.Contains(img[name], b) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d stored files hold these bytes, want one: %q", len(found), found)
	}
	return found[0], bytes.Index(img[found[0]], b)
}

// isDamage reports whether err is an *engine.ErrDamaged that says where, why,
// and once what to do.
func isDamage(err error) error {
	var d *engine.ErrDamaged
	if !errors.As(err, &d) {
		return fmt.Errorf("got %v, want *engine.ErrDamaged", err)
	}
	if d.Path == "" || d.Reason == "" {
		return fmt.Errorf("damage without place or reason: %v", err)
	}
	text, place := err.Error(), fmt.Sprintf("%s is damaged at offset %d: ", d.Path, d.Off)
	if !strings.Contains(text, place) || !strings.HasSuffix(text, "; "+cmp.Or(d.Advice, engine.DamageAdvice)) || strings.Count(text, "backup") != 1 {
		return fmt.Errorf("damage that does not say where it is and what to do: %v", err)
	}
	return nil
}
