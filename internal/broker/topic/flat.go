package topic

import (
	"slices"
	"strings"
)

// FlatNames finds topic names that collide: the names of metrics have no '.',
// and Kafka's tools put '_' in its place, so "a.b" and "a_b" would be one. Only
// names with one of the two are kept; no other name can collide.
type FlatNames map[string][]string // names, by what is left when '.' is '_'

// collides says whether other names may differ from name in '.' and '_' alone.
func collides(name string) bool { return strings.ContainsAny(name, "._") }

func flat(name string) string { return strings.ReplaceAll(name, ".", "_") }

// Add takes a name in.
func (f FlatNames) Add(name string) {
	if collides(name) {
		f[flat(name)] = append(f[flat(name)], name)
	}
}

// Remove forgets a name that was added.
func (f FlatNames) Remove(name string) {
	if !collides(name) {
		return
	}
	left := slices.DeleteFunc(f[flat(name)], func(n string) bool { return n == name })
	if len(left) == 0 {
		delete(f, flat(name))
		return
	}
	f[flat(name)] = left
}

// Colliding returns another name that name collides with; "" if there is none.
func (f FlatNames) Colliding(name string) string {
	if !collides(name) {
		return ""
	}
	for _, n := range f[flat(name)] {
		if n != name {
			return n
		}
	}
	return ""
}
