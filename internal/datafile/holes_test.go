package datafile

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// A hole is no damage, for any reader, before and after a restart.
func TestHolesAreNoDamage(t *testing.T) {
	q := threeFiles(t)
	for o := int64(0); o < 300; o++ {
		if o%7 != 3 {
			q.settle(1, o, o+1)
		}
	}
	q.rewrite(t, 1, 2, 3)
	for range 2 {
		q.checkLive(t, 1)
		q.checkLive(t, 2)
		for from := int64(0); from < 298; from++ {
			it := q.Find(1, from, math.MaxInt64)
			if !it.Next() || it.Place().Base != from+(10-from%7)%7 || it.Place().Count != 1 {
				t.Fatalf("from %d: %+v, %v", from, it.Place(), it.Err())
			}
			it.Close()
			if got := collect(t, q.Find(1, from, from+1)); (from%7 == 3) != (len(got) == 1) {
				t.Fatalf("at %d: %+v", from, got)
			}
		}
		if got := collect(t, q.FindMaxTime(1, 0, 298)); len(got) != 1 || got[0].Base != 297 {
			t.Errorf("got %+v", got)
		}
		if got := collect(t, q.FindTime(1, 0, math.MaxInt64, 291)); len(got) != 1 || got[0].Base != 297 {
			t.Errorf("got %+v", got)
		}
		if n, err := q.Bytes(1, 0); n != 43*500 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		q.restart(t)
	}
}

// What a rewrite has thinned out is not rewritten again before more has died,
// and a restart does not forget that.
func TestThinFileIsLeftAlone(t *testing.T) {
	q := threeFiles(t)
	for o := int64(0); o < 300; o++ {
		if o%10 != 0 {
			q.settle(1, o, o+1)
			q.settle(2, o, o+1)
		}
	}
	if files := q.Candidates(Policy{}); !slices.Equal(files, []engine.FileID{1, 2, 3}) {
		t.Fatalf("candidates: %v", files)
	}
	id := q.rewrite(t, 1, 2, 3)
	for range 2 {
		if u := usage(q.Index, id); u.Bytes != 2*30*500 || u.Live != u.Bytes {
			t.Errorf("%+v", u)
		}
		if files := q.Candidates(Policy{}); files != nil {
			t.Errorf("again: %v", files)
		}
		q.restart(t)
	}
	for o := int64(0); o < 160; o += 10 {
		q.settle(1, o, o+1)
		q.settle(2, o, o+1)
	}
	if u := usage(q.Index, id); u.Live != 2*14*500 {
		t.Errorf("%+v", u)
	}
	if files := q.Candidates(Policy{}); !slices.Equal(files, []engine.FileID{id}) {
		t.Errorf("candidates: %v", files)
	}
}

// An extent of which only a part can be left out, as nobody can split it, is
// not rewritten for ever either.
func TestWholeExtentsAreLeftAlone(t *testing.T) {
	q := threeFiles(t)
	q.cfg.Split = nil
	q.settle(1, 1, 300)
	q.settle(2, 1, 300)
	id := q.rewrite(t, 1, 2, 3)
	if u := usage(q.Index, id); u.Bytes != 10_000 || u.Live != u.Bytes {
		t.Errorf("%+v", u)
	}
	if files := q.Candidates(Policy{}); files != nil {
		t.Errorf("again: %v", files)
	}
	q.restart(t)
	if files := q.Candidates(Policy{}); files != nil {
		t.Errorf("after a restart: %v", files)
	}
	q.checkLive(t, 1)
}

// What dies while a rewrite goes on, in either direction and altogether, is
// dead afterwards.
func TestKillDuringRewrite(t *testing.T) {
	ctx := context.Background()
	for what, c := range map[string]struct {
		from, to int64
		live     int
	}{
		"the beginning": {0, 150, 3}, "the end": {150, 300, 3}, "the middle": {50, 250, 2}, "all": {0, 300, 0},
	} {
		q := threeFiles(t)
		q.cfg.RewriteMergeBytes = 25_000
		q.settle(1, 290, 291)
		_, err := q.Rewrite(ctx, RewrittenFile(1), []engine.FileID{1, 2, 3})
		must(t, err)
		q.settle(1, c.from, min(c.to, 290))
		if c.to == 300 {
			q.settle(1, 291, 300)
		}
		dead := q.DeadFiles() // lets go of what is dead
		if len(dead) != 0 {
			t.Errorf("%s: dead: %v", what, dead)
		}
		must(t, q.Replace([]engine.FileID{1, 2, 3}, RewrittenFile(1)))
		q.order = []engine.FileID{RewrittenFile(1)}
		q.checkLive(t, 1)
		q.checkLive(t, 2)
		if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{1, 2, 3}) {
			t.Errorf("%s: dead: %v", what, dead)
		}
		if got := q.logs[1].spans; (len(got) > 0) != (c.live > 0) {
			t.Errorf("%s: spans: %+v", what, got)
		}
		q.settle(2, 0, 300)
		q.settle(1, 0, 300) // some for the second time
		if dead := q.DeadFiles(); len(dead) != 4 {
			t.Errorf("%s: dead in the end: %v", what, dead)
		}
	}
}

