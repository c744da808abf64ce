package route

import (
	"maps"
	"slices"
	"strings"
)

// naiveTopic matches by definition: words of a pattern against words of a key.
func naiveTopic(pattern, key []string) bool {
	if len(pattern) == 0 {
		return len(key) == 0
	}
	if pattern[0] == "#" {
		return naiveTopic(pattern[1:], key) || len(key) > 0 && naiveTopic(pattern, key[1:])
	}
	return len(key) > 0 && (pattern[0] == "*" || pattern[0] == key[0]) && naiveTopic(pattern[1:], key[1:])
}

func naiveWords(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

// naiveHeaders matches by definition: all or any of the fields that count.
func naiveHeaders(arguments []Argument, f Fields) bool {
	match, ok := argument(arguments, "x-match")
	if !ok {
		match = String("all")
	}
	mode, _ := match.Text()
	met, unmet := 0, 0
	for _, a := range arguments {
		if a.Name == "x-match" || strings.HasPrefix(a.Name, "x-") && !strings.HasSuffix(mode, "-with-x") {
			continue
		}
		v, there := f.Header(a.Name)
		if there && (a.Value == Void || v == a.Value) {
			met++
		} else {
			unmet++
		}
	}
	if strings.HasPrefix(mode, "any") {
		return met > 0
	}
	return unmet == 0
}

// naiveNext lists the destinations that one exchange sends a message to;
// choices says that it is one of them.
func naiveNext(d *Durable, x Exchange, m *Message) (next []Destination, choices bool) {
	seen := map[Destination]bool{}
	for _, b := range d.state.bindingsFrom("/", x.Name) {
		matches := false
		for _, key := range m.Keys {
			switch x.matchType() {
			case Direct:
				matches = matches || b.Key == key
			case Topic:
				matches = matches || naiveTopic(naiveWords(b.Key), naiveWords(key))
			case Headers:
				matches = matches || naiveHeaders(b.Arguments, m.Fields)
			default:
				matches = true
			}
		}
		if matches {
			seen[b.Destination] = true
		}
	}
	next = slices.SortedFunc(maps.Keys(seen), Destination.compare)
	switch x.matchType() {
	case ModulusHash:
		if len(next) > 0 {
			next = next[hash64(hashSeed, m.Keys[0])%uint64(len(next)):][:1]
		}
	case Random, ConsistentHash:
		return next, true
	}
	return next, false
}

// naiveMatch walks from an exchange over all bindings. It returns false where
// it cannot say, because an exchange on the way chooses.
func naiveMatch(d *Durable, exchange string, m *Message) (now, later []string, certain bool) {
	type at struct {
		name    string
		delayed bool
	}
	queues := map[at]bool{}
	seen := map[at]bool{}
	var walk func(string, bool) bool
	walk = func(name string, delayed bool) bool {
		x, ok := d.Exchange("/", name)
		if !ok {
			return true
		}
		delayed = delayed || x.Type == Delayed && m.Delay
		if seen[at{name, delayed}] {
			return true
		}
		seen[at{name, delayed}] = true
		next, choices := naiveNext(d, x, m)
		if choices && len(next) > 1 {
			return false
		}
		for _, to := range next {
			if to.Kind == ToQueue {
				queues[at{to.Name, delayed}] = true
			} else if !walk(to.Name, delayed) {
				return false
			}
		}
		return len(next) > 0 || !x.HasAlternate || walk(x.Alternate, delayed)
	}
	if !walk(exchange, false) {
		return nil, nil, false
	}
	for q := range queues {
		if q.delayed {
			later = append(later, q.name)
		} else {
			now = append(now, q.name)
		}
	}
	slices.Sort(now)
	slices.Sort(later)
	return now, later, true
}
