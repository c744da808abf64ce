package datafile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Replace makes all lookups that begin from now on find the file id, which
// Rewrite has written, in place of the old files. For each log the change is
// atomic. Offsets that have died since the Rewrite stay dead. The old files
// are dead afterwards, and stay readable until Remove.
func (x *Index) Replace(old []engine.FileID, id engine.FileID) error {
	p, f, err := x.beginReplace(old, id)
	if err != nil {
		return fmt.Errorf("datafile: replace by %s: %w", dataName(x.cfg.Shard, id), err)
	}
	for dir := p.dir; len(dir) > 0; {
		n := wholeLogs(dir, chunkLogs)
		x.mu.Lock()
		err = errors.Join(err, x.swapLogs(p, f, dir[:n]))
		x.mu.Unlock()
		dir = dir[n:]
	}
	err = errors.Join(err, x.swapEmpty(p))
	x.mu.Lock()
	defer x.mu.Unlock()
	f.busy = false
	for _, o := range p.old {
		o.busy = false
		if o.spans != 0 {
			err = errors.Join(err, fmt.Errorf("%s still has %d logs", fileName(x.cfg.Shard, o.id), o.spans))
		}
	}
	if err != nil {
		return fmt.Errorf("datafile: replace by %s: %w", dataName(x.cfg.Shard, id), err)
	}
	return nil
}

// beginReplace registers the new file, in the place of the old ones.
func (x *Index) beginReplace(old []engine.FileID, id engine.FileID) (*rewritten, *file, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.pending[id]
	if p == nil {
		return nil, nil, fmt.Errorf("nothing was rewritten: %w", engine.ErrNotFound)
	}
	if !slices.EqualFunc(p.old, old, func(f *file, id engine.FileID) bool { return f.id == id }) {
		return nil, nil, errors.New("it stands for other files")
	}
	delete(x.pending, id)
	f := x.newFile(id, slices.Index(x.order, p.old[0]))
	f.sealed, f.busy, f.idx, f.total = true, true, p.idx, p.n
	return p, f, nil
}

// wholeLogs returns how many lines of a directory belong to its first n lines,
// without parting the lines of one log.
func wholeLogs(dir []entry, n int) int {
	if n >= len(dir) {
		return len(dir)
	}
	for n < len(dir) && dir[n].log == dir[n-1].log {
		n++
	}
	return n
}

// swapLogs puts lines of the directory of f in the place of what the old files
// have of these logs.
func (x *Index) swapLogs(p *rewritten, f *file, dir []entry) error {
	var errs error
	for len(dir) > 0 {
		n := wholeLogs(dir, 1)
		errs = errors.Join(errs, x.swap(dir[0].log, p, f, dir[:n]))
		dir = dir[n:]
	}
	return errs
}

// swapEmpty lets go of what the old files have of logs that the new one has
// nothing of, because nothing of them was live.
func (x *Index) swapEmpty(p *rewritten) error {
	var errs error
	for part := range slices.Chunk(p.holes, chunkLogs) {
		x.mu.Lock()
		for _, log := range part {
			errs = errors.Join(errs, x.swap(log, p, nil, nil))
		}
		x.mu.Unlock()
	}
	return errs
}

// swap puts the lines of one log in the place of what the old files have of it.
func (x *Index) swap(log LogID, p *rewritten, f *file, lines []entry) error {
	l := x.logs[log]
	if l == nil {
		return nil // it was dropped
	}
	for len(lines) > 0 && lines[0].next() <= l.start {
		lines = lines[1:] // has died meanwhile
	}
	i, j := x.within(l, p.old)
	_, holes := slices.BinarySearch(p.holes, log)
	if holes {
		l.count()
	}
	if l.shares != nil {
		lines = l.meeting(lines, i, j)
	}
	if i == j && len(lines) == 0 {
		return nil
	}
	if !l.fit(lines, i, j, holes) {
		return fmt.Errorf("log %d: the old files end at another offset than the new one", log)
	}
	x.put(log, l, i, j, f, lines)
	return nil
}

// meeting returns the lines that have offsets in common with spans i to j. In
// a log with holes the others have died since they were written.
func (l *logSpans) meeting(lines []entry, i, j int) []entry {
	var met []entry
	for k := range lines {
		if from, to := l.meet(&lines[k], i, j); from < to {
			met = append(met, lines[k])
		}
	}
	return met
}

// meet returns which of the spans i to j have offsets in common with a line.
func (l *logSpans) meet(e *entry, i, j int) (from, to int) {
	for from = i; from < j && l.spans[from].next() <= e.first; from++ {
	}
	for to = from; to < j && l.spans[to].first < e.next(); to++ {
	}
	return from, to
}

