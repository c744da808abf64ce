package route

import "math"

// hash64 is FNV-1a with a finish that spreads it over all bits. It must never
// change: a message would go to another queue after an update.
func hash64[T ~string](h uint64, s T) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix64(h)
}

const hashSeed uint64 = 0xcbf29ce484222325

func mix64(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// hashOn says what of a message is hashed: the header, the property, or else
// the routing key.
type hashOn struct{ header, property string }

func (o hashOn) hash(m *Message) uint64 {
	var v Value
	switch {
	case o.header == "" && o.property == "":
		if len(m.Keys) == 0 {
			return hash64(hashSeed, "")
		}
		return hash64(hashSeed, m.Keys[0])
	case m.Fields == nil:
	case o.header != "":
		v, _ = m.Fields.Header(o.header)
	default:
		v, _ = m.Fields.Property(o.property)
	}
	return hash64(hashSeed, v)
}

// consistentMatcher sends each message over one binding: that with the best
// of scores made of message and binding, weighted by the binding key. When a
// binding comes or goes, only messages move that go to it or came from it.
type consistentMatcher struct {
	hashOn
	bindings bag
	points   []consistentPoint // by bagPlace
}

type consistentPoint struct {
	hash   uint64
	weight float64
}

func (x *consistentMatcher) add(b *binding) {
	x.bindings.add(b)
	h := hash64(hash64(mix64(uint64(b.id.to.Kind)+hashSeed), b.id.to.Name), b.id.key)
	weight, err := parseWeight(b.id.key)
	if err != nil {
		weight = 1 // cannot be: DecideBind refuses it
	}
	x.points = append(x.points, consistentPoint{hash64(h, b.id.arguments), float64(weight)})
}

func (x *consistentMatcher) remove(b *binding) {
	last := len(x.points) - 1
	x.points[b.bagPlace] = x.points[last]
	x.points = x.points[:last]
	x.bindings.remove(b)
}

func (x *consistentMatcher) match(r *Result) bool {
	if len(x.bindings) == 0 {
		return false
	}
	h := x.hash(&r.message)
	best, bestScore := 0, math.Inf(1)
	for i, p := range x.points {
		// The first of exponentially distributed times, with the weights
		// as rates, is each binding's in proportion to its weight.
		u := (float64(mix64(h^p.hash)>>11) + 0.5) / (1 << 53)
		if score := -math.Log(u) / p.weight; score < bestScore ||
			score == bestScore && x.bindings[i].id.compare(x.bindings[best].id) < 0 {
			best, bestScore = i, score
		}
	}
	r.take(x.bindings[best].id.to)
	return true
}

// modulusMatcher sends each message to one destination: the n-th, where n is
// the hash of the routing key modulo their number.
type modulusMatcher struct{ all targets }

func (x *modulusMatcher) add(b *binding)    { x.all.add(b.id.to) }
func (x *modulusMatcher) remove(b *binding) { x.all.remove(b.id.to) }

func (x *modulusMatcher) match(r *Result) bool {
	count := x.all.count()
	if count == 0 {
		return false
	}
	r.take(x.all.nth(int(hashOn{}.hash(&r.message) % uint64(count))))
	return true
}
