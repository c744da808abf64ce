package datafile

import (
	"math"
	"slices"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Live bytes are exact while a span is wholly live or dead, and in proportion
// to its offsets otherwise, in whatever order they are killed.
func TestKillCounts(t *testing.T) {
	q := threeFiles(t)
	want := func(file engine.FileID, live int64) {
		t.Helper()
		if u := usage(q.Index, file); u.Live != live || u.Bytes != 100_000 {
			t.Errorf("%+v, want %d live", u, live)
		}
	}
	want(2, 100_000)
	q.settle(1, 150, 151)
	want(2, 99_500)
	q.settle(1, 190, 210) // over the edge of two files
	want(2, 94_500)
	want(3, 95_000)
	q.settle(1, 151, 190)
	q.settle(1, 100, 149)
	want(2, 50_500)
	q.start(1, 120)    // 149 is live
	q.Kill(1, 90, 120) // below the start
	want(1, 50_000)
	want(2, 50_500)
	if got := q.Size(1); got != 500+45_000 {
		t.Errorf("size %d", got)
	}
	q.settle(1, 149, 150)
	if dead := q.DeadFiles(); len(dead) != 0 {
		t.Errorf("dead: %v", dead)
	}
	want(2, 50_000)
	for o := int64(299); o >= 210; o-- {
		q.settle(1, o, o+1)
	}
	if dead := q.DeadFiles(); len(dead) != 0 || len(q.logs[1].spans) != 0 {
		t.Errorf("dead: %v, spans: %v", dead, q.logs[1].spans)
	}
	want(3, 50_000)
	q.Kill(1, 0, 1000)
	q.Kill(2, 7, 7)
	q.Kill(2, 9, 3)
	q.Kill(99, 0, 1)
	want(3, 50_000)
}

// What is added to a log with holes counts, and so does its start, in whatever
// order a span dies.
func TestKillWhileWriting(t *testing.T) {
	q := newQueues(t)
	want := func(live int64) {
		t.Helper()
		if u := usage(q.Index, 1); u.Live != live {
			t.Errorf("%+v, want %d live", u, live)
		}
	}
	q.publish(t, 1, 10, 100, 1)
	q.settle(1, 4, 6)
	want(800)
	q.publish(t, 1, 10, 100, 1)
	want(1800)
	q.settle(1, 9, 20)
	want(700)
	q.close(t, 1)
	if dead := q.DeadFiles(); len(dead) != 0 {
		t.Errorf("dead: %v", dead)
	}
	q.start(1, 3)
	want(700) // 3 and 6 to 8; the index cannot tell that 0 to 2 are not among the seven
	q.start(1, 9)
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{1}) {
		t.Errorf("dead: %v", dead)
	}
}

// The live bytes of a log of which nothing was killed are counted as they were
// before another log had holes, and as they were if its start moves.
func TestKillLeavesOthersAlone(t *testing.T) {
	q := threeFiles(t)
	q.settle(1, 0, 50)
	if q.logs[2].shares != nil {
		t.Error("log 2 has shares")
	}
	q.start(2, 30)
	if u := usage(q.Index, 1); u.Live != 25_000+35_000 {
		t.Errorf("%+v", u)
	}
}

// An offset that is killed twice, against the contract, makes the file look
// deader than it is. Nothing is lost.
func TestKillTwice(t *testing.T) {
	q := threeFiles(t)
	q.settle(1, 100, 199)
	q.settle(2, 100, 199)
	for range 3 {
		q.Kill(1, 100, 150)
		q.Kill(2, 100, 200) // 199 is live
	}
	if dead := q.DeadFiles(); len(dead) != 0 {
		t.Fatalf("dead: %v", dead)
	}
	if u := usage(q.Index, 2); u.Live == 0 {
		t.Errorf("%+v", u)
	}
	q.checkLive(t, 1)
	q.checkLive(t, 2)
	q.maintain(t, Policy{})
	q.checkLive(t, 1)
	q.checkLive(t, 2)
	q.settle(1, 199, 200)
	q.settle(2, 199, 200)
	q.settle(1, 0, 100)
	q.settle(1, 200, 300)
	q.settle(2, 0, 100)
	q.settle(2, 200, 300)
	q.maintain(t, Policy{})
	if files := q.Files(); len(files) != 0 {
		t.Errorf("left: %+v", files)
	}
}

