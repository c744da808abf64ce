package queue

// Each calls fn for each queue, ascending by id. The spec must not be changed.
func (d *Durable) Each(fn func(ID, *Spec)) {
	for _, id := range sortedKeys(d.byID) {
		fn(id, &d.byID[id].spec)
	}
}
