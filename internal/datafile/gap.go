package datafile

// Gap looks for a live offset in [from, to) that no registered file holds. It
// reads nothing: the lines that RAM keeps per log and file are enough. With
// Config.Live, a missing offset that is dead is no gap.
func (x *Index) Gap(log LogID, from, to int64) (offset int64, gap bool) {
	for from < to {
		a, b := x.missing(log, from, to)
		if a < b && x.isLive(log, a, b) {
			return x.firstLive(log, a, b), true
		}
		from = b
	}
	return from, false
}

// missing returns the first offsets in [from, to) that no file holds; from = to
// if there are none.
func (x *Index) missing(log LogID, from, to int64) (int64, int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	l := x.logs[log]
	if l == nil {
		return from, to
	}
	from = max(from, min(l.start, to))
	for i := l.above(from); i < len(l.spans); i++ {
		s := &l.spans[i]
		if s.first > from {
			return from, min(s.first, to)
		}
		from = s.next()
		if from >= to {
			return to, to
		}
	}
	return from, to
}

// firstLive returns the first live offset in [from, to), in which there is one.
func (x *Index) firstLive(log LogID, from, to int64) int64 {
	if x.cfg.Live == nil {
		return from
	}
	for to-from > 1 {
		middle := from + (to-from)/2
		if x.isLive(log, from, middle) {
			to = middle
		} else {
			from = middle
		}
	}
	return from
}
