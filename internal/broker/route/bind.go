package route

import (
	"strconv"
	"strings"
)

// Bind asks for a binding, or for its end.
type Bind struct {
	VHost       string
	Source      string
	Destination Destination
	Key         string
	Arguments   []Argument // in any order
	Raw         []byte     // all arguments, as the client's protocol writes them

	// QueueExists says whether the destination is there, if it is a queue.
	// Unbinding does not look at it.
	QueueExists bool
}

func (c *Bind) binding() Binding {
	return Binding{Source: c.Source, Destination: c.Destination, Key: c.Key, Arguments: canonical(c.Arguments), Raw: c.Raw}
}

// touchesDefault says whether the default exchange is at either end.
func (c *Bind) touchesDefault() bool {
	return c.Source == "" || c.Destination == Destination{ToExchange, ""}
}

// DecideBind binds an exchange to a queue or exchange. If the same binding is
// there already there is nothing to do.
func (d *Durable) DecideBind(c Bind) ([]Entry, error) {
	v := d.state.vhosts[c.VHost]
	if v == nil {
		return nil, noVHost(c.VHost)
	}
	if c.touchesDefault() {
		return nil, refuseDefault()
	}
	x, to := v.exchanges[c.Source], c.Destination
	switch {
	case x == nil:
		return nil, noExchange(c.VHost, c.Source)
	case to.Kind == ToExchange && v.exchanges[to.Name] == nil:
		return nil, noExchange(c.VHost, to.Name)
	case to.Kind == ToQueue && !c.QueueExists:
		return nil, noQueue(c.VHost, to.Name)
	}
	if err := x.checkBinding(&c); err != nil {
		return nil, err
	}
	b := c.binding()
	if x.from[b.identity()] != nil {
		return nil, nil
	}
	if err := d.checkBindLimits(&c, v, x); err != nil {
		return nil, err
	}
	return []Entry{Bound{c.VHost, b}}, nil
}

// DecideUnbind ends a binding, and the auto-delete exchanges that have none
// left. If the binding is not there, there is nothing to do.
func (d *Durable) DecideUnbind(c Bind) ([]Entry, error) {
	v := d.state.vhosts[c.VHost]
	if v == nil {
		return nil, noVHost(c.VHost)
	}
	if c.touchesDefault() {
		return nil, refuseDefault()
	}
	x := v.exchanges[c.Source]
	if x == nil {
		return nil, nil
	}
	e := c.binding()
	e.Raw = nil
	b := x.from[e.identity()]
	if b == nil {
		return nil, nil
	}
	gone := newCascade(c.VHost, v, Unbound{c.VHost, e})
	gone.lose([]*binding{b})
	return gone.run(), nil
}

// checkBinding says whether the exchange takes such a binding.
func (x *exchange) checkBinding(c *Bind) error {
	switch x.matchType() {
	case Headers:
		_, err := parseXMatch(c.Arguments)
		return err
	case ConsistentHash:
		_, err := parseWeight(c.Key)
		return err
	}
	return nil
}

// parseWeight reads the binding key of a consistent-hash exchange.
func parseWeight(key string) (uint32, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(key, "+"), 10, 32)
	if err != nil {
		return 0, invalid("routing_key", "the binding key must be an integer from 1 to 4294967295, not '%s'", key)
	}
	if n == 0 {
		return 0, invalid("routing_key", "the binding key must be greater than 0")
	}
	return uint32(n), nil
}

func (d *Durable) checkBindLimits(c *Bind, v *vhost, x *exchange) error {
	switch l := d.Limits; {
	case len(c.Key) > l.NameBytes:
		return refuse(LimitReached, "the binding key has %d bytes, %d are allowed", len(c.Key), l.NameBytes)
	case len(c.Destination.Name) > l.NameBytes:
		return refuse(LimitReached, "the name of the %s has %d bytes, %d are allowed", c.Destination.Kind, len(c.Destination.Name), l.NameBytes)
	case argumentBytes(c.Arguments, c.Raw) > l.ArgumentBytes:
		return refuse(LimitReached, "the arguments of the binding take more than %d bytes", l.ArgumentBytes)
	case v.bindings >= l.Bindings:
		return refuse(LimitReached, "cannot bind: vhost '%s' has %d bindings already", c.VHost, l.Bindings)
	}
	if to := c.Destination; to.Kind == ToExchange && to.Name != x.Name && x.next[to.Name] == 0 {
		if v.above(x.Name, d.Limits.Depth)+1+v.below(to.Name, d.Limits.Depth) > d.Limits.Depth {
			return refuse(LimitReached, "exchange '%s' cannot be bound to exchange '%s': a message would pass more than %d bindings",
				x.Name, to.Name, d.Limits.Depth)
		}
	}
	return nil
}

// above is how many bindings lie between name and the exchange furthest above
// it; it does not look further than limit.
func (v *vhost) above(name string, limit int) int {
	return levels(name, limit, func(name string, yield func(string)) {
		for _, b := range v.to[Destination{ToExchange, name}] {
			yield(b.source.Name)
		}
	})
}

// below is above, in the other direction.
func (v *vhost) below(name string, limit int) int {
	return levels(name, limit, func(name string, yield func(string)) {
		for next := range v.exchanges[name].next {
			yield(next)
		}
	})
}

// levels counts the steps from name to what is furthest from it, by shortest
// ways, but not beyond limit.
func levels(name string, limit int, neighbours func(string, func(string))) int {
	seen := map[string]bool{name: true}
	level := []string{name}
	for n := 0; ; n++ {
		var next []string
		for _, name := range level {
			neighbours(name, func(to string) {
				if !seen[to] {
					seen[to] = true
					next = append(next, to)
				}
			})
		}
		if len(next) == 0 || n > limit {
			return n
		}
		level = next
	}
}
