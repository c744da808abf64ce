package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/waxwing-mq/waxwing/bus"
)

// Handle registers a handler for messages of a topic and a type; the type "" is
// that of all types of the topic without a handler of their own. With an exchange of
// AMQP a topic may be a pattern, "order.*" or "order.#"; a topic that has handlers
// itself goes before patterns, and these in the order of their bytes. Messages that
// nobody handles are acknowledged. Handlers are registered before Run; it panics
// if there is one already, or h is nil.
//
// h makes its changes in tx, which it must neither commit nor roll back, and
// returns nil or an error, see Retry, Reject and DeadLetter. It may be called again
// for the same message, but only one of those calls commits. It must not keep m. A
// panic is an error like others.
func (i *Inbox[TX]) Handle(topic, eventType string, h func(ctx context.Context, tx TX, m *bus.Delivery) error) {
	if h == nil {
		panic("inbox: a handler that is nil")
	}
	types := i.handlers[topic]
	if types == nil {
		types = map[string]handler[TX]{}
		i.handlers[topic] = types
	}
	if types[eventType] != nil {
		panic(fmt.Sprintf("inbox: a second handler for %q of topic %q", eventType, topic))
	}
	types[eventType] = h
}

// Handle registers a handler for events whose bodies are JSON. One that is not a T
// is a dead letter. All else is as with the method Handle.
func Handle[T, TX any](i *Inbox[TX], topic, eventType string, h func(ctx context.Context, tx TX, event T, m *bus.Delivery) error) {
	i.Handle(topic, eventType, func(ctx context.Context, tx TX, m *bus.Delivery) error {
		var event T
		if err := json.Unmarshal(m.Body, &event); err != nil {
			return DeadLetter(fmt.Errorf("the body is no %T: %w", event, i.quotable(err)))
		}
		return h(ctx, tx, event, m)
	})
}

// handler is who handles messages of a topic and type, nil if nobody does, and the
// topic or pattern that it was registered for.
func (i *Inbox[TX]) handler(topic, eventType string) (h handler[TX], registered string) {
	types, ok := i.handlers[topic]
	if !ok {
		topic = i.pattern(topic)
		types = i.handlers[topic]
	}
	if h := types[eventType]; h != nil {
		return h, topic
	}
	return types[""], topic
}

// pattern is the first pattern with handlers that a topic fits, "" if there is none.
func (i *Inbox[TX]) pattern(topic string) (found string) {
	words := strings.Split(topic, ".")
	for p := range i.handlers {
		if strings.ContainsAny(p, "*#") && (found == "" || p < found) && fits(strings.Split(p, "."), words) {
			found = p
		}
	}
	return found
}

// fits says whether words are of a pattern, in which "*" is a word and "#" any number
// of words.
func fits(pattern, words []string) bool {
	switch {
	case len(pattern) == 0:
		return len(words) == 0
	case pattern[0] == "#":
		return fits(pattern[1:], words) || len(words) > 0 && fits(pattern, words[1:])
	}
	return len(words) > 0 && (pattern[0] == "*" || pattern[0] == words[0]) && fits(pattern[1:], words[1:])
}

// topics are those with handlers.
func (i *Inbox[TX]) topics() (out []string) {
	for t := range i.handlers {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// call calls a handler and turns a panic into an error.
func (i *Inbox[TX]) call(ctx context.Context, tx TX, h handler[TX], m *bus.Delivery) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = i.panicked(p)
		}
	}()
	return h(ctx, tx, m)
}
