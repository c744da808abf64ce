package datafile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Result says what a Rewrite did.
type Result struct {
	File    engine.FileID   // the new file
	Old     []engine.FileID // the files that it stands for
	Extents int64           // in the new file; 0: nothing was live, no file was written, and the old ones are dead
	Logs    int             // with extents in the new file
	Bytes   int64           // of extents written
	Read    int64           // bytes read from the old files
}

// rewritten is a file that was written and awaits Replace.
type rewritten struct {
	old   []*file
	idx   *idx
	dir   []entry
	n     int64   // bytes of its extents
	holes []LogID // of which something was left out, sorted
}

// Rewrite copies the live extents of files, which are indexed and adjacent in
// log order, to the new file id, sorted by log and offset. Config.Live is asked
// about each, and one of which anything is live is copied, whole or, with
// Config.Split, without its dead batches. Rewrite checks each extent on the way with Config.Verify; what does not pass is
// *engine.ErrDamaged, and no file is written. When Rewrite returns, the new
// file is durable and has been read back, but nothing refers to it: the caller
// makes the replacement durable and then calls Replace, or Remove to forget
// it. Until then the old files can be in no other Rewrite.
func (x *Index) Rewrite(ctx context.Context, id engine.FileID, files []engine.FileID) (Result, error) {
	res := Result{File: id, Old: slices.Clone(files)}
	if !IsRewritten(id) {
		return res, fmt.Errorf("datafile: %016x is no id of a rewritten file", uint64(id))
	}
	old, err := x.takeRun(files)
	if err != nil {
		return res, fmt.Errorf("datafile: rewrite: %w", err)
	}
	p, err := x.rewrite(ctx, id, old, &res)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil || p == nil {
		for _, f := range old {
			f.busy = false
		}
	} else {
		x.pending[id] = p
	}
	if err != nil {
		return res, fmt.Errorf("datafile: rewrite to %s: %w", dataName(x.cfg.Shard, id), err)
	}
	return res, nil
}

// takeRun marks files busy.
func (x *Index) takeRun(files []engine.FileID) ([]*file, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var run []*file
	for _, id := range files {
		f := x.files[id]
		switch {
		case f == nil:
			return nil, fmt.Errorf("%s: %w", fileName(x.cfg.Shard, id), engine.ErrNotFound)
		case f.idx == nil:
			return nil, fmt.Errorf("%s has no index yet", fileName(x.cfg.Shard, id))
		case f.busy || slices.Contains(run, f):
			return nil, fmt.Errorf("%s: %w", fileName(x.cfg.Shard, id), errBusy)
		}
		run = append(run, f)
	}
	if !x.adjacent(run) {
		return nil, errors.New("the files are not adjacent in log order")
	}
	for _, f := range run {
		f.busy = true
	}
	return run, nil
}

// adjacent reports whether no file that is still in use lies between those of
// run, which are in log order.
func (x *Index) adjacent(run []*file) bool {
	i := 0
	for _, f := range x.order {
		switch {
		case i < len(run) && f == run[i]:
			i++
		case i > 0 && i < len(run) && !(f.sealed && f.spans == 0):
			return false
		}
	}
	return i == len(run) && i > 0
}

