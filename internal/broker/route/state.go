package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// state is what entries make. Durable and Table each have one; only the
// table's has matchers.
type state struct {
	matching bool
	vhosts   map[string]*vhost
}

type vhost struct {
	exchanges map[string]*exchange
	to        map[Destination][]*binding // no empty slice
	bindings  int
}

type exchange struct {
	Exchange
	from    map[identity]*binding
	next    map[string]int // exchanges that it is bound to, and by how many bindings
	matcher matcher        // nil unless matching
}

// identity is what tells a binding from others of the same source.
type identity struct {
	to        Destination
	key       string
	arguments string // encoded
}

func (i identity) compare(o identity) int {
	return cmp.Or(i.to.compare(o.to), cmp.Compare(i.key, o.key), cmp.Compare(i.arguments, o.arguments))
}

func (b *Binding) identity() identity {
	return identity{b.Destination, b.Key, string(appendArguments(nil, b.Arguments))}
}

// binding is a binding in its place.
type binding struct {
	id        identity
	source    *exchange
	arguments []Argument
	raw       []byte
	place     int // in vhost.to[id.to]
	bagPlace  int // in the matcher's bag
}

func (b *binding) public() Binding {
	return Binding{Source: b.source.Name, Destination: b.id.to, Key: b.id.key, Arguments: b.arguments, Raw: b.raw}
}

// apply takes in one fact. An error means that it does not fit the state,
// which no decided entry does.
func (s *state) apply(e Entry) error {
	switch e := e.(type) {
	case VHostOpened:
		return s.open(e.VHost)
	case VHostClosed:
		if s.vhosts[e.VHost] == nil {
			return noVHost(e.VHost)
		}
		delete(s.vhosts, e.VHost)
		return nil
	case ExchangeDeclared:
		return s.inVHost(e.VHost, func(v *vhost) error { return v.declare(e.Exchange, s.matching) })
	case ExchangeDeleted:
		return s.inVHost(e.VHost, func(v *vhost) error { return v.delete(e.Name) })
	case Bound:
		return s.inVHost(e.VHost, func(v *vhost) error { return v.bind(&e.Binding) })
	case Unbound:
		return s.inVHost(e.VHost, func(v *vhost) error { return v.unbind(&e.Binding) })
	case DestinationGone:
		return s.inVHost(e.VHost, func(v *vhost) error { return v.removeTo(Destination{ToQueue, e.Queue}) })
	}
	return fmt.Errorf("entry %T is not one of package route", e)
}

func (s *state) open(name string) error {
	if s.vhosts[name] != nil {
		return fmt.Errorf("vhost '%s' is opened twice", name)
	}
	if s.vhosts == nil {
		s.vhosts = map[string]*vhost{}
	}
	s.vhosts[name] = &vhost{exchanges: map[string]*exchange{}, to: map[Destination][]*binding{}}
	return nil
}

func (s *state) inVHost(name string, do func(*vhost) error) error {
	v := s.vhosts[name]
	if v == nil {
		return noVHost(name)
	}
	if err := do(v); err != nil {
		return fmt.Errorf("vhost '%s': %w", name, err)
	}
	return nil
}

func (v *vhost) declare(x Exchange, matching bool) error {
	if v.exchanges[x.Name] != nil {
		return fmt.Errorf("exchange '%s' is declared twice", x.Name)
	}
	n := &exchange{Exchange: x, from: map[identity]*binding{}}
	if matching {
		n.matcher = newMatcher(&n.Exchange)
	}
	v.exchanges[x.Name] = n
	return nil
}

func (v *vhost) delete(name string) error {
	x := v.exchanges[name]
	if x == nil {
		return fmt.Errorf("exchange '%s' is deleted but not there", name)
	}
	x.matcher = nil // goes as a whole
	for _, b := range x.from {
		v.remove(b)
	}
	delete(v.exchanges, name)
	return v.removeTo(Destination{ToExchange, name})
}

// removeTo removes every binding to d; there may be none.
func (v *vhost) removeTo(d Destination) error {
	for {
		bs := v.to[d]
		if len(bs) == 0 {
			return nil
		}
		v.remove(bs[len(bs)-1])
	}
}

