package datafile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// model holds an Index and says naively what it must answer.
type model struct {
	cfg     Config
	x       *Index
	journal *journal
	blobs   dirBlobs

	logs    map[LogID]*modelLog
	nextLog LogID
	order   []*modelFile
	open    engine.FileID
	built   map[engine.FileID]bool
	rewrite *modelRewrite
	numbers uint64
	walks   []*walk

	holes bool // records die in the middle of a log
	twice bool // some are killed twice, against the contract
	times map[LogID]map[int64]int64
}

// walk is an iterator that is held while other things happen, and what it must
// still yield. Detached, the places are what it has yielded, to be read again.
type walk struct {
	it   *Iter
	pin  *Pin
	want []modelPlace
	got  []Place
}

type modelLog struct {
	start, next int64
	places      []modelPlace   // every extent, dead ones too
	used        []Extent       // its batches
	dead        map[int64]bool // offsets that were killed
}

// live lists the live offsets in [from, to).
func (l *modelLog) live(from, to int64) []int64 {
	var all []int64
	for _, b := range l.used {
		for o := max(b.Base, from, l.start); o < min(b.End(), to); o++ {
			if !l.dead[o] {
				all = append(all, o)
			}
		}
	}
	return all
}

func (l *modelLog) anyLive(p modelPlace) bool { return len(l.live(p.Base, p.End())) > 0 }

// modelPlace is an extent and its bytes. In a rewritten file its position is
// not known.
type modelPlace struct {
	Place
	data []byte
}

type modelFile struct {
	id    engine.FileID
	slots [][]Extent // what Add got; nil for a rewritten file
	total int64
	gone  bool // a Replace has put another in its place
}

type modelRewrite struct {
	id      engine.FileID
	old     []engine.FileID
	extents map[LogID][]modelPlace
	total   int64
}

const (
	modelMerge        = 300
	modelRewriteMerge = 900
)

func newModel(t *rapid.T, dir string, holes bool) *model {
	m := &model{
		journal: newJournal(), blobs: dirBlobs{dir}, logs: make(map[LogID]*modelLog), nextLog: 1, open: 1,
		built: make(map[engine.FileID]bool), holes: holes, times: make(map[LogID]map[int64]int64),
	}
	m.cfg = Config{
		Shard: 3, Journal: m.journal, Blobs: m.blobs, Verify: verifyBatches,
		MergeBytes: modelMerge, RewriteMergeBytes: modelRewriteMerge, WindowBytes: 2000, CacheBytes: 3 * pageBytes, OpenMax: 2,
	}
	if holes {
		m.cfg.Live = m.live
		m.twice = rapid.IntRange(0, 3).Draw(t, "twice") == 0
		if rapid.Bool().Draw(t, "split") {
			m.cfg.Split = splitBatches(func(log LogID, base int64) int64 { return m.times[log][base] })
		}
	}
	m.x = New(m.cfg)
	m.order = []*modelFile{{id: m.open}}
	return m
}

// live is Config.Live.
func (m *model) live(id LogID, from, to int64) bool {
	if !m.x.mu.TryLock() {
		panic("Live was called with a lock held")
	}
	m.x.mu.Unlock()
	l := m.logs[id]
	return l != nil && len(l.live(from, to)) > 0
}

// spans lists what the index has of a log.
func (m *model) spans(id LogID) []span {
	if l := m.x.logs[id]; l != nil {
		return l.spans
	}
	return nil
}

// hasHoles says whether the index counts what was killed of a log.
func (m *model) hasHoles(id LogID) bool {
	l := m.x.logs[id]
	return l != nil && l.shares != nil
}

// held says whether the index has not let go of a place that is above the
// start of its log.
func (m *model) held(p modelPlace) bool {
	for _, s := range m.spans(p.Log) {
		if m.x.slots[s.file].id == p.File && s.first < p.End() && p.Base < s.next() {
			return true
		}
	}
	return false
}

