package broker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/broker"
	"github.com/waxwing-mq/waxwing/internal/broker/prekey"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// publication has n one-time keys of each kind, with ids from first on.
func publication(first uint32, n int) *prekey.Publication {
	p := &prekey.Publication{
		RegistrationID: 7, Certificate: []byte("certificate"),
		Signed:     prekey.SignedKey{ID: 1, Key: []byte("signed"), Signature: []byte("s")},
		LastResort: prekey.SignedKey{ID: 1 << 30, Key: []byte("last"), Signature: []byte("s")},
	}
	for i := range uint32(n) {
		id := first + i
		p.OneTime = append(p.OneTime, prekey.Key{ID: id, Key: fmt.Append(nil, "ec", id)})
		p.OneTimeKEM = append(p.OneTimeKEM, prekey.SignedKey{ID: id, Key: fmt.Append(nil, "kem", id), Signature: make([]byte, 1000)})
	}
	return p
}

// onMemDisk opens a broker with its goroutines, in a hurry to write checkpoints.
func onMemDisk(t *testing.T, d *mem.Disk) (*broker.Broker, error) {
	t.Helper()
	eng, err := d.Engine()
	if err != nil {
		return nil, err
	}
	cfg := broker.Config{Engine: eng}
	cfg.Hurry(5 * time.Millisecond)
	return broker.Open(context.Background(), cfg)
}

// takers are users that take keys of an identity until the broker fails.
type takers struct {
	mu    sync.Mutex
	given [2]map[uint32]int // EC and KEM: how often each was given out
}

func (k *takers) take(b *broker.Broker, user string, times int) error {
	for range times {
		bundle, err := b.TakePrekeys(context.Background(), user, "orders")
		if err != nil {
			return err
		}
		k.mu.Lock()
		if bundle.OneTime.ID != 0 {
			k.given[0][bundle.OneTime.ID]++
		}
		if !bundle.LastResort {
			k.given[1][bundle.KEM.ID]++
		}
		k.mu.Unlock()
	}
	return nil
}

// TestOneTimeKeysAreGivenOutOnce: many take at once, while power fails again and
// again, at any write, and the publisher repeats what was not answered; no key comes
// twice, and none that was published and answered is lost unless somebody may have
// got it.
func TestOneTimeKeysAreGivenOutOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	d := mem.New(mem.Options{Seed: 1, FileBytes: 256 << 10})
	k := &takers{given: [2]map[uint32]int{{}, {}}}
	next, crashes := uint32(1), 0
	for round := 0; crashes < 25; round++ {
		b, err := onMemDisk(t, d)
		if err != nil {
			if !errors.Is(err, mem.ErrCrashed) {
				t.Fatal(err)
			}
			d, crashes = d.Crash(rng), crashes+1
			continue
		}
		if _, err := b.PublishPrekeys(context.Background(), "orders", publication(next, 12)); err == nil {
			next += 12
		} else if kindOf(err) != broker.Failed {
			t.Fatal(err)
		}
		d.CrashAfter(5 + rng.IntN(80))
		var group sync.WaitGroup
		for u := range 4 {
			group.Go(func() {
				if err := k.take(b, fmt.Sprint("user", round, u), 5); err != nil && kindOf(err) != broker.Failed {
					t.Error(err)
				}
			})
		}
		group.Wait()
		b.Close() // fails if the disk has crashed
		d, crashes = d.Crash(rng), crashes+1
	}
	b, err := onMemDisk(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	before := len(k.given[0])
	s, err := b.PrekeyStatus(context.Background(), "orders")
	if err != nil || s.OneTimeMax < next-1 {
		t.Fatalf("%+v, %v; published up to %d", s, err, next-1)
	}
	for u := 0; s.OneTime > 0; u++ {
		if err := k.take(b, fmt.Sprint("last", u), 10); err != nil {
			t.Fatal(err)
		}
		s, _ = b.PrekeyStatus(context.Background(), "orders")
	}
	for kind, given := range k.given {
		for _, id := range slices.Sorted(maps.Keys(given)) {
			if given[id] != 1 {
				t.Errorf("key %d of kind %d was given out %d times", id, kind, given[id])
			}
		}
	}
	t.Logf("%d crashes, %d keys published, %d given out before the last start, %d after", crashes, next-1, before, len(k.given[0])-before)
	if before < 50 {
		t.Error("too few keys were given out")
	}
}

