package route

import "strings"

// xMatch is how a binding of a headers exchange matches.
type xMatch struct {
	any   bool // one of the headers suffices
	withX bool // headers whose names begin with x- count too
}

const xMatchName = "x-match"

// parseXMatch reads x-match; without it all must match.
func parseXMatch(arguments []Argument) (xMatch, error) {
	s, ok, err := text(arguments, xMatchName)
	if err != nil || !ok {
		return xMatch{}, err
	}
	switch s {
	case "all":
		return xMatch{}, nil
	case "any":
		return xMatch{any: true}, nil
	case "all-with-x":
		return xMatch{withX: true}, nil
	case "any-with-x":
		return xMatch{any: true, withX: true}, nil
	}
	return xMatch{}, invalid(xMatchName, "invalid x-match field value '%s'; expected all, any, all-with-x, or any-with-x", s)
}

// headersMatcher looks at every binding, but at each header of the message
// only once.
type headersMatcher struct {
	bindings bag
	specs    []headersSpec // by bagPlace
	ids      map[string]int
	names    []headerName // by id
	free     []int        // ids
}

// headersSpec is what a binding asks of the headers.
type headersSpec struct {
	any        bool
	conditions []condition
}

type condition struct {
	header int   // id of its name
	value  Value // Void: any
}

type headerName struct {
	name       string
	conditions int
}

// headerValue is a header of the message, once it was looked up.
type headerValue struct {
	known, there bool
	value        Value
}

func newHeadersMatcher() *headersMatcher { return &headersMatcher{ids: map[string]int{}} }

func (h *headersMatcher) add(b *binding) {
	h.bindings.add(b)
	match, err := parseXMatch(b.arguments)
	if err != nil {
		match = xMatch{} // cannot be: DecideBind refuses it
	}
	spec := headersSpec{any: match.any}
	for _, a := range b.arguments {
		if a.Name != xMatchName && (match.withX || !strings.HasPrefix(a.Name, "x-")) {
			spec.conditions = append(spec.conditions, condition{h.hold(a.Name), a.Value})
		}
	}
	h.specs = append(h.specs, spec)
}

func (h *headersMatcher) remove(b *binding) {
	for _, c := range h.specs[b.bagPlace].conditions {
		h.release(c.header)
	}
	last := len(h.specs) - 1
	h.specs[b.bagPlace] = h.specs[last]
	h.specs[last] = headersSpec{}
	h.specs = h.specs[:last]
	h.bindings.remove(b)
}

// hold returns the id of a name that one more condition uses.
func (h *headersMatcher) hold(name string) int {
	id, ok := h.ids[name]
	if !ok {
		if n := len(h.free); n > 0 {
			id, h.free = h.free[n-1], h.free[:n-1]
		} else {
			id, h.names = len(h.names), append(h.names, headerName{})
		}
		h.ids[name] = id
		h.names[id].name = name
	}
	h.names[id].conditions++
	return id
}

func (h *headersMatcher) release(id int) {
	n := &h.names[id]
	if n.conditions--; n.conditions == 0 {
		delete(h.ids, n.name)
		*n = headerName{}
		h.free = append(h.free, id)
	}
}

func (h *headersMatcher) match(r *Result) bool {
	values := r.headers[:0]
	for range h.names {
		values = append(values, headerValue{})
	}
	matched := false
	for i := range h.specs {
		if h.matches(&h.specs[i], values, r.message.Fields) {
			r.take(h.bindings[i].id.to)
			matched = true
		}
	}
	clear(values)
	r.headers = values[:0]
	return matched
}

func (h *headersMatcher) matches(s *headersSpec, values []headerValue, f Fields) bool {
	for _, c := range s.conditions {
		v := &values[c.header]
		if !v.known {
			v.known = true
			if f != nil {
				v.value, v.there = f.Header(h.names[c.header].name)
			}
		}
		if met := v.there && (c.value == Void || c.value == v.value); met == s.any {
			return met
		}
	}
	return !s.any
}