// found lists the places of a log that must be found.
func (m *model) found(t *rapid.T, l *modelLog) []modelPlace {
	var found []modelPlace
	for _, p := range l.places {
		if p.End() <= l.start {
			continue
		}
		if m.held(p) {
			found = append(found, p)
		} else if l.anyLive(p) {
			t.Fatalf("the index has let go of %+v", p.Place)
		}
	}
	return found
}

// merged appends an extent by the rule that is in the documentation of Add.
func merged(to []modelPlace, p modelPlace, limit int64, positions bool) []modelPlace {
	if n := len(to); n > 0 {
		l := &to[n-1]
		if l.File == p.File && l.End() == p.Base && l.Bytes+p.Bytes <= limit && (!positions || l.Pos+l.Bytes == p.Pos) {
			l.Count += p.Count
			l.Bytes += p.Bytes
			l.MaxTime = max(l.MaxTime, p.MaxTime)
			l.data = slices.Concat(l.data, p.data)
			return to
		}
	}
	return append(to, p)
}

func (m *model) file(id engine.FileID) *modelFile {
	for _, f := range m.order {
		if f.id == id {
			return f
		}
	}
	return nil
}

func (m *model) drawLog(t *rapid.T) (LogID, *modelLog) {
	var ids []LogID
	for id := range m.logs {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		t.Skip("no logs")
	}
	slices.Sort(ids)
	id := rapid.SampledFrom(ids).Draw(t, "log")
	return id, m.logs[id]
}

func (m *model) add(t *rapid.T) {
	if len(m.logs) < 2 || (len(m.logs) < 6 && rapid.IntRange(0, 9).Draw(t, "new log") == 0) {
		m.logs[m.nextLog] = &modelLog{dead: make(map[int64]bool)}
		m.times[m.nextLog] = make(map[int64]int64)
		m.nextLog += LogID(rapid.IntRange(1, 300).Draw(t, "skip ids"))
	}
	id, _ := m.drawLog(t)
	var slot []Extent
	for _, log := range m.sortedLogs() {
		if log == id || rapid.Bool().Draw(t, "in slot") {
			slot = append(slot, m.addRun(t, log))
		}
	}
	if rapid.Bool().Draw(t, "head") {
		m.journal.write(m.open, make([]byte, 10))
	}
	f := m.file(m.open)
	f.slots = append(f.slots, slot)
	must(t, m.x.Add(m.open, slot))
}

// addRun writes some batches of one log and makes one extent of them.
func (m *model) addRun(t *rapid.T, id LogID) Extent {
	l := m.logs[id]
	if rapid.IntRange(0, 9).Draw(t, "gap") == 0 {
		l.next += rapid.SampledFrom([]int64{1, 7, 1 << 33}).Draw(t, "gap width")
	}
	e := Extent{Log: id, Base: l.next, MaxTime: math.MinInt64}
	var data []byte
	for range rapid.IntRange(1, 3).Draw(t, "batches") {
		n := rapid.Int64Range(1, 5).Draw(t, "records")
		batch := makeBatch(l.next, n, rapid.IntRange(30, 200).Draw(t, "size"), byte(l.next))
		data = append(data, batch...)
		time := rapid.Int64Range(-1, 1000).Draw(t, "time")
		e.MaxTime = max(e.MaxTime, time)
		m.times[id][l.next] = time
		l.used = append(l.used, Extent{Base: l.next, Count: n, Bytes: int64(len(batch))})
		l.next += n
	}
	e.Count, e.Bytes = l.next-e.Base, int64(len(data))
	e.Pos = m.journal.write(m.open, data)
	m.file(m.open).total += e.Bytes
	p := modelPlace{Place{m.open, e}, data}
	if n := len(l.places); n > 0 && l.places[n-1].End() <= l.start {
		l.places = append(l.places, p) // nothing alive to merge with
	} else {
		l.places = merged(l.places, p, modelMerge, true)
	}
	return e
}