// What a rewrite left out at the front of a log does not keep the rest from
// being found to be dead.
func TestKillAfterHoleAtFront(t *testing.T) {
	q := threeFiles(t)
	q.settle(1, 0, 10)
	_, err := q.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1, 2, 3})
	must(t, err)
	q.settle(1, 10, 300)
	q.settle(2, 0, 300)
	must(t, q.Replace([]engine.FileID{1, 2, 3}, RewrittenFile(1)))
	if dead := q.DeadFiles(); len(dead) != 4 {
		t.Errorf("dead: %v", dead)
	}
}

// A rewrite that is told that nothing of a log is live leaves it out, and one
// that is told so of all logs writes nothing. The old files are dead then,
// whether Kill was called or not.
func TestRewriteOfDead(t *testing.T) {
	q := threeFiles(t)
	before := q.blobsThere(t)
	all := func(log LogID) {
		for o := range q.settled[log] {
			q.settled[log][o] = true
		}
	}
	all(2)
	id := q.rewrite(t, 1, 2)
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{1, 2}) {
		t.Errorf("dead: %v", dead)
	}
	q.maintain(t, Policy{})
	q.checkLive(t, 1)
	all(1)
	if id := q.rewrite(t, id, 3); id != 0 || len(q.blobsThere(t)) != 3 {
		t.Fatalf("wrote %x: %v, before %v", id, q.blobsThere(t), before)
	}
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{id, 3}) {
		t.Errorf("dead: %v", dead)
	}
}

// Where the start of a log falls into an extent, a rewrite leaves out the
// batches below. That is no hole, and what is behind the last batch is none.
func TestSplitAtStart(t *testing.T) {
	q := newQueues(t)
	q.cfg.Verify = func(Extent, []byte) error { return nil }
	q.publish(t, 1, 20, 100, 1, 2)
	q.publish(t, 1, 20, 100, 1)
	data := append(makeBatch(0, 10, 100, 1), makeBatch(10, 10, 100, 2)...)
	must(t, q.Add(1, []Extent{{Log: 3, Base: 0, Count: 25, Pos: q.journal.write(1, data), Bytes: 200}}))
	q.settled[3] = make([]bool, 25)
	q.close(t, 1)
	q.start(1, 12)
	q.start(3, 13)
	id := q.rewrite(t, 1)
	if u := usage(q.Index, id); u.Bytes != 28*100+20*100+100 || u.Live != u.Bytes {
		t.Errorf("%+v", u)
	}
	for log := LogID(1); log <= 3; log++ {
		if q.logs[log].shares != nil {
			t.Errorf("log %d has shares", log)
		}
	}
	if got := collect(t, q.Find(3, 0, math.MaxInt64)); len(got) != 1 || got[0].Base != 10 || got[0].Count != 15 {
		t.Errorf("got %+v", got)
	}
	if got := collect(t, q.Find(1, 0, math.MaxInt64)); len(got) != 1 || got[0].Base != 12 {
		t.Errorf("got %+v", got)
	}
}

// Lines stand for spans that end where they do, unless something has died.
func TestFit(t *testing.T) {
	spans := []span{{first: 0, count: 10}, {first: 10, count: 10}, {first: 20, count: 10}, {first: 30, count: 10}}
	line := func(first, next int64) entry { return entry{first: first, count: uint32(next - first)} }
	for _, c := range []struct {
		lines         []entry
		i, j          int
		plain         bool // without holes
		shares, holes bool // with holes from before, or left by the rewrite
	}{
		{[]entry{line(10, 30)}, 1, 3, true, true, true},
		{[]entry{line(10, 20), line(20, 30)}, 1, 3, true, true, true},
		{[]entry{line(10, 25)}, 1, 3, false, false, true},
		{[]entry{line(10, 30)}, 1, 2, false, false, false}, // reaches into the next
		{[]entry{line(9, 30)}, 1, 3, false, false, false},
		{[]entry{line(30, 45)}, 3, 4, false, true, true}, // what was behind it is gone
		{nil, 1, 3, false, false, true},
		{[]entry{line(10, 30)}, 1, 1, false, false, false},
	} {
		plain := &logSpans{spans: spans}
		thin := &logSpans{spans: spans, shares: make([]share, 4)}
		if plain.fit(c.lines, c.i, c.j, false) != c.plain || thin.fit(c.lines, c.i, c.j, false) != c.shares ||
			thin.fit(c.lines, c.i, c.j, true) != c.holes {
			t.Errorf("%+v", c)
		}
	}
}

