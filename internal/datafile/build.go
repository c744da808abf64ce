package datafile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// chunkLogs is how many logs are changed while the lock is held once, so that
// no reader and no Add waits for all of them.
const chunkLogs = 256

// errBusy says that another BuildIdx or Rewrite has the file.
var errBusy = errors.New("the file is being read by another rewrite or index build")

// Unindexed lists the sealed files that have no .idx yet, oldest first. Those in
// which nothing is live need none: they are about to be removed, and on a full
// disk there is no room for it.
func (x *Index) Unindexed() []engine.FileID {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var ids []engine.FileID
	for _, f := range x.order {
		if f.sealed && f.idx == nil && f.spans > 0 {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// Spoilt lists the files whose .idx a read has found damaged or missing:
// Rebuild makes a new one. Until then lookups in it fail.
func (x *Index) Spoilt() []engine.FileID {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var ids []engine.FileID
	for _, f := range x.order {
		if f.spoilt {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// BuildIdx writes the .idx of a sealed file and drops its extents from RAM.
// A file that has its .idx is left alone. When it fails, nothing has changed,
// and it may be tried again.
func (x *Index) BuildIdx(ctx context.Context, id engine.FileID) error {
	f, mem, err := x.takeMem(id)
	if f == nil || err != nil {
		return err
	}
	ix, dir, err := x.writeIdx(ctx, id, mem)
	if err == nil {
		x.point(f, ix, dir)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f.busy = false
	if err != nil {
		return fmt.Errorf("datafile: index of %s: %w", fileName(x.cfg.Shard, id), err)
	}
	f.mem = nil
	return nil
}

// takeMem marks a sealed file busy and returns its extents, sorted. No file
// means that there is nothing to do.
func (x *Index) takeMem(id engine.FileID) (*file, []memSpan, error) {
	x.mu.Lock()
	f := x.files[id]
	var err error
	switch {
	case f == nil:
		err = fmt.Errorf("datafile: %s: %w", fileName(x.cfg.Shard, id), engine.ErrNotFound)
	case !f.sealed:
		err = fmt.Errorf("datafile: %s is not sealed", fileName(x.cfg.Shard, id))
	case f.idx != nil:
		f = nil
	case f.busy:
		err = fmt.Errorf("datafile: %s: %w", fileName(x.cfg.Shard, id), errBusy)
	}
	if f == nil || err != nil {
		x.mu.Unlock()
		return nil, nil, err
	}
	f.busy = true
	mem := slices.Clone(f.mem)
	x.mu.Unlock()
	slices.SortFunc(mem, func(a, b memSpan) int {
		return cmp.Or(cmp.Compare(a.log, b.log), cmp.Compare(a.first, b.first))
	})
	return f, mem, nil
}

// writeIdx writes the .idx of file id from sorted extents, in place of any
// that is there.
func (x *Index) writeIdx(ctx context.Context, id engine.FileID, mem []memSpan) (*idx, []entry, error) {
	name := idxName(x.cfg.Shard, id)
	if err := x.cfg.Blobs.Delete(name); err != nil {
		return nil, nil, err
	}
	blob, err := x.cfg.Blobs.Create(name)
	if err != nil {
		return nil, nil, err
	}
	defer blob.Abort()
	w, err := newIdxWriter(blob, id)
	if err != nil {
		return nil, nil, err
	}
	for i := range mem {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		for j := range mem[i].exts {
			if err := w.add(mem[i].extent(j), j == 0, logRun{}); err != nil {
				return nil, nil, err
			}
		}
	}
	sum, err := w.finish()
	if err != nil {
		return nil, nil, err
	}
	if err := blob.Commit(); err != nil {
		return nil, nil, err
	}
	x.store.forget(name)
	return &idx{key: x.store.keys.Add(1), name: name, file: id, sum: sum, blocks: w.count.blocks}, w.dir, nil
}

// point makes the spans of f refer to its new .idx.
func (x *Index) point(f *file, ix *idx, dir []entry) {
	for part := range slices.Chunk(dir, chunkLogs) {
		x.mu.Lock()
		f.idx = ix
		for i := range part {
			x.pointLine(f, &part[i])
		}
		x.mu.Unlock()
	}
	x.mu.Lock()
	f.idx = ix // for a file without extents
	x.mu.Unlock()
}

// pointLine makes the spans of f that begin in a line of the directory refer
// to the block where the line begins.
func (x *Index) pointLine(f *file, e *entry) {
	l := x.logs[e.log]
	if l == nil {
		return
	}
	i := sort.Search(len(l.spans), func(i int) bool { return l.spans[i].first >= e.first })
	for ; i < len(l.spans) && l.spans[i].first < e.next(); i++ {
		if l.spans[i].file == f.slot {
			l.spans[i].at = e.block
		}
	}
}

// Load registers a closed file from its .idx, and, for a rewritten file, checks
// that its data is there. Files are loaded in log order, before any Add.
//
// It fails with engine.ErrNotFound if there is no .idx, and with
// *engine.ErrDamaged if it is damaged: then Rebuild makes a new one. A newer
// format is engine.ErrNewer. Nothing has been registered then.
//
// What the file has in the midst of what another one has of the same log must
// be dead, by Config.Live, and is left out: a rewrite passes over a dead file,
// and a crash may keep it from being removed.
func (x *Index) Load(id engine.FileID) error {
	ix, t, err := x.store.openIdx(idxName(x.cfg.Shard, id), id)
	if err != nil {
		return fmt.Errorf("datafile: index of %s: %w", fileName(x.cfg.Shard, id), err)
	}
	dir, err := x.store.directory(ix, t)
	if err != nil {
		return fmt.Errorf("datafile: index of %s: %w", fileName(x.cfg.Shard, id), err)
	}
	if IsRewritten(id) {
		if err := x.checkData(id, t); err != nil {
			return fmt.Errorf("datafile: %w", err)
		}
	}
	live, err := x.roomFor(id, dir)
	if err != nil {
		return fmt.Errorf("datafile: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.newFile(id, len(x.order))
	f.sealed, f.idx, f.total = true, ix, int64(t.dataBytes)
	for i := range live {
		l := x.log(live[i].log)
		f.live += l.live(l.insert(live[i].span(f), live[i].share(l.start)))
		f.spans++
	}
	return nil
}

// span is the span that a line of the directory of f stands for.
func (d *entry) span(f *file) span {
	return span{first: d.first, maxTime: d.maxTime, count: d.count, bytes: d.bytes, file: f.slot, at: d.block}
}

// share is that of its span, of which nothing was killed yet.
func (d *entry) share(start int64) share {
	s := span{first: d.first, count: d.count}
	h := s.share(start)
	h.of = d.live
	return h
}

// roomFor checks that nothing live in a new file lies in the midst of what is
// registered, and returns the lines that do not.
func (x *Index) roomFor(id engine.FileID, dir []entry) ([]entry, error) {
	if x.registered(id) {
		return nil, fmt.Errorf("%s: %w", fileName(x.cfg.Shard, id), engine.ErrExists)
	}
	var err error
	dir = slices.DeleteFunc(dir, func(e entry) bool {
		offset, other := x.overlap(&e)
		if other == nil || err != nil {
			return false
		}
		if x.cfg.Live == nil || x.isLive(e.log, e.first, e.next()) {
			err = fmt.Errorf("%s and %s both hold offset %d of log %d",
				fileName(x.cfg.Shard, id), fileName(x.cfg.Shard, other.id), offset, e.log)
		}
		return err == nil
	})
	return dir, err
}

func (x *Index) registered(id engine.FileID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.files[id] != nil
}

// overlap returns the first offset within a line that another file's span
// covers too; no file means that there is none.
func (x *Index) overlap(e *entry) (int64, *file) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	l := x.logs[e.log]
	if l == nil {
		return 0, nil
	}
	i := l.above(e.first)
	if i == len(l.spans) || l.spans[i].first >= e.next() {
		return 0, nil
	}
	return max(l.spans[i].first, e.first), x.slots[l.spans[i].file]
}

// above returns the number of the first span that ends above offset.
func (l *logSpans) above(offset int64) int {
	if n := len(l.spans); n == 0 || l.spans[n-1].next() <= offset {
		return n
	}
	return sort.Search(len(l.spans), func(i int) bool { return l.spans[i].next() > offset })
}

// insert puts a span in its place and returns its number.
func (l *logSpans) insert(s span, h share) int {
	if h.of < s.count {
		l.count() // the file was rewritten when the log had holes
	}
	i := l.above(s.first)
	if i == len(l.spans) {
		l.push(s, h)
		return i
	}
	l.spans = slices.Concat(l.spans[:i], []span{s}, l.spans[i:])
	if l.shares != nil {
		l.shares = slices.Insert(l.shares, i, h)
	}
	return i
}

// Rebuild writes the .idx of a closed file anew, in place of one that is
// missing or damaged, and registers the file if it is not. For a journal file,
// scan hands the extents of each of its slots to add, in order. A rewritten
// file is read itself, and scan is not used. The extents of the file are in
// RAM meanwhile, and lookups that need the .idx may fail until the new one is
// there.
func (x *Index) Rebuild(ctx context.Context, id engine.FileID, scan func(add func([]Extent) error) error) error {
	f, err := x.takeIdx(id)
	if err != nil {
		return err
	}
	mem, err := x.rescan(ctx, id, scan)
	var ix *idx
	var dir []entry
	if err == nil {
		ix, dir, err = x.writeIdx(ctx, id, mem)
	}
	if f == nil && err == nil {
		return x.Load(id)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err == nil {
		f.idx, f.spoilt = ix, false
		for i := range dir {
			x.pointLine(f, &dir[i])
		}
	}
	if f != nil {
		f.busy = false
	}
	if err != nil {
		return fmt.Errorf("datafile: index of %s: %w", fileName(x.cfg.Shard, id), err)
	}
	return nil
}

// takeIdx marks a file whose .idx is to be replaced busy; it returns nil if the
// file is not registered.
func (x *Index) takeIdx(id engine.FileID) (*file, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.files[id]
	switch {
	case f == nil:
		return nil, nil
	case f.idx == nil:
		return nil, fmt.Errorf("datafile: %s has no index yet", fileName(x.cfg.Shard, id))
	case f.busy:
		return nil, fmt.Errorf("datafile: %s: %w", fileName(x.cfg.Shard, id), errBusy)
	}
	f.busy = true
	return f, nil
}

// rescan collects the extents of a file, sorted, with an index of its own.
func (x *Index) rescan(ctx context.Context, id engine.FileID, scan func(add func([]Extent) error) error) ([]memSpan, error) {
	cfg := x.cfg
	if IsRewritten(id) {
		cfg.MergeBytes = 1 // as they stand in the file
		scan = func(add func([]Extent) error) error {
			return x.scanData(ctx, id, func(e Extent) error { return add([]Extent{e}) })
		}
	}
	tmp := New(cfg)
	if err := scan(func(e []Extent) error { return tmp.Add(id, e) }); err != nil {
		return nil, err
	}
	tmp.Seal(id)
	_, mem, err := tmp.takeMem(id)
	return mem, err
}