func (m *model) sortedLogs() []LogID {
	var ids []LogID
	for id := range m.logs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (m *model) seal(t *rapid.T) {
	m.x.Seal(m.open)
	if m.x.Add(m.open, nil) == nil {
		t.Fatal("Add to a sealed file")
	}
	m.open++
	m.order = append(m.order, &modelFile{id: m.open})
}

func (m *model) build(t *rapid.T) {
	ids := m.x.Unindexed()
	if len(ids) == 0 {
		t.Skip("nothing to build")
	}
	id := rapid.SampledFrom(ids).Draw(t, "file")
	must(t, m.x.BuildIdx(context.Background(), id))
	m.built[id] = true
}

func (m *model) setStart(t *rapid.T) {
	id, l := m.drawLog(t)
	l.start = max(l.start, rapid.Int64Range(0, l.next).Draw(t, "start"))
	if rapid.Bool().Draw(t, "at an edge") && len(l.places) > 0 {
		l.start = max(l.start, rapid.SampledFrom(l.places).Draw(t, "extent").End())
	}
	m.x.SetStart(id, l.start)
}

// kill settles some offsets of a log, in any order.
func (m *model) kill(t *rapid.T) {
	if !m.holes {
		t.Skip("no holes")
	}
	id, l := m.drawLog(t)
	from := rapid.Int64Range(l.start, l.next).Draw(t, "from")
	to := min(l.next, from+rapid.SampledFrom([]int64{1, 3, 10, 100, 1 << 40}).Draw(t, "width"))
	runs := runsOf(l.live(from, to))
	for _, r := range rapid.Permutation(runs).Draw(t, "order") {
		m.killRun(id, l, r)
	}
	if m.twice {
		m.x.Kill(id, from, to)
	}
}

func (m *model) killRun(id LogID, l *modelLog, r [2]int64) {
	for o := r[0]; o < r[1]; o++ {
		l.dead[o] = true
	}
	m.x.Kill(id, r[0], r[1])
}

// killExtents settles all of some extents.
func (m *model) killExtents(t *rapid.T) {
	if !m.holes {
		t.Skip("no holes")
	}
	id, l := m.drawLog(t)
	for _, p := range l.places {
		if rapid.Bool().Draw(t, "kill extent") {
			for _, r := range runsOf(l.live(p.Base, p.End())) {
				m.killRun(id, l, r)
			}
		}
	}
}

// runsOf joins sorted offsets into ranges.
func runsOf(offsets []int64) [][2]int64 {
	var runs [][2]int64
	for _, o := range offsets {
		if n := len(runs); n > 0 && runs[n-1][1] == o {
			runs[n-1][1]++
		} else {
			runs = append(runs, [2]int64{o, o + 1})
		}
	}
	return runs
}

func (m *model) drop(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		t.Skip("logs should live for a while")
	}
	id, _ := m.drawLog(t)
	delete(m.logs, id)
	m.x.Drop(id)
}

// drawRun chooses files to rewrite.
func (m *model) drawRun(t *rapid.T) []engine.FileID {
	if rapid.Bool().Draw(t, "candidates") {
		return m.x.Candidates(Policy{DeadShare: 0.3, SmallFiles: 2})
	}
	var ids []engine.FileID
	for _, f := range m.order {
		if m.built[f.id] {
			ids = append(ids, f.id)
		} else if len(ids) > 0 {
			break
		}
	}
	if len(ids) == 0 {
		return nil
	}
	i := rapid.IntRange(0, len(ids)-1).Draw(t, "first")
	return ids[i:rapid.IntRange(i+1, len(ids)).Draw(t, "last")]
}

