package datafile

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// queues is a house whose logs are queues: messages are settled in any order.
type queues struct {
	*house
	mu      sync.RWMutex
	settled map[LogID][]bool // by offset
	floor   map[LogID]int64  // all below are settled
	ends    map[LogID]int64  // what is below has been added
	order   []engine.FileID
	numbers uint64
}

func newQueues(t testing.TB) *queues {
	q := &queues{house: newHouse(t), settled: make(map[LogID][]bool), floor: make(map[LogID]int64), ends: make(map[LogID]int64)}
	q.cfg.Live = q.live
	q.cfg.Split = splitBatches(func(_ LogID, base int64) int64 { return base })
	return q
}

// live is Config.Live.
func (q *queues) live(log LogID, from, to int64) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	s := q.settled[log]
	from, to = max(from, q.floor[log]), min(to, int64(len(s)))
	return from < to && slices.Contains(s[from:to], false)
}

// publish adds a slot with n messages of the given size for each log, one
// batch each.
func (q *queues) publish(t fataler, file engine.FileID, n, size int, logs ...LogID) {
	t.Helper()
	if !slices.Contains(q.order, file) {
		q.order = append(q.order, file)
	}
	var slot []Extent
	for _, log := range logs {
		for range n {
			at := q.next[log]
			q.next[log]++
			b := makeBatch(at, 1, size, byte(at))
			slot = append(slot, Extent{Log: log, Base: at, Count: 1, Pos: q.journal.write(file, b), Bytes: int64(len(b)), MaxTime: at})
		}
		q.mu.Lock()
		q.settled[log] = append(q.settled[log], make([]bool, n)...)
		q.mu.Unlock()
	}
	q.journal.write(file, []byte("head"))
	must(t, q.Add(file, slot))
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, log := range logs {
		q.ends[log] = q.next[log]
	}
}

// settle makes [from, to) dead, and then says so.
func (q *queues) settle(log LogID, from, to int64) {
	q.mu.Lock()
	for o := from; o < to; o++ {
		q.settled[log][o] = true
	}
	q.mu.Unlock()
	q.Kill(log, from, to)
}

// start moves the floor of a queue.
func (q *queues) start(log LogID, floor int64) {
	q.mu.Lock()
	q.floor[log] = floor
	q.mu.Unlock()
	q.SetStart(log, floor)
}

// restart makes a new Index of what is durable.
func (q *queues) restart(t fataler) {
	t.Helper()
	q.Index = New(q.cfg)
	for _, id := range q.order {
		must(t, q.Load(id))
	}
	for log, s := range q.settled {
		q.SetStart(log, q.floor[log])
		for from := q.floor[log]; from < int64(len(s)); {
			to := from
			for to < int64(len(s)) && s[to] {
				to++
			}
			q.Kill(log, from, to)
			from = to + 1
		}
	}
}

// rewrite replaces files by one.
func (q *queues) rewrite(t fataler, files ...engine.FileID) engine.FileID {
	t.Helper()
	q.numbers++
	id := RewrittenFile(q.numbers)
	res, err := q.Rewrite(context.Background(), id, files)
	must(t, err)
	if res.Extents == 0 {
		return 0
	}
	at := slices.Index(q.order, files[0])
	q.order = slices.DeleteFunc(q.order, func(f engine.FileID) bool { return slices.Contains(files, f) })
	q.order = slices.Insert(q.order, at, id)
	must(t, q.Replace(files, id))
	return id
}

// maintain does what a broker does beside.
func (q *queues) maintain(t fataler, p Policy) {
	t.Helper()
	for _, id := range q.Unindexed() {
		must(t, q.BuildIdx(context.Background(), id))
	}
	if files := q.Candidates(p); files != nil {
		q.rewrite(t, files...)
	}
	q.order = slices.DeleteFunc(q.order, func(f engine.FileID) bool { return slices.Contains(q.DeadFiles(), f) })
	must(t, removeDead(q.house))
}

// disk is how many bytes there are of files and blobs.
func (q *queues) disk(t fataler) int64 {
	t.Helper()
	sum := int64(0)
	for _, b := range q.journal.files {
		sum += int64(len(b))
	}
	must(t, filepath.WalkDir(q.blobs.dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		sum += info.Size()
		return err
	}))
	return sum
}

// checkLive reads a log and checks that every live message is there, once.
func (q *queues) checkLive(t fataler, log LogID) {
	t.Helper()
	found := make(map[int64]bool)
	next := int64(0)
	for _, p := range collect(t, q.Find(log, 0, math.MaxInt64)) {
		if p.Base < next {
			t.Fatal("extents overlap", p, next)
		}
		next = p.End()
		b := make([]byte, p.Bytes)
		must(t, q.Read(context.Background(), p.File, p.Pos, b))
		must(t, verifyBatches(p.Extent, b))
		for o := p.Base; o < p.End(); o++ {
			found[o] = true
		}
	}
	for o, settled := range q.settled[log] {
		if !settled && int64(o) >= q.floor[log] && !found[int64(o)] {
			t.Fatal("live offset", o, "of log", log, "is not found")
		}
	}
}

// threeFiles has queues 1 and 2 in files 1 to 3, with 100 messages of each in
// each.
func threeFiles(t testing.TB) *queues {
	q := newQueues(t)
	for file := engine.FileID(1); file <= 3; file++ {
		for range 10 {
			q.publish(t, file, 10, 500, 1, 2)
		}
		q.close(t, file)
	}
	return q
}

func usage(x *Index, id engine.FileID) Usage {
	all := x.Files()
	return all[slices.IndexFunc(all, func(u Usage) bool { return u.File == id })]
}
