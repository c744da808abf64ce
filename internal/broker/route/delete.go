package route

import (
	"slices"
	"strings"
)

// DecideDelete deletes an exchange and its bindings, and then the auto-delete
// exchanges that lost their last binding with it. If the exchange is not
// there, there is nothing to do. With ifUnused it must have no bindings that
// lead from it.
func (d *Durable) DecideDelete(vhost, name string, ifUnused bool) ([]Entry, error) {
	v := d.state.vhosts[vhost]
	if v == nil {
		return nil, noVHost(vhost)
	}
	x := v.exchanges[name]
	switch {
	case name == "":
		return nil, refuseDefault()
	case strings.HasPrefix(name, reservedPrefix):
		return nil, refuse(AccessRefused, "deletion of system exchange '%s' in vhost '%s' not allowed", name, vhost)
	case x == nil:
		return nil, nil
	case ifUnused && len(x.from) > 0:
		return nil, refuse(InUse, "exchange '%s' in vhost '%s' in use", name, vhost)
	}
	c := newCascade(vhost, v)
	c.delete(x)
	return c.run(), nil
}

// DecideDestinationGone removes the bindings to a queue that was deleted, and
// the auto-delete exchanges that lost their last binding with it.
func (d *Durable) DecideDestinationGone(vhost, queue string) []Entry {
	v := d.state.vhosts[vhost]
	to := Destination{ToQueue, queue}
	if v == nil || len(v.to[to]) == 0 {
		return nil
	}
	c := newCascade(vhost, v, DestinationGone{vhost, queue})
	c.lose(v.sortedTo(to))
	return c.run()
}

// DecideRestart removes what does not survive a restart of the broker: the
// exchanges that are not durable, and with them what a deletion takes along.
// The caller says with DecideDestinationGone which queues did not survive.
func (d *Durable) DecideRestart() []Entry {
	var entries []Entry
	for _, vhost := range d.VHosts() {
		c := newCascade(vhost, d.state.vhosts[vhost])
		for _, name := range sortedKeys(c.v.exchanges) {
			if x := c.v.exchanges[name]; !x.Durable {
				c.delete(x)
			}
		}
		entries = append(entries, c.run()...)
	}
	return entries
}

// cascade works out which auto-delete exchanges go when bindings go. It
// changes nothing; it keeps count of what would be left.
type cascade struct {
	vhost   string
	v       *vhost
	entries []Entry
	gone    []*exchange       // in the order of their entries
	done    int               // of gone, those whose bindings are lost already
	left    map[*exchange]int // bindings from exchanges that lost some; below 0: gone
}

// newCascade begins with the entries that start it.
func newCascade(vhost string, v *vhost, entries ...Entry) *cascade {
	return &cascade{vhost: vhost, v: v, entries: entries, left: map[*exchange]int{}}
}

// delete says that x goes; it is said once.
func (c *cascade) delete(x *exchange) {
	c.left[x] = -1
	c.gone = append(c.gone, x)
	c.entries = append(c.entries, ExchangeDeleted{c.vhost, x.Name})
}

// lose says that bindings to one destination go; they are sorted by source.
func (c *cascade) lose(bindings []*binding) {
	for _, b := range bindings {
		x := b.source
		left, known := c.left[x]
		if !known {
			left = len(x.from)
		}
		c.left[x] = left - 1
		if left == 1 && x.AutoDelete {
			c.delete(x)
		}
	}
}

// run follows the deletions to their end and returns the entries.
func (c *cascade) run() []Entry {
	for ; c.done < len(c.gone); c.done++ {
		c.lose(c.v.sortedTo(Destination{ToExchange, c.gone[c.done].Name}))
	}
	return slices.Clip(c.entries)
}
