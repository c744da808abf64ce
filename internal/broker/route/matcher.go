package route

// matcher finds the destinations of one exchange. Adding and removing takes
// time by what the binding looks like and by its neighbours, not by how many
// bindings there are.
type matcher interface {
	add(*binding)
	remove(*binding)
	// match calls r.take for each destination and says whether there was one.
	match(r *Result) bool
}

func newMatcher(x *Exchange) matcher {
	if x.Name == "" {
		return defaultMatcher{}
	}
	switch x.matchType() {
	case Direct:
		return directMatcher{}
	case Fanout:
		return &fanoutMatcher{}
	case Topic:
		return &topicMatcher{}
	case Headers:
		return newHeadersMatcher()
	case ConsistentHash:
		return &consistentMatcher{hashOn: hashOn{x.HashHeader, x.HashProperty}}
	case ModulusHash:
		return &modulusMatcher{}
	default:
		return &randomMatcher{}
	}
}

// defaultMatcher is the default exchange: every queue is bound by its name.
type defaultMatcher struct{}

func (defaultMatcher) add(*binding)    {}
func (defaultMatcher) remove(*binding) {}

func (defaultMatcher) match(r *Result) bool {
	for _, key := range r.message.Keys {
		r.take(Destination{ToQueue, key})
	}
	return len(r.message.Keys) > 0
}

// directMatcher holds destinations by binding key.
type directMatcher map[string]targets

func (d directMatcher) add(b *binding) {
	ts := d[b.id.key]
	ts.add(b.id.to)
	d[b.id.key] = ts
}

func (d directMatcher) remove(b *binding) {
	ts := d[b.id.key]
	if ts.remove(b.id.to); ts.empty() {
		delete(d, b.id.key)
	} else {
		d[b.id.key] = ts
	}
}

func (d directMatcher) match(r *Result) bool {
	matched := false
	for _, key := range r.message.Keys {
		if ts, ok := d[key]; ok {
			r.takeAll(&ts)
			matched = true
		}
	}
	return matched
}

type fanoutMatcher struct{ all targets }

func (f *fanoutMatcher) add(b *binding)       { f.all.add(b.id.to) }
func (f *fanoutMatcher) remove(b *binding)    { f.all.remove(b.id.to) }
func (f *fanoutMatcher) match(r *Result) bool { return r.takeAll(&f.all) }

// bag holds bindings in no order.
type bag []*binding

func (g *bag) add(b *binding) {
	b.bagPlace = len(*g)
	*g = append(*g, b)
}

func (g *bag) remove(b *binding) {
	last := len(*g) - 1
	moved := (*g)[last]
	(*g)[b.bagPlace], moved.bagPlace = moved, b.bagPlace
	(*g)[last] = nil
	*g = (*g)[:last]
}

// randomMatcher sends each message over one binding; keys do not matter.
type randomMatcher struct{ bag }

func (x *randomMatcher) match(r *Result) bool {
	if len(x.bag) == 0 {
		return false
	}
	r.take(x.bag[r.message.Random%uint64(len(x.bag))].id.to)
	return true
}
