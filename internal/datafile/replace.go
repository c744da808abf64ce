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
		err = errors.Join(err, x.swapLogs(p.old, f, dir[:n]))
		x.mu.Unlock()
		dir = dir[n:]
	}
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
func (x *Index) swapLogs(old []*file, f *file, dir []entry) error {
	var errs error
	for len(dir) > 0 {
		n := wholeLogs(dir, 1)
		if l := x.logs[dir[0].log]; l != nil { // else it was dropped
			if err := x.swap(l, old, f, dir[:n]); err != nil {
				errs = errors.Join(errs, fmt.Errorf("log %d: %w", dir[0].log, err))
			}
		}
		dir = dir[n:]
	}
	return errs
}

func (x *Index) swap(l *logSpans, old []*file, f *file, lines []entry) error {
	for len(lines) > 0 && lines[0].next() <= l.start {
		lines = lines[1:] // has died meanwhile
	}
	i, j := x.within(l, old)
	if i == j && len(lines) == 0 {
		return nil
	}
	if i == j || len(lines) == 0 || l.spans[j-1].next() != lines[len(lines)-1].next() {
		return errors.New("the old files end at another offset than the new one")
	}
	spans := make([]span, 0, len(l.spans)-(j-i)+len(lines))
	spans = append(spans, l.spans[:i]...)
	for k := range lines {
		s := lines[k].span(f)
		spans = append(spans, s)
		f.spans++
		f.live += s.live(l.start)
	}
	for k := i; k < j; k++ {
		o := x.slots[l.spans[k].file]
		o.spans--
		o.live -= l.spans[k].live(l.start)
	}
	l.spans = append(spans, l.spans[j:]...)
	return nil
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