// kept lists what a rewrite of files takes of a log.
func (m *model) kept(t *rapid.T, id LogID, files []engine.FileID) []modelPlace {
	l := m.logs[id]
	var places, kept []modelPlace
	for _, p := range m.found(t, l) {
		if slices.Contains(files, p.File) {
			places = append(places, p)
		}
	}
	spans := m.spans(id)
	start := l.start
	if i := slices.IndexFunc(spans, func(s span) bool { return slices.Contains(files, m.x.slots[s.file].id) }); i >= 0 {
		start = max(start, spans[i].first)
	}
	for _, p := range places {
		if m.cfg.Split != nil && (m.hasHoles(id) || p.Base < start) {
			kept = append(kept, m.batchesOf(l, p)...)
		} else {
			kept = append(kept, p)
		}
	}
	return slices.DeleteFunc(kept, func(p modelPlace) bool { return m.holes && !l.anyLive(p) })
}

// batchesOf parts a place into batches.
func (m *model) batchesOf(l *modelLog, p modelPlace) []modelPlace {
	var parts []modelPlace
	for _, b := range l.used {
		if b.Base < p.Base || b.Base >= p.End() {
			continue
		}
		e := Extent{Log: p.Log, Base: b.Base, Count: b.Count, Bytes: b.Bytes, MaxTime: m.times[p.Log][b.Base]}
		parts = append(parts, modelPlace{Place{p.File, e}, p.data[:b.Bytes]})
		p.data = p.data[b.Bytes:]
	}
	return parts
}

func (m *model) startRewrite(t *rapid.T) {
	if m.rewrite != nil {
		t.Skip("one at a time")
	}
	ids := m.drawRun(t)
	if len(ids) == 0 {
		t.Skip("nothing to rewrite")
	}
	m.numbers++
	r := &modelRewrite{id: RewrittenFile(m.numbers), old: ids, extents: make(map[LogID][]modelPlace)}
	n := int64(0)
	for id := range m.logs {
		for _, p := range m.kept(t, id, ids) {
			p.File = r.id
			r.total += p.Bytes
			r.extents[id] = merged(r.extents[id], p, modelRewriteMerge, false)
		}
		n += int64(len(r.extents[id]))
	}
	res, err := m.x.Rewrite(context.Background(), r.id, ids)
	must(t, err)
	if res.Extents != n || res.Bytes != r.total {
		t.Fatalf("rewrote %d extents, %d bytes; want %d, %d", res.Extents, res.Bytes, n, r.total)
	}
	if n > 0 {
		m.rewrite = r
	}
}

func (m *model) replace(t *rapid.T) {
	r := m.rewrite
	if r == nil {
		t.Skip("nothing was rewritten")
	}
	m.rewrite = nil
	if rapid.IntRange(0, 4).Draw(t, "give up") == 0 {
		gone, err := m.x.Remove(r.id)
		if !gone || err != nil {
			t.Fatal(gone, err)
		}
		return
	}
	must(t, m.x.Replace(r.old, r.id))
	m.built[r.id] = true
	at := slices.IndexFunc(m.order, func(f *modelFile) bool { return f.id == r.old[0] })
	m.order = slices.Insert(m.order, at, &modelFile{id: r.id, total: r.total})
	for _, id := range r.old {
		m.file(id).gone = true
	}
	for id, l := range m.logs {
		var places []modelPlace
		done := false
		for _, p := range l.places {
			if !slices.Contains(r.old, p.File) {
				places = append(places, p)
			} else if !done {
				places = append(places, r.extents[id]...)
				done = true
			}
		}
		l.places = places
	}
}

func (m *model) removeDead(t *rapid.T) {
	dead := m.x.DeadFiles()
	for _, f := range m.order {
		has, live := m.liveIn(f.id)
		if is := slices.Contains(dead, f.id); is && live {
			t.Fatalf("file %x is dead, and has live offsets", f.id)
		} else if has && !is && !live && f.id != m.open && (m.rewrite == nil || !slices.Contains(m.rewrite.old, f.id)) {
			t.Fatalf("file %x is not known to be dead", f.id)
		}
	}
	for _, id := range dead {
		gone, err := m.x.Remove(id)
		if err != nil || (!gone && len(m.walks) == 0) {
			t.Fatal(gone, err)
		}
		if !gone {
			continue
		}
		must(t, m.journal.Trim(id))
		m.order = slices.DeleteFunc(m.order, func(f *modelFile) bool { return f.id == id })
		delete(m.built, id)
	}
}

