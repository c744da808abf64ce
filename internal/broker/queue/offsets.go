package queue

import (
	"slices"
	"sort"
)

// offsets is a set of offsets, kept as the spans that it consists of: in
// order, apart from one another, in chunks, so that adding one moves little.
// Between two spans lies a message that is in flight or put apart; there are
// never more spans than such messages.
type offsets struct{ chunks [][]span }

// chunkMax is how many spans a chunk holds at most.
const chunkMax = 512

// find returns where the last span is that begins at o or before; ok is false
// if there is none.
func (s *offsets) find(o int64) (c, i int, ok bool) {
	c = sort.Search(len(s.chunks), func(c int) bool { return s.chunks[c][0].from > o }) - 1
	if c < 0 {
		return 0, 0, false
	}
	chunk := s.chunks[c]
	return c, sort.Search(len(chunk), func(i int) bool { return chunk[i].from > o }) - 1, true
}

// absent returns the first offset from o on that is not in the set.
func (s *offsets) absent(o int64) int64 {
	if len(s.chunks) == 0 {
		return o
	}
	if c, i, ok := s.find(o); ok {
		return max(o, s.chunks[c][i].to)
	}
	return o
}

func (s *offsets) contains(o int64) bool { return s.absent(o) != o }

// each calls fn with the spans from o on; the first is cut at o.
func (s *offsets) each(o int64, fn func(from, to int64) bool) {
	c, i, _ := s.find(o)
	for ; c < len(s.chunks); c, i = c+1, 0 {
		for _, x := range s.chunks[c][i:] {
			if x.to > o && !fn(max(x.from, o), x.to) {
				return
			}
		}
	}
}

// count returns how many of [from, to) are in the set.
func (s *offsets) count(from, to int64) (n int64) {
	if len(s.chunks) > 0 {
		s.each(from, func(a, b int64) bool {
			n += max(0, min(b, to)-a)
			return b < to
		})
	}
	return n
}

// add adds [from, to).
func (s *offsets) add(from, to int64) {
	c, i, ok := s.find(from)
	switch {
	case !ok: // before all others
		i = -1
		if len(s.chunks) == 0 {
			s.revive()
		}
	case s.chunks[c][i].to >= from:
		s.chunks[c][i].to = max(s.chunks[c][i].to, to)
		s.swallow(c, i)
		return
	}
	s.chunks[c] = slices.Insert(s.chunks[c], i+1, span{from, to})
	s.swallow(c, i+1)
	if l := s.chunks[c]; len(l) > chunkMax {
		s.chunks = slices.Insert(s.chunks, c+1, slices.Clone(l[chunkMax/2:]))
		s.chunks[c] = l[: chunkMax/2 : chunkMax/2]
	}
}

// revive gives an empty set a chunk, the one that it had before if it is there.
func (s *offsets) revive() {
	if cap(s.chunks) == 0 {
		s.chunks = make([][]span, 1)
		return
	}
	s.chunks = s.chunks[:1]
	s.chunks[0] = s.chunks[0][:0]
}

// swallow joins a span that has grown with those behind it that it reaches.
func (s *offsets) swallow(c, i int) {
	x := &s.chunks[c][i]
	for {
		l := s.chunks[c][i+1:]
		n := 0
		for n < len(l) && l[n].from <= x.to {
			x.to = max(x.to, l[n].to)
			n++
		}
		s.chunks[c] = slices.Delete(s.chunks[c], i+1, i+1+n)
		if n < len(l) || c+1 == len(s.chunks) || s.chunks[c+1][0].from > x.to {
			return
		}
		next := s.chunks[c+1]
		x.to = max(x.to, next[0].to)
		if s.chunks[c+1] = next[1:]; len(next) == 1 {
			s.chunks = slices.Delete(s.chunks, c+1, c+2)
		}
	}
}

// drop forgets the spans below floor, which lies in none.
func (s *offsets) drop(floor int64) {
	for len(s.chunks) > 0 {
		l := s.chunks[0]
		n := 0
		for n < len(l) && l[n].from < floor {
			n++
		}
		switch {
		case n == len(l) && len(s.chunks) == 1 && cap(l) <= 64:
			s.chunks = s.chunks[:0] // the chunk is kept for revive
			return
		case n == len(l):
			s.chunks = slices.Delete(s.chunks, 0, 1)
		case len(l) <= 64:
			s.chunks[0] = slices.Delete(l, 0, n)
			return
		default:
			s.chunks[0] = l[n:]
			return
		}
	}
}
