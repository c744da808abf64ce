package seal

import (
	"fmt"
	"slices"
	"strings"
)

// A route says to whom a topic's messages are sealed, or by whom.
type route struct {
	pattern string
	peer    string   // To
	group   string   // ToGroup
	from    []string // Expect

	incoming bool
}

// names are those that a rule names.
func (r *route) names() []string {
	if r.incoming {
		return r.from
	}
	return []string{r.peer + r.group}
}

// routes are the rules of an endpoint.
type routes struct{ out, in []route }

// To seals what is published to a topic to a peer. A topic may be a pattern, in which
// "*" is a word between dots and "#" any number of words; a topic of its own goes before
// patterns, and these in the order of their bytes.
func To(topic, peer string) Option {
	return func(o *options) { o.routes.out = append(o.routes.out, route{pattern: topic, peer: peer}) }
}

// ToGroup seals what is published to a topic, or a pattern, to the members of a group.
func ToGroup(topic, group string) Option {
	return func(o *options) { o.routes.out = append(o.routes.out, route{pattern: topic, group: group}) }
}

// Expect refuses what comes from a topic, or a pattern, and is not sealed by one of
// these services: by anybody who is trusted, if none is named.
func Expect(topic string, from ...string) Option {
	return func(o *options) { o.routes.in = append(o.routes.in, route{pattern: topic, from: from, incoming: true}) }
}

// check refuses rules that contradict each other, and sorts the rest.
func (r *routes) check() error {
	for _, list := range [][]route{r.out, r.in} {
		slices.SortStableFunc(list, func(a, b route) int { return strings.Compare(a.pattern, b.pattern) })
		for i, one := range list {
			if i > 0 && list[i-1].pattern == one.pattern {
				return fmt.Errorf("seal: two rules for topic %q", one.pattern)
			}
			for _, name := range one.names() {
				if err := checkName(name); err != nil {
					return fmt.Errorf("%w, in the rule for topic %q", err, one.pattern)
				}
			}
		}
	}
	return nil
}

// find is the rule for a topic, nil if there is none.
func find(list []route, topic string) *route {
	var found *route
	words := strings.Split(topic, ".")
	for i := range list {
		r := &list[i]
		switch {
		case r.pattern == topic:
			return r
		case found == nil && strings.ContainsAny(r.pattern, "*#") && fits(strings.Split(r.pattern, "."), words):
			found = r
		}
	}
	return found
}

// fits says whether words are of a pattern.
func fits(pattern, words []string) bool {
	switch {
	case len(pattern) == 0:
		return len(words) == 0
	case pattern[0] == "#":
		return fits(pattern[1:], words) || len(words) > 0 && fits(pattern, words[1:])
	}
	return len(words) > 0 && (pattern[0] == "*" || pattern[0] == words[0]) && fits(pattern[1:], words[1:])
}

// controlSuffix is what the topic ends with to which a service is sent what its peers'
// endpoints, not their programs, have to say.
const controlSuffix = ".seal"

// ControlTopic is the topic to which a service is sent the keys of groups that it is a
// member of (TypeDistribution), and greetings (TypeGreeting): it must be received, like
// others, by an inbox or by Open, which does all that there is to do.
func ControlTopic(service string) string { return service + controlSuffix }

// ControlTopic is the endpoint's own: an inbox with this endpoint receives it.
func (e *Endpoint[TX]) ControlTopic() string { return ControlTopic(e.core.local) }

// TypeDistribution is the type of messages on a control topic.
const TypeDistribution = "waxwing.seal.distribution"
