package queue

import "slices"

// runs says, for ascending offsets, what value they have: one run for as many
// as follow one another with the same value. Offsets in no run have none.
type runs struct {
	list []valueRun
	dead int // at the front of list, below the floor
}

type valueRun struct{ from, to, value int64 }

// push gives offset o, beyond all others, a value.
func (r *runs) push(o, value int64) {
	if n := len(r.list); n > r.dead && r.list[n-1].to == o && r.list[n-1].value == value {
		r.list[n-1].to++
		return
	}
	r.list = append(r.list, valueRun{o, o + 1, value})
}

// at returns the run that holds o, or the first one beyond it; ok is false if
// there is none.
func (r *runs) at(o int64) (valueRun, bool) {
	live := r.list[r.dead:]
	i := 0
	if len(live) > 0 && live[0].to <= o {
		i, _ = slices.BinarySearchFunc(live, o, func(v valueRun, o int64) int {
			if v.to <= o {
				return -1
			}
			return 1
		})
	}
	if i == len(live) {
		return valueRun{}, false
	}
	return live[i], true
}

// value returns the value of o, and whether it has one.
func (r *runs) value(o int64) (int64, bool) {
	if len(r.list) == 0 {
		return 0, false
	}
	v, ok := r.at(o)
	return v.value, ok && v.from <= o
}

// drop forgets offsets below floor.
func (r *runs) drop(floor int64) {
	if len(r.list) == 0 {
		return
	}
	for r.dead < len(r.list) && r.list[r.dead].to <= floor {
		r.dead++
	}
	switch {
	case r.dead == len(r.list):
		r.list, r.dead = r.list[:0], 0
		if cap(r.list) > 1024 {
			r.list = nil
		}
	case r.dead > 32 && r.dead > len(r.list)/2:
		r.list = append(r.list[:0], r.list[r.dead:]...)
		r.dead = 0
	}
}

// each calls fn with the parts of runs that lie in [from, to).
func (r *runs) each(from, to int64, fn func(valueRun)) {
	for v, ok := r.at(from); ok && v.from < to; v, ok = r.at(from) {
		v.from, v.to = max(v.from, from), min(v.to, to)
		fn(v)
		from = v.to
		if from >= to {
			return
		}
	}
}
