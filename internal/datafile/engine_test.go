package datafile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
	"github.com/waxwing-mq/waxwing/internal/engine/disk"
	"github.com/waxwing-mq/waxwing/internal/engine/mem"
)

// owner uses an Index on the real engine as a broker does. What stands here
// and is marked durable would be the broker's state.
type owner struct {
	t      *testing.T
	r      *rand.Rand
	disk   *mem.Disk
	engine *disk.Engine
	shard  engine.Shard
	*Index

	order      []engine.FileID // durable: the files in log order
	known      engine.FileID   // durable: the last journal file of them
	checkpoint engine.SlotNo   // durable: slots up to here may be trimmed
	numbers    uint64          // durable: rewritten files
	starts     [4]int64        // durable: by log
	settled    [4]map[int64]bool
	acked      [4]int64 // offsets below were acknowledged
	next       [4]int64
	reached    map[string]int
}

// TestOnEngine writes, seals, rewrites and trims on a disk that loses power at
// any operation. After each restart every acknowledged batch that has not been
// trimmed is found and whole.
func TestOnEngine(t *testing.T) {
	reached := make(map[string]int)
	for seed := range uint64(40) {
		o := &owner{
			t: t, r: rand.New(rand.NewPCG(seed, 8)), reached: reached,
			disk: mem.New(mem.Options{Seed: seed, FileBytes: 32 << 10}),
		}
		for log := range o.settled {
			o.settled[log] = make(map[int64]bool)
		}
		for range 6 {
			o.start()
			o.check()
			o.disk.CrashAfter(20 + o.r.IntN(300))
			for o.step() == nil {
			}
			o.disk = o.disk.Crash(o.r)
		}
	}
	for _, what := range []string{
		"loaded", "rebuilt", "replaced", "removed", "crashed in a rewrite", "crashed in a build", "found a hole", "removed from the middle",
	} {
		if reached[what] == 0 {
			t.Errorf("never %s: the test does not test that", what)
		}
	}
	t.Log(reached)
}

func (o *owner) step() error {
	switch n := o.r.IntN(40); n {
	case 0:
		log := o.r.IntN(len(o.starts))
		o.starts[log] += o.r.Int64N(o.acked[log] - o.starts[log] + 1)
		o.SetStart(LogID(log), o.starts[log])
		return nil
	case 1, 2:
		return o.maintain()
	case 3, 4, 5, 6:
		o.settle()
		return nil
	default:
		return o.write()
	}
}

// settle kills some acknowledged offsets of logs 2 and 3, most of those that
// are old.
func (o *owner) settle() {
	log := 2 + o.r.IntN(2)
	from := o.starts[log] + o.r.Int64N(o.acked[log]-o.starts[log]+1)
	to := min(o.acked[log], from+1+o.r.Int64N(300))
	for _, r := range runsOf(o.liveIn(LogID(log), from, to)) {
		for at := r[0]; at < r[1]; at++ {
			o.settled[log][at] = true
		}
		o.Kill(LogID(log), r[0], r[1])
	}
}

// liveIn lists the live offsets in [from, to). What is not known is live.
func (o *owner) liveIn(log LogID, from, to int64) (live []int64) {
	for at := max(from, o.starts[log]); at < to; at++ {
		if !o.settled[log][at] {
			live = append(live, at)
		}
	}
	return live
}

// live is Config.Live.
func (o *owner) live(log LogID, from, to int64) bool { return len(o.liveIn(log, from, to)) > 0 }

// write appends a slot with batches of some logs. The head tells the extents;
// their positions count from the start of the data.
func (o *owner) write() error {
	var slot []Extent
	var data []byte
	for log := range o.next {
		if o.r.IntN(2) == 0 {
			continue
		}
		b := makeBatch(o.next[log], 10, 50+o.r.IntN(1000), byte(o.next[log]))
		slot = append(slot, Extent{Log: LogID(log), Base: o.next[log], Count: 10, Pos: int64(len(data)), Bytes: int64(len(b)), MaxTime: o.next[log]})
		data = append(data, b...)
		o.next[log] += 10
	}
	if err := o.append(slot, data); err != nil {
		return err
	}
	o.acked = o.next
	return nil
}

func (o *owner) append(extents []Extent, data []byte) error {
	head, err := json.Marshal(extents)
	must(o.t, err)
	s, err := o.shard.Append(head, [][]byte{data}, false).Wait()
	if err != nil {
		return err
	}
	if s.File != o.known {
		o.Seal(o.known)
		o.order = append(o.order, s.File)
		o.known = s.File
	}
	must(o.t, o.Add(s.File, moved(extents, s)))
	return nil
}

// moved returns the extents with their positions in the file of the slot.
func moved(extents []Extent, s engine.Slot) []Extent {
	extents = slices.Clone(extents)
	for i := range extents {
		extents[i].Pos += s.DataOff
	}
	return extents
}

func extentsOf(s engine.Slot) ([]Extent, error) {
	var extents []Extent
	err := json.Unmarshal(s.Head, &extents)
	return moved(extents, s), err
}

func (o *owner) maintain() error {
	ctx := context.Background()
	for _, id := range o.Unindexed() {
		if err := o.BuildIdx(ctx, id); err != nil {
			o.reached["crashed in a build"]++
			return err
		}
	}
	if files := o.Candidates(Policy{SmallFiles: 3}); files != nil {
		o.numbers++
		id := RewrittenFile(o.numbers)
		res, err := o.Rewrite(ctx, id, files)
		if err != nil {
			o.reached["crashed in a rewrite"]++
			return err
		}
		if res.Extents > 0 {
			if err := o.replace(files, id); err != nil {
				return err
			}
		}
	}
	for i, id := range o.DeadFiles() {
		if at := slices.Index(o.order, id); at > i {
			o.reached["removed from the middle"]++
		}
		if err := o.remove(id); err != nil {
			return err
		}
	}
	return nil
}