// TestMarksAreMonotonic: several copies of a sender raise marks at once, while
// power fails; no answer is below one that was given before.
func TestMarksAreMonotonic(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	d := mem.New(mem.Options{Seed: 2, FileBytes: 256 << 10})
	var mu sync.Mutex
	told := map[uint32]uint64{}
	published := false
	for range 15 {
		b, err := onMemDisk(t, d)
		if err != nil {
			t.Fatal(err)
		}
		if !published {
			_, err := b.PublishPrekeys(context.Background(), "orders", publication(1, 0))
			if published = err == nil; err != nil {
				t.Fatal(err)
			}
		}
		marks, err := b.Marks(context.Background(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		for lane, mark := range told {
			if marks[lane] < mark {
				t.Fatalf("lane %d: the mark sank from %d to %d", lane, mark, marks[lane])
			}
		}
		d.CrashAfter(5 + rng.IntN(60))
		var group sync.WaitGroup
		for c := range uint64(4) {
			seed := rng.Uint64()
			group.Go(func() {
				rng := rand.New(rand.NewPCG(seed, c))
				for range 30 {
					lane := uint32(rng.IntN(3))
					mu.Lock()
					before := told[lane]
					mu.Unlock()
					asked := map[uint32]uint64{lane: before + uint64(rng.IntN(5)), lane + 1: 1}
					then, err := b.RaiseMarks(context.Background(), "orders", asked)
					if err != nil {
						if kindOf(err) != broker.Failed {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					for l, mark := range then {
						if mark < asked[l] || l == lane && mark < before {
							t.Errorf("lane %d: asked for %d, told %d, after %d", l, asked[l], mark, before)
						}
						told[l] = max(told[l], mark)
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		b.Close()
		d.CrashAfter(0)
		d = d.Crash(rng)
	}
	if told[0] < 20 {
		t.Errorf("marks %v: too little was raised", told)
	}
}

// TestPrekeysSurvive: a restart, with the checkpoint and without it.
func TestPrekeysSurvive(t *testing.T) {
	f := newFixture(t, 3)
	ctx := t.Context()
	if f.PrekeyStats() != (broker.PrekeyStats{}) {
		t.Errorf("a new broker has %+v", f.PrekeyStats())
	}
	_, err := f.PublishPrekeys(ctx, "orders", publication(1, 3))
	noErr(t, err)
	_, err = f.RaiseMarks(ctx, "orders", map[uint32]uint64{5: 50, 6: 60})
	noErr(t, err)
	for id := range uint32(5) {
		b, err := f.TakePrekeys(ctx, "u", "orders")
		noErr(t, err)
		if want := id + 1; want <= 3 && (b.OneTime.ID != want || b.KEM.ID != want || b.LastResort || string(b.OneTime.Key) != fmt.Sprint("ec", want)) ||
			want > 3 && (b.OneTime.ID != 0 || !b.LastResort || string(b.KEM.Key) != "last") || string(b.Certificate) != "certificate" {
			t.Fatalf("take %d: %+v", id, b)
		}
		switch id {
		case 0:
			f.restart()
		case 1:
			f.maintain()
			f.restart()
		}
	}
	// The restarts have begun the counts anew.
	if st := f.PrekeyStats(); st.Identities != 1 || st.OneTime != 0 || st.Takes != 3 || st.TakesWithout != 2 || st.Bytes == 0 {
		t.Errorf("%+v", st)
	}
	f.restart()
	marks, err := f.Marks(ctx, "orders")
	if err != nil || !maps.Equal(marks, map[uint32]uint64{5: 50, 6: 60}) {
		t.Errorf("marks %v, %v", marks, err)
	}
	// What was given out is not published again.
	s, err := f.PublishPrekeys(ctx, "orders", publication(2, 3))
	if err != nil || s.OneTime != 1 || s.OneTimeMax != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	noErr(t, f.DeletePrekeys(ctx, "orders"))
	f.restart()
	var refused *prekey.Error
	if _, err := f.TakePrekeys(ctx, "u", "orders"); !errors.As(err, &refused) || refused.Kind != prekey.NotFound {
		t.Error(err)
	}
	if st := f.PrekeyStats(); st != (broker.PrekeyStats{}) {
		t.Errorf("%+v", st)
	}
}

// TestPrekeysOnAFullDisk: what does not fit is refused and changes nothing; a
// deletion goes on.
func TestPrekeysOnAFullDisk(t *testing.T) {
	d := mem.New(mem.Options{Seed: 1, FileBytes: 1 << 20})
	f := onMem(t, d)
	defer f.close()
	ctx := t.Context()
	_, err := f.PublishPrekeys(ctx, "orders", publication(1, 10))
	noErr(t, err)
	d.SetFree(0)
	for first := uint32(11); err == nil; first += 100 {
		p := publication(first, 100)
		p.Replace = true
		_, err = f.PublishPrekeys(ctx, "orders", p)
	}
	if kindOf(err) != broker.StorageFull {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		_, err = f.RaiseMarks(ctx, "orders", map[uint32]uint64{0: uint64(time.Now().UnixNano())})
	}
	if kindOf(err) != broker.StorageFull {
		t.Fatal(err)
	}
	noErr(t, f.DeletePrekeys(ctx, "orders"))
	// More than one slot takes is refused too.
	p := publication(1, 1000)
	for i := range p.OneTimeKEM {
		p.OneTimeKEM[i].Signature = make([]byte, 4096)
	}
	if _, err := f.PublishPrekeys(ctx, "orders", p); kindOf(err) != broker.InvalidRequest {
		t.Error(err)
	}
}
