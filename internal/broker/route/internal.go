package route

import "strings"

// MatchInternal is Match for the broker itself, which may publish to internal
// exchanges.
func (t *Table) MatchInternal(dst *Result, vhost, exchange string, m *Message) error {
	dst.Queues, dst.Delayed = dst.Queues[:0], dst.Delayed[:0]
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, err := t.find(vhost, exchange)
	if err != nil {
		return err
	}
	dst.message, dst.vhost = *m, t.state.vhosts[vhost]
	dst.walk(x)
	dst.message, dst.vhost = Message{}, nil
	return nil
}

// Reaches reports whether some binding of an exchange matches a routing key.
func (t *Table) Reaches(vhost, exchange, key string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, err := t.find(vhost, exchange)
	if err != nil {
		return false
	}
	r := Result{message: Message{Keys: []string{key}}, vhost: t.state.vhosts[vhost]}
	return x.matcher.match(&r)
}

// HasBindings reports whether an exchange leads anywhere.
func (t *Table) HasBindings(vhost, exchange string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	x, err := t.find(vhost, exchange)
	return err == nil && len(x.from) > 0
}

func (t *Table) find(vhost, name string) (*exchange, error) {
	v := t.state.vhosts[vhost]
	if v == nil {
		return nil, noVHost(vhost)
	}
	x := v.exchanges[name]
	if x == nil {
		return nil, noExchange(vhost, name)
	}
	return x, nil
}

// TopicMatches reports whether a binding key of a topic exchange matches a
// routing key: * stands for one word, # for any number of words.
func TopicMatches(pattern, key string) bool {
	return wordsMatch(keyWords(pattern), keyWords(key))
}

// keyWords are the words of a key; the empty key has none.
func keyWords(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

func wordsMatch(pattern, key []string) bool {
	for i, w := range pattern {
		if w == "#" {
			for k := i; k <= len(key); k++ {
				if wordsMatch(pattern[i+1:], key[k:]) {
					return true
				}
			}
			return false
		}
		if i >= len(key) || w != "*" && w != key[i] {
			return false
		}
	}
	return len(pattern) == len(key)
}

// DecideOwn declares an exchange of the broker's own, whose name clients cannot
// take. If it is there already there is nothing to do.
func (d *Durable) DecideOwn(vhost string, x Exchange) []Entry {
	v := d.state.vhosts[vhost]
	if v == nil || v.exchanges[x.Name] != nil {
		return nil
	}
	return []Entry{ExchangeDeclared{vhost, x}}
}

// BindingsFrom lists the bindings that lead from an exchange, by destination,
// key and arguments.
func (d *Durable) BindingsFrom(vhost, exchange string) []Binding {
	return d.state.bindingsFrom(vhost, exchange)
}