func (o *owner) replace(files []engine.FileID, id engine.FileID) error {
	if err := o.append(nil, nil); err != nil { // the entry that says so
		return err
	}
	at := slices.Index(o.order, files[0])
	o.order = slices.DeleteFunc(o.order, func(id engine.FileID) bool { return slices.Contains(files, id) })
	o.order = slices.Insert(o.order, at, id)
	must(o.t, o.Replace(files, id))
	o.reached["replaced"]++
	return nil
}

func (o *owner) remove(id engine.FileID) error {
	if err := o.append(nil, nil); err != nil { // the entry that says so
		return err
	}
	o.order = slices.DeleteFunc(o.order, func(other engine.FileID) bool { return other == id })
	gone, err := o.Remove(id)
	if err != nil {
		return err
	}
	if !gone {
		o.t.Fatalf("file %x is in use, but nobody reads", id)
	}
	o.reached["removed"]++
	if IsRewritten(id) {
		return nil
	}
	return o.trim(id)
}

func (o *owner) trim(id engine.FileID) error {
	for _, f := range o.shard.Files() {
		if f.ID == id {
			o.checkpoint = max(o.checkpoint, f.Last)
		}
	}
	return o.shard.Trim(id)
}

// start opens everything anew.
func (o *owner) start() {
	ctx := context.Background()
	var err error
	o.engine, err = o.disk.Engine()
	must(o.t, err)
	o.shard, err = o.engine.Claim(ctx, 0)
	must(o.t, err)
	must(o.t, o.shard.Recover(ctx, o.checkpoint, func(engine.Slot) error { return nil }))
	o.Index = New(Config{
		Journal: o.shard, Blobs: o.engine.Blobs(), Verify: verifyBatches,
		MergeBytes: 2000, RewriteMergeBytes: 8000, WindowBytes: 20_000,
		Live: o.live, Split: splitBatches(func(_ LogID, base int64) int64 { return base }),
	})
	o.arrange()
	_, err = o.Sweep(ctx, func(id engine.FileID) bool { return slices.Contains(o.order, id) })
	must(o.t, err)
	for _, id := range o.order {
		must(o.t, o.register(ctx, id))
	}
	for log, start := range o.starts {
		o.SetStart(LogID(log), start)
	}
	o.Keep(func(id LogID) bool { return int(id) < len(o.starts) })
	for log, settled := range o.settled {
		for _, r := range runsOf(slices.Sorted(maps.Keys(settled))) {
			o.Kill(LogID(log), r[0], r[1])
		}
	}
}

// arrange finds out which files there are, and trims those that were
// forgotten.
func (o *owner) arrange() {
	there := make(map[engine.FileID]bool)
	for _, f := range o.shard.Files() {
		there[f.ID] = true
		if slices.Contains(o.order, f.ID) {
			continue
		}
		if f.ID <= o.known {
			must(o.t, o.trim(f.ID))
			continue
		}
		o.order = append(o.order, f.ID)
		o.known = f.ID
	}
	o.order = slices.DeleteFunc(o.order, func(id engine.FileID) bool { return !IsRewritten(id) && !there[id] })
}

// register loads a file, or makes its .idx again, or adds the open one.
func (o *owner) register(ctx context.Context, id engine.FileID) error {
	scan := func(add func([]Extent) error) error {
		files := o.shard.Files()
		f := files[slices.IndexFunc(files, func(f engine.FileInfo) bool { return f.ID == id })]
		if f.First == 0 {
			return nil
		}
		return o.shard.Scan(ctx, f.First-1, f.Last, func(s engine.Slot) error {
			extents, err := extentsOf(s)
			if err != nil {
				return err
			}
			return add(extents)
		})
	}
	if id == o.order[len(o.order)-1] {
		return scan(func(e []Extent) error { return o.Add(id, e) })
	}
	err := o.Load(id)
	if errors.Is(err, engine.ErrNotFound) {
		o.reached["rebuilt"]++
		return o.Rebuild(ctx, id, scan)
	}
	o.reached["loaded"]++
	return err
}

// check reads everything that must be there.
func (o *owner) check() {
	o.t.Helper()
	for log := range o.starts {
		next := o.starts[log]
		if at, gap := o.Gap(LogID(log), next, o.acked[log]); gap {
			o.t.Fatalf("log %d lacks offset %d", log, at)
		}
		for i, p := range collect(o.t, o.Find(LogID(log), next, math.MaxInt64)) {
			if p.Base > next && !o.live(LogID(log), next, p.Base) {
				o.reached["found a hole"]++
			} else if (i > 0 && p.Base != next) || p.Base > next {
				o.t.Fatalf("log %d: %+v where offset %d belongs", log, p, next)
			}
			next = p.End()
			b := make([]byte, p.Bytes)
			must(o.t, o.Read(context.Background(), p.File, p.Pos, b))
			if err := verifyBatches(p.Extent, b); err != nil {
				o.t.Fatal(fmt.Errorf("log %d: %+v: %w", log, p, err))
			}
		}
		if next < o.acked[log] && !o.live(LogID(log), next, o.acked[log]) {
			next = o.acked[log]
		}
		if next < o.acked[log] {
			o.t.Fatalf("log %d ends at offset %d, but %d was acknowledged", log, next, o.acked[log])
		}
		o.acked[log], o.next[log] = next, next
	}
}