// liveIn says whether a file has anything, and anything live.
func (m *model) liveIn(id engine.FileID) (has, live bool) {
	for _, l := range m.logs {
		for _, p := range l.places {
			has = has || p.File == id
			live = live || p.File == id && l.anyLive(p)
		}
	}
	return has, live
}

// beginWalk makes an iterator and uses it a little.
func (m *model) beginWalk(t *rapid.T) {
	id, l := m.drawLog(t)
	from := rapid.Int64Range(0, l.next).Draw(t, "from")
	w := &walk{it: m.x.Find(id, from, math.MaxInt64)}
	for _, p := range m.found(t, l) {
		if p.End() > from {
			w.want = append(w.want, p)
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		w.next(t, m)
	}
	m.walks = append(m.walks, w)
}

// next goes one extent further and reports false at the end.
func (w *walk) next(t *rapid.T, m *model) bool {
	if !w.it.Next() {
		if w.it.Err() != nil || len(w.want) > 0 {
			t.Fatalf("walk ended with %v, %d extents before its end", w.it.Err(), len(w.want))
		}
		return false
	}
	p, want := w.it.Place(), w.want[0]
	if p.Base != want.Base || p.File != want.File || p.Count < want.Count {
		t.Fatalf("walk is at %+v, want %+v", p, want.Place)
	}
	w.want = w.want[1:]
	w.got = append(w.got, p)
	m.readable(t, p)
	return true
}

func (m *model) readable(t *rapid.T, p Place) {
	b := make([]byte, p.Bytes)
	must(t, m.x.Read(context.Background(), p.File, p.Pos, b))
	must(t, verifyBatches(p.Extent, b))
}

// endWalk goes on with one that is held, or reads again what it yielded.
func (m *model) endWalk(t *rapid.T) {
	if len(m.walks) == 0 {
		t.Skip("no walk")
	}
	w := m.walks[0]
	if w.pin == nil && rapid.Bool().Draw(t, "detach") {
		w.pin = w.it.Detach()
		return
	}
	m.walks = m.walks[1:]
	if w.pin != nil {
		for _, p := range w.got {
			m.readable(t, p)
		}
		w.pin.Close()
		return
	}
	for w.next(t, m) {
	}
	w.it.Close()
}

// reload starts anew from what is durable.
func (m *model) reload(t *rapid.T) {
	m.walks = nil
	m.x.Close()
	m.x = New(m.cfg)
	m.rewrite = nil
	ctx := context.Background()
	m.order = slices.DeleteFunc(m.order, func(f *modelFile) bool { return f.gone })
	_, err := m.x.Sweep(ctx, func(id engine.FileID) bool { return m.file(id) != nil })
	must(t, err)
	for _, f := range m.order {
		if f.id == m.open {
			for _, s := range f.slots {
				must(t, m.x.Add(f.id, s))
			}
			m.rescan(f)
			break
		}
		if m.built[f.id] && rapid.IntRange(0, 3).Draw(t, "lose .idx") == 0 {
			m.breakIdx(t, f.id)
		}
		err := m.x.Load(f.id)
		var d *engine.ErrDamaged
		if errors.Is(err, engine.ErrNotFound) || errors.As(err, &d) {
			err = m.rebuild(f)
		}
		must(t, err)
	}
	for id, l := range m.logs {
		m.x.SetStart(id, l.start)
	}
	m.x.Keep(func(id LogID) bool { return m.logs[id] != nil })
	for id, l := range m.logs {
		var dead []int64
		for o := range l.dead {
			if o >= l.start {
				dead = append(dead, o)
			}
		}
		slices.Sort(dead)
		for _, r := range runsOf(dead) {
			m.x.Kill(id, r[0], r[1])
		}
	}
}

func (m *model) breakIdx(t *rapid.T, id engine.FileID) {
	path := m.blobs.path(idxName(3, id))
	b, err := os.ReadFile(path)
	must(t, err)
	switch rapid.IntRange(0, 2).Draw(t, "how") {
	case 0:
		err = os.Remove(path)
	case 1:
		err = os.WriteFile(path, b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")], 0o666)
	case 2:
		b[len(b)-1-rapid.IntRange(0, pageBytes-1).Draw(t, "flip")] ^= 1
		err = os.WriteFile(path, b, 0o666)
	}
	must(t, err)
}

func (m *model) rebuild(f *modelFile) error {
	m.rescan(f)
	m.built[f.id] = true
	return m.x.Rebuild(context.Background(), f.id, func(add func([]Extent) error) error {
		for _, s := range f.slots {
			if err := add(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// rescan merges the extents of a journal file again from its slots: what was
// dead when they were added may now be merged too.
func (m *model) rescan(f *modelFile) {
	if IsRewritten(f.id) {
		return
	}
	fresh := make(map[LogID][]modelPlace)
	for _, s := range f.slots {
		for _, e := range s {
			data := m.journal.files[f.id][e.Pos : e.Pos+e.Bytes]
			fresh[e.Log] = merged(fresh[e.Log], modelPlace{Place{f.id, e}, data}, modelMerge, true)
		}
	}
	for id, l := range m.logs {
		at := slices.IndexFunc(l.places, func(p modelPlace) bool { return p.File == f.id })
		if at < 0 {
			continue
		}
		l.places = slices.DeleteFunc(l.places, func(p modelPlace) bool { return p.File == f.id })
		l.places = slices.Insert(l.places, at, fresh[id]...)
	}
}

// check asks everything once.
func (m *model) check(t *rapid.T) {
	m.checkFiles(t)
	for _, id := range m.sortedLogs() {
		l := m.logs[id]
		for range 2 {
			from := rapid.Int64Range(0, l.next+2).Draw(t, "from")
			to := rapid.Int64Range(0, l.next+2).Draw(t, "to")
			since := rapid.Int64Range(-2, 1001).Draw(t, "since")
			m.checkLog(t, id, l, from, to, since)
		}
		m.checkLog(t, id, l, 0, math.MaxInt64, 500)
	}
	if got := collect(t, m.x.Find(m.nextLog+1000, 0, math.MaxInt64)); len(got) > 0 {
		t.Fatalf("a log that does not exist has %v", got)
	}
}

func (m *model) checkLog(t *rapid.T, id LogID, l *modelLog, from, to, since int64) {
	var want, young, youngest []modelPlace
	var bytes, before int64
	top := int64(math.MinInt64)
	for _, p := range m.found(t, l) {
		if p.End() > from {
			bytes += p.Bytes
		} else {
			before += p.Bytes
		}
		if p.End() <= from || p.Base >= to || max(from, l.start) >= to {
			continue
		}
		want = append(want, p)
		if p.MaxTime >= since {
			young = append(young, p)
		}
		top = max(top, p.MaxTime)
	}
	for _, p := range want {
		if p.MaxTime == top {
			youngest = append(youngest, p)
		}
	}
	m.same(t, "Find", m.x.Find(id, from, to), want)
	m.same(t, "FindTime", m.x.FindTime(id, from, to, since), young)
	m.same(t, "FindMaxTime", m.x.FindMaxTime(id, from, to), youngest)
	if got, err := m.x.Bytes(id, from); err != nil || got != bytes {
		t.Fatalf("log %d: Bytes(%d) = %d, %v; want %d", id, from, got, err, bytes)
	}
	if got, err := m.x.BytesBefore(id, from); err != nil || got != before {
		t.Fatalf("log %d: BytesBefore(%d) = %d, %v; want %d", id, from, got, err, before)
	}
}

func (m *model) same(t *rapid.T, what string, it *Iter, want []modelPlace) {
	got := collect(t, it)
	if len(got) != len(want) {
		t.Fatalf("%s: got %d extents: %+v; want %d: %+v", what, len(got), got, len(want), want)
	}
	for i, g := range got {
		w := want[i].Place
		if IsRewritten(w.File) {
			w.Pos = g.Pos
		}
		if g != w {
			t.Fatalf("%s: extent %d is %+v, want %+v", what, i, g, w)
		}
		p := make([]byte, g.Bytes)
		must(t, m.x.Read(context.Background(), g.File, g.Pos, p))
		if !bytes.Equal(p, want[i].data) {
			t.Fatalf("%s: extent %d (%+v) has other bytes", what, i, g)
		}
	}
}

func (m *model) checkFiles(t *rapid.T) {
	usage := make(map[engine.FileID]Usage)
	for _, u := range m.x.Files() {
		usage[u.File] = u
	}
	for _, f := range m.order {
		live, some := int64(0), false
		exact, holes := true, false
		for id, l := range m.logs {
			for _, p := range l.places {
				if p.File == f.id && p.End() > l.start && m.held(p) {
					live, some = live+p.Bytes, true
					exact = exact && l.start <= firstIn(l, f.id)
					holes = holes || m.hasHoles(id)
				}
			}
		}
		u, ok := usage[f.id]
		if !ok && f.total == 0 {
			continue
		}
		if u.Bytes != f.total || some != (u.Live > 0) || u.Live > u.Bytes || (exact && !holes && u.Live != live) {
			t.Fatalf("file %x: %+v; want %d bytes, %d live (exact: %v)", f.id, u, f.total, live, exact)
		}
	}
	m.checkSums(t)
}

// checkSums adds up what files count of spans.
func (m *model) checkSums(t *rapid.T) {
	live, spans := make(map[uint32]int64), make(map[uint32]int)
	for id, l := range m.x.logs {
		if l.shares != nil && len(l.shares) != len(l.spans) {
			t.Fatalf("log %d has %d spans and %d shares", id, len(l.spans), len(l.shares))
		}
		for i := range l.spans {
			s := &l.spans[i]
			live[s.file] += l.live(i)
			spans[s.file]++
			if i > 0 && s.first < l.spans[i-1].next() {
				t.Fatalf("log %d: spans overlap at offset %d", id, s.first)
			}
		}
	}
	for _, f := range m.x.order {
		if f.live != live[f.slot] || f.spans != spans[f.slot] {
			t.Fatalf("file %x counts %d live bytes in %d spans, there are %d in %d", f.id, f.live, f.spans, live[f.slot], spans[f.slot])
		}
	}
}

// firstIn is the first offset that the file has of the log.
func firstIn(l *modelLog, id engine.FileID) int64 {
	return l.places[slices.IndexFunc(l.places, func(p modelPlace) bool { return p.File == id })].Base
}

func TestModel(t *testing.T)          { testModel(t, false) }
func TestModelWithHoles(t *testing.T) { testModel(t, true) }

func testModel(t *testing.T, holes bool) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		m := newModel(t, fmt.Sprintf("%s/%d", dir, n), holes)
		must(t, os.Mkdir(m.blobs.dir, 0o777))
		defer func() { m.x.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"add":          m.add,
			"add more":     m.add,
			"seal":         m.seal,
			"build":        m.build,
			"set start":    m.setStart,
			"kill":         m.kill,
			"kill extents": m.killExtents,
			"drop":         m.drop,
			"rewrite":      m.startRewrite,
			"replace":      m.replace,
			"removeDead":   m.removeDead,
			"reload":       m.reload,
			"begin walk":   m.beginWalk,
			"end walk":     m.endWalk,
			"":             m.check,
		})
	})
}