// fit reports whether lines can stand for spans i to j. They end where those
// do; below, if something was left out at the end, and above, if spans have
// been let go of since. They never reach into the neighbours.
func (l *logSpans) fit(lines []entry, i, j int, holes bool) bool {
	if len(lines) == 0 {
		return holes
	}
	first, end := lines[0].first, lines[len(lines)-1].next()
	switch {
	case i == j || (i > 0 && first < l.spans[i-1].next()) || (j < len(l.spans) && end > l.spans[j].first):
		return false
	case holes:
		return true
	case l.shares != nil:
		return end >= l.spans[j-1].next()
	}
	return end == l.spans[j-1].next()
}

// put does what swap has found to be right.
func (x *Index) put(log LogID, l *logSpans, i, j int, f *file, lines []entry) {
	spans, shares := make([]span, len(lines)), make([]share, len(lines))
	for n := range lines {
		spans[n] = lines[n].span(f)
		shares[n] = l.shareOf(&lines[n], i, j)
	}
	for k := i; k < j; k++ {
		o := x.slots[l.spans[k].file]
		o.spans--
		o.live -= l.live(k)
	}
	l.spans = slices.Concat(l.spans[:i], spans, l.spans[j:])
	if l.shares != nil {
		l.shares = slices.Concat(l.shares[:i], shares, l.shares[j:])
	}
	for n := range lines {
		f.spans++
		f.live += l.live(i + n)
		if l.shares != nil {
			x.suspect(log, l, i+n) // it may have died meanwhile
		}
	}
}

// shareOf is the share of a line that stands for spans i to j: as much is live
// as in those. A span that belongs to two lines counts in both.
func (l *logSpans) shareOf(e *entry, i, j int) share {
	h := e.share(l.start)
	if l.shares == nil {
		return h
	}
	live := int64(0)
	for i, j = l.meet(e, i, j); i < j; i++ {
		live += int64(l.shares[i].live)
	}
	h.live = uint32(min(live, int64(h.live)))
	return h
}

// Remove forgets a dead file and deletes its .idx and, if it is a rewritten
// one, its data; a journal file the caller trims then. It reports false, and
// does nothing, while an iterator or a Pin may still lead to the file; the
// caller asks again later. A rewritten file that was not put in its place by
// Replace can be removed too, as can one that is not known.
func (x *Index) Remove(id engine.FileID) (bool, error) {
	gone, err := x.unregister(id)
	if !gone || err != nil {
		return false, err
	}
	if err := x.deleteBlobs(id); err != nil {
		return false, fmt.Errorf("datafile: remove %s: %w", fileName(x.cfg.Shard, id), err)
	}
	return true, nil
}

func (x *Index) unregister(id engine.FileID) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.pending[id]; p != nil {
		for _, f := range p.old {
			f.busy = false
		}
		delete(x.pending, id)
		return true, nil
	}
	f := x.files[id]
	if f == nil {
		return true, nil
	}
	if !f.sealed || f.spans > 0 {
		return false, fmt.Errorf("datafile: %s is still in use", fileName(x.cfg.Shard, id))
	}
	if f.busy || x.mayBeRead(f) {
		return false, nil
	}
	delete(x.files, id)
	x.slots[f.slot] = nil
	x.order = slices.DeleteFunc(x.order, func(o *file) bool { return o == f })
	return true, nil
}

// mayBeRead reports whether something may still lead to a file without spans:
// a Pin, or an iterator from before the first time that this was asked.
func (x *Index) mayBeRead(f *file) bool {
	if f.retired == 0 {
		f.retired = x.epoch.n
		x.epochs = append(x.epochs, x.epoch)
		x.epoch = &epoch{n: x.epoch.n + 1}
	}
	x.epochs = slices.DeleteFunc(x.epochs, func(e *epoch) bool { return e.readers.Load() == 0 })
	// The epochs are sorted.
	return f.pins.Load() > 0 || (len(x.epochs) > 0 && x.epochs[0].n <= f.retired)
}

// Sweep deletes the blobs of this package, in this shard, whose file keep
// reports false for: what a crash has left over. It returns how many there
// were. It is called before anything else.
func (x *Index) Sweep(ctx context.Context, keep func(engine.FileID) bool) (int, error) {
	n := 0
	for _, kind := range []string{"data", "idx"} {
		names, err := x.cfg.Blobs.List(folder(x.cfg.Shard, kind))
		if err != nil {
			return n, fmt.Errorf("datafile: sweep: %w", err)
		}
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return n, err
			}
			if id, ok := idOfName(name); !ok || keep(id) {
				continue
			}
			if err := x.deleteBlob(name); err != nil {
				return n, fmt.Errorf("datafile: sweep: %w", err)
			}
			n++
		}
	}
	return n, nil
}