// rewrite returns nil if nothing is live. Of what it wrote nothing stays when
// it fails.
func (x *Index) rewrite(ctx context.Context, id engine.FileID, old []*file, res *Result) (_ *rewritten, err error) {
	w, err := x.newRewriter(ctx, id)
	if err != nil {
		return nil, err
	}
	defer func() {
		w.abort()
		if err != nil {
			err = errors.Join(err, x.deleteBlobs(id))
		}
	}()
	for _, log := range x.logIDs() {
		r, err := x.runOf(log, old)
		if err != nil {
			return nil, err
		}
		if r.start >= r.end {
			continue
		}
		if err := w.copyLog(log, r, old); err != nil {
			return nil, err
		}
	}
	ix, err := w.commit()
	res.Extents, res.Bytes, res.Read = int64(w.idx.count.extents), int64(w.idx.count.dataBytes), w.read
	res.Logs = len(w.idx.dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(w.holes)
	p := &rewritten{old: old, idx: ix, dir: w.idx.dir, n: res.Bytes, holes: slices.Compact(w.holes)}
	if ix == nil {
		return nil, x.swapEmpty(p)
	}
	if err := x.readBack(ctx, id, w.idx.dir); err != nil {
		return nil, err
	}
	return p, nil
}

func (x *Index) deleteBlobs(id engine.FileID) error {
	err := x.deleteBlob(idxName(x.cfg.Shard, id))
	if IsRewritten(id) {
		err = errors.Join(err, x.deleteBlob(dataName(x.cfg.Shard, id)))
	}
	return err
}

func (x *Index) deleteBlob(name string) error {
	x.store.forget(name)
	return x.cfg.Blobs.Delete(name)
}

// logIDs lists all logs, sorted.
func (x *Index) logIDs() []LogID {
	x.mu.RLock()
	ids := make([]LogID, 0, len(x.logs))
	for id := range x.logs {
		ids = append(ids, id)
	}
	x.mu.RUnlock()
	slices.Sort(ids)
	return ids
}

// logRun is what files have of a log.
type logRun struct {
	start, end int64 // offsets: where the log starts in them, and where they end
	live       int64 // about how many in between are live
	holes      bool  // something in between has died
}

// runOf returns what files have of log; start = end if nothing.
func (x *Index) runOf(log LogID, files []*file) (logRun, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	l := x.logs[log]
	if l == nil {
		return logRun{}, nil
	}
	i, j := x.within(l, files)
	if i == j {
		return logRun{}, nil
	}
	r := logRun{start: max(l.start, l.spans[i].first), end: l.spans[j-1].next(), holes: l.shares != nil}
	for k := i; k < j; k++ {
		if !slices.Contains(files, x.slots[l.spans[k].file]) {
			return logRun{}, fmt.Errorf("log %d has offset %d in another file between these", log, l.spans[k].first)
		}
		if r.holes {
			r.live += int64(l.shares[k].live)
		}
	}
	return r, nil
}

// within returns the range of spans from the first to the last that lie in
// files.
func (x *Index) within(l *logSpans, files []*file) (i, j int) {
	for k := range l.spans {
		if slices.Contains(files, x.slots[l.spans[k].file]) {
			if j == 0 {
				i = k
			}
			j = k + 1
		}
	}
	return i, j
}

// readBackExtents is how many extents of a new file are read again at least,
// if it has so many.
const readBackExtents = 16

// readBack checks a file that has just been written: its directory, and some
// of its extents, with their checksums.
func (x *Index) readBack(ctx context.Context, id engine.FileID, want []entry) error {
	ix, t, err := x.store.openIdx(idxName(x.cfg.Shard, id), id)
	if err != nil {
		return err
	}
	dir, err := x.store.directory(ix, t)
	if err != nil {
		return err
	}
	if !slices.Equal(dir, want) {
		return damaged(ix.name, 0, "the directory read back is not the one written")
	}
	if err := x.checkData(id, t); err != nil {
		return err
	}
	step := max(1, ix.blocks/readBackExtents)
	for no := uint32(0); no < ix.blocks; no += step {
		b, err := x.store.block(ix, no)
		if err != nil {
			return err
		}
		e, more, ok := b.next()
		if !more || !ok {
			return damagedBlock(ix, no)
		}
		if err := x.readBackExtent(ctx, id, e); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) readBackExtent(ctx context.Context, id engine.FileID, e Extent) error {
	if err := x.wait(ctx, int(min(e.Bytes, maxIO))); err != nil {
		return err
	}
	p := make([]byte, frameBytes+e.Bytes)
	if err := x.Read(ctx, id, e.Pos-frameBytes, p); err != nil {
		return err
	}
	if reason := checkFrame(e, p[:frameBytes], p[frameBytes:]); reason != "" {
		return damaged(dataName(x.cfg.Shard, id), e.Pos-frameBytes, "read back: %s", reason)
	}
	return nil
}

// wait asks the caller's limiter.
func (x *Index) wait(ctx context.Context, n int) error {
	if x.cfg.Wait == nil {
		return ctx.Err()
	}
	return x.cfg.Wait(ctx, n)
}

// copyLog adds the live extents that the old files have of log.
func (w *rewriter) copyLog(log LogID, r logRun, old []*file) error {
	it := w.x.Find(log, r.start, r.end)
	defer it.Close()
	for it.Next() {
		p := it.Place()
		if !slices.ContainsFunc(old, func(f *file) bool { return f.id == p.File }) {
			return fmt.Errorf("log %d, offset %d lies in %s", log, p.Base, fileName(w.x.cfg.Shard, p.File))
		}
		if !w.isLive(p.Extent, r) {
			continue
		}
		if err := w.add(p, r); err != nil {
			return err
		}
	}
	return it.Err()
}

// room says how many bytes of an extent may stand at pos, so that the end
// frame has its place too.
func room(pos int64) int64 { return MaxFileBytes - frameBytes - pos }