// A rewrite passes over a dead file. If that is still there after a crash, it
// lies in the midst of the new one, and is dead.
func TestPassedOver(t *testing.T) {
	q := threeFiles(t)
	q.settle(1, 1, 299)
	q.settle(2, 100, 200)
	q.start(2, 200)
	files := q.Candidates(Policy{})
	if !slices.Equal(files, []engine.FileID{1, 3}) {
		t.Fatalf("candidates: %v", files)
	}
	q.rewrite(t, files...)
	q.restart(t)
	if q.files[2].spans != 0 {
		t.Errorf("%d spans", q.files[2].spans)
	}
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{2}) {
		t.Errorf("dead: %v", dead)
	}
	q.checkLive(t, 1)
	q.checkLive(t, 2)

	q.settled[1][150] = false // as if another owner came
	x := New(q.cfg)
	must(t, x.Load(q.order[0]))
	if err := x.Load(2); err == nil {
		t.Error("two files hold a live offset: accepted")
	}
	x.cfg.Live = nil
	if err := x.Load(2); err == nil {
		t.Error("two files hold an offset: accepted")
	}
	q.settled[1][150] = true
	x.cfg.Live = q.live
	must(t, x.Load(2))
	if err := x.Load(2); !errors.Is(err, engine.ErrExists) {
		t.Errorf("loaded twice: %v", err)
	}
}

// One message at the head of a queue stays unsettled while a million pass
// behind it, over many files. At most three files' worth of disk stays.
func TestUnsettledHead(t *testing.T) {
	const messages, size, inSlot, lag, fileBytes = 1_000_000, 40, 500, 2_000, 2 << 20
	policy := Policy{SmallBytes: fileBytes / 8, OutputBytes: fileBytes}
	q := newQueues(t)
	file, most := engine.FileID(1), int64(0)
	for done := int64(1); q.next[1] < messages; {
		q.publish(t, file, inSlot, size, 1)
		for ; done < q.next[1]-lag; done++ {
			q.settle(1, done, done+1)
		}
		if len(q.journal.files[file]) < fileBytes {
			continue
		}
		q.Seal(file)
		file++
		most = max(most, q.disk(t))
		q.maintain(t, policy)
		if most > 3*fileBytes {
			t.Fatalf("%d bytes after %d messages, in %+v", most, q.next[1], q.Files())
		}
	}
	if file < 15 {
		t.Fatalf("only %d files", file)
	}
	t.Logf("at most %.2f files' worth", float64(most)/fileBytes)
	q.checkLive(t, 1)
	q.settle(1, 0, messages-lag)
	q.Seal(file)
	q.maintain(t, policy)
	q.maintain(t, policy)
	q.checkLive(t, 1)
	for _, u := range q.Files() {
		if u.Live == 0 {
			t.Errorf("%+v is left", u)
		}
	}
}

// A live message of 1 KB in every 64 KB: what a rewrite leaves is little more
// than the live messages if extents can be split, and everything if not.
func TestThinOut(t *testing.T) {
	for split, most := range map[bool]float64{true: 1.15, false: 70} {
		q := newQueues(t)
		if !split {
			q.cfg.Split = nil
		}
		for range 512 {
			q.publish(t, 1, 64, 1000, 1)
		}
		q.close(t, 1)
		live := int64(0)
		for o := int64(0); o < q.next[1]; o++ {
			if o%64 == 20 {
				live += 1000
			} else {
				q.settle(1, o, o+1)
			}
		}
		q.maintain(t, Policy{})
		got := float64(q.disk(t)) / float64(live)
		t.Logf("split %v: %.2f bytes for each live one", split, got)
		if got > most || !split && got < 50 {
			t.Errorf("split %v: %.2f bytes for each live one", split, got)
		}
		q.checkLive(t, 1)
	}
}

// A split that makes no sense ends the rewrite, and nothing has changed.
func TestSplitRefuses(t *testing.T) {
	good := splitBatches(func(LogID, int64) int64 { return 0 })
	errSplit := errors.New("cannot split")
	for what, bad := range map[string]func(Extent) (Extent, error){
		"error":       func(e Extent) (Extent, error) { return e, errSplit },
		"no bytes":    func(e Extent) (Extent, error) { e.Bytes = 0; return e, nil },
		"many bytes":  func(e Extent) (Extent, error) { e.Bytes *= 1000; return e, nil },
		"before":      func(e Extent) (Extent, error) { e.Base--; return e, nil },
		"behind":      func(e Extent) (Extent, error) { e.Count *= 1000; return e, nil },
		"no offsets":  func(e Extent) (Extent, error) { e.Count = 0; return e, nil },
		"two as one":  func(e Extent) (Extent, error) { e.Bytes *= 2; return e, nil },
		"out of this": func(e Extent) (Extent, error) { e.Base += 1 << 40; return e, nil },
	} {
		q := threeFiles(t)
		before := q.blobsThere(t)
		q.settle(1, 1, 5)
		q.cfg.Split = func(e Extent, p []byte) (Extent, error) {
			b, _ := good(e, p)
			return bad(b)
		}
		_, err := q.Rewrite(context.Background(), RewrittenFile(1), []engine.FileID{1, 2})
		if err == nil || (what == "error") != errors.Is(err, errSplit) {
			t.Errorf("%s: got %v", what, err)
		}
		if after := q.blobsThere(t); !slices.Equal(after, before) {
			t.Errorf("%s: left %v", what, after)
		}
		q.checkLive(t, 1)
	}
}