func (v *vhost) bind(e *Binding) error {
	x := v.exchanges[e.Source]
	id := e.identity()
	switch {
	case x == nil:
		return fmt.Errorf("exchange '%s' is bound but not there", e.Source)
	case id.to.Kind == ToExchange && v.exchanges[id.to.Name] == nil:
		return fmt.Errorf("exchange '%s' is bound to but not there", id.to.Name)
	case x.from[id] != nil:
		return fmt.Errorf("exchange '%s' is bound twice to %s '%s'", x.Name, id.to.Kind, id.to.Name)
	}
	siblings := v.to[id.to]
	if len(siblings) > 0 {
		id.to.Name = siblings[0].id.to.Name // one string for all
	}
	b := &binding{id: id, source: x, arguments: e.Arguments, raw: e.Raw, place: len(siblings)}
	v.to[id.to] = append(siblings, b)
	x.from[id] = b
	v.bindings++
	if id.to.Kind == ToExchange {
		if x.next == nil {
			x.next = map[string]int{}
		}
		x.next[id.to.Name]++
	}
	if x.matcher != nil {
		x.matcher.add(b)
	}
	return nil
}

func (v *vhost) unbind(e *Binding) error {
	var b *binding
	if x := v.exchanges[e.Source]; x != nil {
		b = x.from[e.identity()]
	}
	if b == nil {
		return fmt.Errorf("exchange '%s' is unbound from %s '%s' but not bound", e.Source, e.Destination.Kind, e.Destination.Name)
	}
	v.remove(b)
	return nil
}

// remove takes a binding out of every index.
func (v *vhost) remove(b *binding) {
	x := b.source
	if x.matcher != nil {
		x.matcher.remove(b)
	}
	delete(x.from, b.id)
	v.bindings--
	if to := b.id.to; to.Kind == ToExchange {
		if x.next[to.Name]--; x.next[to.Name] == 0 {
			delete(x.next, to.Name)
		}
	}
	siblings := v.to[b.id.to]
	last := siblings[len(siblings)-1]
	siblings[b.place], last.place = last, b.place
	siblings[len(siblings)-1] = nil
	if len(siblings) == 1 {
		delete(v.to, b.id.to)
	} else {
		v.to[b.id.to] = siblings[:len(siblings)-1]
	}
}

// sorted returns the bindings of x in their order.
func (x *exchange) sorted() []*binding {
	return slices.SortedFunc(maps.Values(x.from), func(a, b *binding) int { return a.id.compare(b.id) })
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// exchange returns an exchange; ok is false if it or the vhost is not there.
func (s *state) exchange(vhost, name string) (x Exchange, ok bool) {
	if v := s.vhosts[vhost]; v != nil {
		if e := v.exchanges[name]; e != nil {
			return e.Exchange, true
		}
	}
	return Exchange{}, false
}

// exchanges lists the exchanges of a vhost by name.
func (s *state) exchanges(vhost string) []Exchange {
	v := s.vhosts[vhost]
	if v == nil {
		return nil
	}
	out := make([]Exchange, 0, len(v.exchanges))
	for _, name := range sortedKeys(v.exchanges) {
		out = append(out, v.exchanges[name].Exchange)
	}
	return out
}

// bindings lists the bindings of a vhost in order.
func (s *state) bindings(vhost string) []Binding {
	v := s.vhosts[vhost]
	if v == nil {
		return nil
	}
	out := make([]Binding, 0, v.bindings)
	for _, name := range sortedKeys(v.exchanges) {
		for _, b := range v.exchanges[name].sorted() {
			out = append(out, b.public())
		}
	}
	return out
}

// bindingsFrom lists the bindings of an exchange in order.
func (s *state) bindingsFrom(vhost, exchange string) []Binding {
	v := s.vhosts[vhost]
	if v == nil || v.exchanges[exchange] == nil {
		return nil
	}
	var out []Binding
	for _, b := range v.exchanges[exchange].sorted() {
		out = append(out, b.public())
	}
	return out
}

// bindingsTo lists the bindings to a destination in order.
func (s *state) bindingsTo(vhost string, d Destination) []Binding {
	v := s.vhosts[vhost]
	if v == nil {
		return nil
	}
	var out []Binding
	for _, b := range v.sortedTo(d) {
		out = append(out, b.public())
	}
	return out
}

// sortedTo returns the bindings to d, by source and identity.
func (v *vhost) sortedTo(d Destination) []*binding {
	return slices.SortedFunc(slices.Values(v.to[d]), func(a, b *binding) int {
		return cmp.Or(cmp.Compare(a.source.Name, b.source.Name), a.id.compare(b.id))
	})
}
