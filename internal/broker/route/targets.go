package route

import "slices"

// targets are destinations in ascending order, each with the number of
// bindings that lead to it. They lie in chunks, none of them empty, so that
// one that comes or goes among very many moves few.
type targets []chunk

type chunk []target

type target struct {
	Destination
	bindings int
}

// chunkMax is how many targets a chunk holds before it is split.
const chunkMax = 128

// find returns the chunk in which d is or belongs, and the place in it.
func (ts targets) find(d Destination) (in, at int, there bool) {
	in, _ = slices.BinarySearchFunc(ts, d, func(c chunk, d Destination) int { return c[len(c)-1].compare(d) })
	in = min(in, len(ts)-1)
	at, there = slices.BinarySearchFunc(ts[in], d, func(t target, d Destination) int { return t.compare(d) })
	return in, at, there
}

// with returns ts after one more binding leads to d.
func (ts targets) with(d Destination) targets {
	if len(ts) == 0 {
		return targets{chunk{{d, 1}}}
	}
	in, at, there := ts.find(d)
	if there {
		ts[in][at].bindings++
		return ts
	}
	c := slices.Insert(ts[in], at, target{d, 1})
	if len(c) <= chunkMax {
		ts[in] = c
		return ts
	}
	half := len(c) / 2
	ts[in] = slices.Clone(c[:half])
	return slices.Insert(ts, in+1, slices.Clone(c[half:]))
}

// without returns ts after one binding less leads to d, which is there.
func (ts targets) without(d Destination) targets {
	in, at, _ := ts.find(d)
	c := ts[in]
	if c[at].bindings--; c[at].bindings > 0 {
		return ts
	}
	if len(c) == 1 {
		return slices.Delete(ts, in, in+1)
	}
	ts[in] = slices.Delete(c, at, at+1)
	return ts
}

// count is the number of destinations.
func (ts targets) count() (n int) {
	for _, c := range ts {
		n += len(c)
	}
	return n
}

// nth returns the n-th destination, from 0; n is below count.
func (ts targets) nth(n int) Destination {
	for _, c := range ts {
		if n < len(c) {
			return c[n].Destination
		}
		n -= len(c)
	}
	panic("route: fewer targets than were counted")
}
