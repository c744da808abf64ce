package datafile

import (
	"cmp"
	"slices"
)

// share says how much of a span is live, in a log with holes. It is an
// estimate that ranks files; what may be let go of, only the owner knows.
type share struct {
	live   uint32 // offsets at or above the log's start that were not killed
	of     uint32 // how many were live when the bytes of the span were written
	killed bool   // some were, since the owner was last asked about the span
}

// suspect is a span in which something was killed.
type suspect struct {
	log   LogID
	first int64 // of the span
}

// Kill says that the offsets [from, to) of log are dead, wherever in the log
// they lie. The owner calls it once that is durable and Config.Live says so. It
// may come as often and in any order as it likes; Kill reads nothing and calls
// nobody. What is below the log's start, or in no file, is passed over. When a
// shard is opened, Kill comes after SetStart, for all that is dead above it.
//
// An offset should not be killed twice. The index cannot tell and counts it
// twice: the file ranks as deader than it is, and may be rewritten too early.
// Nothing is lost by it, because a span is let go of only when Config.Live,
// asked by the next DeadFiles or Candidates, says that nothing in it is live.
// (Without Config.Live the count decides, and then a second Kill can lose what
// is live.) An offset that was never used counts as live until it is killed.
func (x *Index) Kill(log LogID, from, to int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.logs[log]
	if l == nil {
		return
	}
	if from = max(from, l.start); from >= to {
		return
	}
	for i := l.above(from); i < len(l.spans) && l.spans[i].first < to; i++ {
		l.count()
		s, h := &l.spans[i], &l.shares[i]
		f := x.slots[s.file]
		f.live -= l.live(i)
		h.live -= uint32(min(int64(h.live), min(to, s.next())-max(from, s.first)))
		f.live += l.live(i)
		x.suspect(log, l, i)
	}
}

// suspect has the owner asked about a span; while its file is written to, not
// before Seal.
func (x *Index) suspect(log LogID, l *logSpans, i int) {
	s, h := &l.spans[i], &l.shares[i]
	if h.killed {
		return
	}
	h.killed = true
	if f := x.slots[s.file]; f.sealed {
		x.suspects = append(x.suspects, suspect{log, s.first})
	} else {
		f.hollow = true
	}
}

// count makes the shares of a log, which has none as long as it has no holes.
func (l *logSpans) count() {
	if l.shares != nil {
		return
	}
	l.shares = make([]share, len(l.spans))
	for i := range l.spans {
		l.shares[i] = l.spans[i].share(l.start)
	}
}

// share is that of a span of which nothing was killed.
func (s *span) share(start int64) share {
	return share{live: uint32(max(0, s.next()-max(s.first, start))), of: s.count}
}

// live is about how many bytes of span i are live: exact where it is wholly
// live or dead, and in proportion to its offsets otherwise. It is never zero
// while something may be live.
func (l *logSpans) live(i int) int64 {
	s := &l.spans[i]
	if l.shares == nil || s.next() <= l.start {
		return s.live(l.start)
	}
	h := l.shares[i]
	n, of := uint64(min(h.live, h.of)), uint64(h.of)
	return max(1, int64((uint64(s.bytes)*n+of-1)/of))
}

// reap lets go of the spans in which nothing is live any more. It asks the
// owner about those in which something was killed since the last time, so it
// asks less often than Kill was called.
func (x *Index) reap() {
	x.mu.Lock()
	suspects := x.suspects
	x.suspects = nil
	x.mu.Unlock()
	slices.SortFunc(suspects, func(a, b suspect) int {
		return cmp.Or(cmp.Compare(a.log, b.log), cmp.Compare(a.first, b.first))
	})
	for len(suspects) > 0 {
		log, n := suspects[0].log, 1
		for n < len(suspects) && suspects[n].log == log {
			n++
		}
		if dead := x.deadOf(log, suspects[:n]); len(dead) > 0 {
			x.letGo(log, dead)
		}
		suspects = suspects[n:]
	}
}

// deadOf returns those of the suspected spans of a log that are dead.
func (x *Index) deadOf(log LogID, suspects []suspect) []span {
	var spans []span
	start := int64(0)
	x.mu.Lock()
	if l := x.logs[log]; l != nil {
		start = l.start
		for _, q := range suspects {
			i := l.above(q.first)
			if i == len(l.spans) || l.spans[i].first != q.first {
				continue // gone meanwhile, or another has its place
			}
			l.shares[i].killed = false // what is killed from now on is asked for again
			if x.cfg.Live != nil || l.shares[i].live == 0 {
				spans = append(spans, l.spans[i])
			}
		}
	}
	x.mu.Unlock()
	if x.cfg.Live == nil {
		return spans
	}
	return slices.DeleteFunc(spans, func(s span) bool { return x.isLive(log, max(s.first, start), s.next()) })
}

// isLive asks the owner. No lock is held.
func (x *Index) isLive(log LogID, from, to int64) bool {
	return x.cfg.Live == nil || from < to && x.cfg.Live(log, from, to)
}

// letGo takes dead spans, which are sorted, out of a log. Readers may still
// have them.
func (x *Index) letGo(log LogID, dead []span) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.logs[log]
	if l == nil {
		return
	}
	spans := make([]span, 0, len(l.spans))
	shares := l.shares[:0]
	for i := range l.spans {
		s := &l.spans[i]
		for len(dead) > 0 && dead[0].first < s.first {
			dead = dead[1:]
		}
		if len(dead) > 0 && dead[0].first == s.first && dead[0].count == s.count && dead[0].file == s.file {
			f := x.slots[s.file]
			f.live -= l.live(i)
			f.spans--
			continue
		}
		spans, shares = append(spans, *s), append(shares, l.shares[i])
	}
	l.spans, l.shares = spans, shares
}
