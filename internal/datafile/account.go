package datafile

import (
	"github.com/waxwing-mq/waxwing/internal/engine"
)

// Usage is what a file holds.
type Usage struct {
	File    engine.FileID
	Bytes   int64 // of all extents
	Live    int64 // of those that are live; see Index.Size for how exact
	Sealed  bool
	Indexed bool // the .idx is there
}

// Files lists all files in log order.
func (x *Index) Files() []Usage {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := make([]Usage, len(x.order))
	for i, f := range x.order {
		all[i] = Usage{File: f.id, Bytes: f.total, Live: f.live, Sealed: f.sealed, Indexed: f.idx != nil}
	}
	return all
}

// DeadFiles lists the sealed files in which nothing is live, oldest first.
func (x *Index) DeadFiles() []engine.FileID {
	x.reap()
	x.mu.RLock()
	defer x.mu.RUnlock()
	var ids []engine.FileID
	for _, f := range x.order {
		if f.sealed && f.spans == 0 && !f.busy {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// Policy says which files are worth rewriting. Zero values stand for the
// defaults.
type Policy struct {
	DeadShare   float64 // a file is mostly dead from this share on; default 0.5
	SmallBytes  int64   // a file with less live bytes is small; default 16 MiB
	SmallFiles  int     // so many small files in a row are worth it; default 8
	OutputBytes int64   // largest result, unless one file alone has more; default 128 MiB
	// Eligible says whether a file may be rewritten now; nil means every
	// file. It is called with a lock held and must not call back.
	Eligible func(engine.FileID) bool
}

func (p *Policy) withDefaults() {
	if p.DeadShare == 0 {
		p.DeadShare = 0.5
	}
	if p.SmallBytes == 0 {
		p.SmallBytes = 16 << 20
	}
	if p.SmallFiles == 0 {
		p.SmallFiles = 8
	}
	if p.OutputBytes == 0 {
		p.OutputBytes = 128 << 20
	}
}

func (p *Policy) dead(f *file) bool {
	return float64(f.total-f.live) >= p.DeadShare*float64(f.total)
}

func (p *Policy) small(f *file) bool { return f.live < p.SmallBytes }

// run is a candidate: adjacent files, and what rewriting them brings.
type run struct {
	files []engine.FileID
	live  int64
	gain  int64 // dead bytes
	dead  bool  // has a file that is mostly dead
}

// Candidates returns the run of adjacent files that is most worth rewriting:
// the one with the most dead bytes of those with a mostly dead file, or else
// one of many small files. It returns nil if there is none.
func (x *Index) Candidates(p Policy) []engine.FileID {
	p.withDefaults()
	x.reap()
	x.mu.RLock()
	defer x.mu.RUnlock()
	var best, r run
	consider := func() {
		if (r.dead || len(r.files) >= p.SmallFiles) &&
			(best.files == nil || (r.dead && !best.dead) || (r.dead == best.dead && r.gain > best.gain)) {
			best = r
		}
		r = run{}
	}
	for _, f := range x.order {
		if f.sealed && f.spans == 0 {
			continue // has nothing between its neighbours
		}
		if f.idx == nil || f.busy || !(p.dead(f) || p.small(f)) || (p.Eligible != nil && !p.Eligible(f.id)) {
			consider()
			continue
		}
		if len(r.files) > 0 && r.live+f.live > p.OutputBytes {
			consider()
		}
		r.files = append(r.files, f.id)
		r.live += f.live
		r.gain += f.total - f.live
		r.dead = r.dead || p.dead(f)
	}
	consider()
	return best.files
}