// A file in the middle of the order in which everything was killed is dead at
// once. Readers from before go on in it, and it is removed when they are gone.
func TestKillMiddleFile(t *testing.T) {
	q := threeFiles(t)
	early := q.Find(1, 0, math.MaxInt64)
	early.Next()
	q.settle(1, 100, 200)
	q.settle(2, 150, 200)
	if dead := q.DeadFiles(); len(dead) != 0 {
		t.Fatalf("dead: %v", dead)
	}
	q.settle(2, 100, 150)
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{2}) {
		t.Fatalf("dead: %v", dead)
	}
	if gone, err := q.Remove(2); gone || err != nil {
		t.Fatalf("removed: %v, %v", gone, err)
	}
	met := false
	for early.Next() {
		met = met || early.Place().File == 2
	}
	early.Close()
	if !met || early.Err() != nil {
		t.Errorf("the early reader does not see what it began with: %v", early.Err())
	}
	if gone, err := q.Remove(2); !gone || err != nil {
		t.Fatalf("removed: %v, %v", gone, err)
	}
	for log := LogID(1); log <= 2; log++ {
		for _, p := range collect(t, q.Find(log, 0, math.MaxInt64)) {
			if p.File == 2 {
				t.Errorf("found %+v", p)
			}
		}
		q.checkLive(t, log)
	}
}

// A live offset that no file has is a gap, a dead one is not.
func TestGap(t *testing.T) {
	q := threeFiles(t)
	gap := func(from, to, want int64) {
		t.Helper()
		if at, is := q.Gap(1, from, to); is != (want >= 0) || (is && at != want) {
			t.Errorf("from %d to %d: %d, %v; want %d", from, to, at, is, want)
		}
	}
	gap(0, 300, -1)
	gap(0, 310, -1) // the owner knows of 300 only
	q.settle(1, 0, 10)
	q.settle(1, 100, 200)
	q.DeadFiles()
	gap(0, 300, -1)
	q.settled[1][157] = false
	gap(0, 300, 157)
	gap(157, 158, 157)
	gap(158, 300, -1)
	gap(0, 157, -1)
	q.settled[1][157] = true
	q.settled[1] = append(q.settled[1], true, true, false, true)
	gap(0, 1000, 302)
	if at, is := q.Gap(99, 0, 10); is {
		t.Errorf("a log that is not known: %d", at)
	}
	q.cfg.Live = nil
	gap(0, 300, 100)
	gap(200, 310, 300)
}

// A queue that is emptied as fast as it is filled has one span in the file
// that is written to, until that is sealed.
func TestKilledAtOnce(t *testing.T) {
	q := newQueues(t)
	for i := range int64(2000) {
		q.publish(t, 1, 1, 100, 1)
		q.settle(1, i, i+1)
	}
	if n := len(q.files[1].mem); n != 1 {
		t.Errorf("%d spans", n)
	}
	if dead := q.DeadFiles(); len(dead) != 0 {
		t.Errorf("dead while it is written to: %v", dead)
	}
	q.Seal(1)
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{1}) || len(q.logs[1].spans) != 0 {
		t.Errorf("dead: %v", dead)
	}
}

// Without Config.Live the counts decide.
func TestKillWithoutLive(t *testing.T) {
	q := threeFiles(t)
	q.cfg.Live, q.cfg.Split = nil, nil
	for log := LogID(1); log <= 2; log++ {
		q.Kill(log, 100, 199)
		if dead := q.DeadFiles(); len(dead) != 0 {
			t.Fatalf("dead: %v", dead)
		}
		q.Kill(log, 199, 200)
	}
	if dead := q.DeadFiles(); !slices.Equal(dead, []engine.FileID{2}) {
		t.Errorf("dead: %v", dead)
	}
}
