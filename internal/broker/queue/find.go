package queue

import "slices"

// Each calls fn for each queue, ascending by id. The spec must not be changed.
func (d *Durable) Each(fn func(ID, *Spec)) {
	for _, id := range sortedKeys(d.byID) {
		fn(id, &d.byID[id].spec)
	}
}

// InVHost returns the queues of a vhost, ascending.
func (d *Durable) InVHost(vhost string) []ID {
	if d.vhosts[vhost] == 0 {
		return nil
	}
	var ids []ID
	for id, q := range d.byID {
		if q.spec.VHost == vhost {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
