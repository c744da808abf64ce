package datafile

import "math"

// FindTime is Find, restricted to extents with a MaxTime of at least since (in
// ms): the first one holds the first record that is as young.
func (x *Index) FindTime(log LogID, from, to, since int64) *Iter {
	it := x.Find(log, from, to)
	it.since = since
	return it
}

// FindMaxTime is Find, restricted to the extents whose MaxTime is the largest
// of all in [from, to): the first one holds the earliest of the youngest
// records. An extent at the edge counts whole.
func (x *Index) FindMaxTime(log LogID, from, to int64) *Iter {
	it := x.Find(log, from, to)
	from, to = it.next, it.to
	best, edges := it.wholeSpans(from, to, math.MinInt64, func(s *span, best int64) int64 { return max(best, s.maxTime) })
	for _, e := range edges {
		if e.maxTime <= best {
			continue
		}
		it.restart(max(from, e.first), min(to, e.next()), best)
		for it.Next() {
			best = max(best, it.Place().MaxTime)
		}
	}
	it.restart(from, to, best)
	return it
}

// Bytes is the size of the extents of log that end above from and have not
// been let go of. It may read from .idx blobs.
func (x *Index) Bytes(log LogID, from int64) (int64, error) {
	it := x.Find(log, from, math.MaxInt64)
	defer it.Close()
	return it.bytes(math.MaxInt64)
}

// BytesBefore is the size of the extents of log that have not been let go of
// and that lie wholly below offset.
func (x *Index) BytesBefore(log LogID, offset int64) (int64, error) {
	it := x.Find(log, 0, math.MaxInt64)
	defer it.Close()
	return it.bytes(offset)
}

// Size is about how many live bytes log has, without reading anything: a file
// in which a part of the log is dead counts in proportion.
func (x *Index) Size(log LogID) int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	l := x.logs[log]
	if l == nil {
		return 0
	}
	var sum int64
	for i := range l.spans {
		sum += l.live(i)
	}
	return sum
}

// bytes adds up the extents that end at or below to, of an iterator that was
// not moved yet.
func (it *Iter) bytes(to int64) (int64, error) {
	from, last := it.next, it.to
	sum, edges := it.wholeSpans(from, to, 0, func(s *span, sum int64) int64 { return sum + int64(s.bytes) })
	for _, e := range edges {
		it.restart(max(from, e.first), min(to, last, e.next()), math.MinInt64)
		for it.Next() {
			if it.Place().End() <= to {
				sum += it.Place().Bytes
			}
		}
	}
	return sum, it.err
}

func (it *Iter) restart(from, to, since int64) {
	it.x.mu.RLock()
	defer it.x.mu.RUnlock()
	it.rewind(from, to, since)
}

// wholeSpans folds the spans that lie wholly in [from, to), and returns copies
// of those that lie in it partly; there are two at most.
func (it *Iter) wholeSpans(from, to, v int64, fold func(*span, int64) int64) (_ int64, edges []span) {
	it.x.mu.RLock()
	defer it.x.mu.RUnlock()
	for i := it.at; i < len(it.spans) && it.spans[i].first < to; i++ {
		s := &it.spans[i]
		switch {
		case s.next() <= from:
		case s.first >= from && s.next() <= to:
			v = fold(s, v)
		default:
			edges = append(edges, *s)
		}
	}
	return v, edges
}
