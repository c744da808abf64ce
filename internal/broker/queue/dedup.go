package queue

// dedup remembers the last ids that a queue took, so that a message which is
// sent again is added once.
type dedup struct {
	known map[string]struct{}
	ring  []string // in the order in which they came, from next on
	next  int
	size  int
}

func newDedup(size int32) *dedup { return &dedup{known: map[string]struct{}{}, size: int(size)} }

func (d *dedup) has(id string) bool {
	_, ok := d.known[id]
	return ok
}

// add remembers id and forgets the oldest if there are too many.
func (d *dedup) add(id string) {
	if d.has(id) {
		return
	}
	d.known[id] = struct{}{}
	if len(d.ring) < d.size {
		d.ring = append(d.ring, id)
		return
	}
	delete(d.known, d.ring[d.next])
	d.ring[d.next] = id
	d.next = (d.next + 1) % d.size
}

// each calls fn with the ids, the oldest first.
func (d *dedup) each(fn func(id string)) {
	for i := range d.ring {
		fn(d.ring[(d.next+i)%len(d.ring)])
	}
}
