package route

import "slices"

// targets are destinations in ascending order, each with the number of
// bindings that lead to it. Few lie in one chunk, many in several, none of them
// empty, so that one that comes or goes among very many moves few.
type targets struct {
	few  chunk   // all, unless there are many
	many []chunk // nil, unless a chunk was not enough
}

type chunk []target

type target struct {
	Destination
	bindings int
}

// chunkMax is how many targets a chunk holds before it is split.
const chunkMax = 128

func (ts *targets) empty() bool { return len(ts.few)+len(ts.many) == 0 }

// home returns the chunk in which d is or belongs; i is its place in many.
func (ts *targets) home(d Destination) (c *chunk, i int) {
	if ts.many == nil {
		return &ts.few, 0
	}
	i, _ = slices.BinarySearchFunc(ts.many, d, func(c chunk, d Destination) int { return c[len(c)-1].compare(d) })
	i = min(i, len(ts.many)-1)
	return &ts.many[i], i
}

func (c chunk) find(d Destination) (int, bool) {
	return slices.BinarySearchFunc(c, d, func(t target, d Destination) int { return t.compare(d) })
}

// add counts one more binding that leads to d.
func (ts *targets) add(d Destination) {
	c, i := ts.home(d)
	at, there := c.find(d)
	if there {
		(*c)[at].bindings++
		return
	}
	*c = slices.Insert(*c, at, target{d, 1})
	if len(*c) > chunkMax {
		ts.split(c, i)
	}
}

func (ts *targets) split(c *chunk, i int) {
	half := len(*c) / 2
	low, high := slices.Clone((*c)[:half]), slices.Clone((*c)[half:])
	if ts.many == nil {
		ts.few, ts.many = nil, []chunk{low, high}
		return
	}
	*c = low
	ts.many = slices.Insert(ts.many, i+1, high)
}

// remove counts one binding less that leads to d, which is there.
func (ts *targets) remove(d Destination) {
	c, i := ts.home(d)
	at, _ := c.find(d)
	if (*c)[at].bindings--; (*c)[at].bindings > 0 {
		return
	}
	if *c = slices.Delete(*c, at, at+1); len(*c) > 0 {
		return
	}
	if len(ts.many) <= 1 {
		*ts = targets{}
	} else {
		ts.many = slices.Delete(ts.many, i, i+1)
	}
}

// count is the number of destinations.
func (ts *targets) count() int {
	n := len(ts.few)
	for _, c := range ts.many {
		n += len(c)
	}
	return n
}

// nth returns the n-th destination, from 0; n is below count.
func (ts *targets) nth(n int) Destination {
	if n < len(ts.few) {
		return ts.few[n].Destination
	}
	for _, c := range ts.many {
		if n < len(c) {
			return c[n].Destination
		}
		n -= len(c)
	}
	panic("route: fewer targets than were counted")
}
