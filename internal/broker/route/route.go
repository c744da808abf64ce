// Package route holds exchanges and bindings, and finds the queues that a
// message goes to.
//
// Durable is the state of a shard: it decides what may be declared and bound,
// and changes only in Apply. Table is the view of it that publishers match
// against. Both are fed by the same entries. DESIGN.md says why.
package route

import (
	"cmp"
	"fmt"
	"slices"
)

// Type is the type of an exchange. The numbers are stored; they never change.
type Type uint8

// The types of exchanges.
const (
	Direct Type = iota + 1
	Fanout
	Topic
	Headers
	ConsistentHash
	ModulusHash
	Random
	Delayed // matches as its Exchange.DelayedType
)

var typeNames = [...]string{
	Direct: "direct", Fanout: "fanout", Topic: "topic", Headers: "headers",
	ConsistentHash: "x-consistent-hash", ModulusHash: "x-modulus-hash",
	Random: "x-random", Delayed: "x-delayed-message",
}

// ParseType finds the type of that name.
func ParseType(name string) (Type, bool) {
	i := slices.Index(typeNames[1:], name)
	return Type(i + 1), i >= 0
}

// String is the name under which clients declare the type.
func (t Type) String() string {
	if t.valid() {
		return typeNames[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

func (t Type) valid() bool { return t >= Direct && t <= Delayed }

// Exchange is an exchange of a vhost. It is never changed once declared.
type Exchange struct {
	Name       string // empty: the default exchange
	Type       Type
	Durable    bool // false: gone after a restart
	AutoDelete bool // goes with its last binding
	Internal   bool // publishers are refused

	// What its arguments say, as far as it matters here.
	HasAlternate bool
	Alternate    string // where messages go that match nothing
	DelayedType  Type   // of Delayed
	HashHeader   string // of ConsistentHash: header to hash instead of the routing key
	HashProperty string // of ConsistentHash: property to hash instead of the routing key

	Raw []byte // all arguments, as the client's protocol writes them
}

// matchType is the type by which the exchange matches.
func (x *Exchange) matchType() Type {
	if x.Type == Delayed {
		return x.DelayedType
	}
	return x.Type
}

// Kind is the kind of a binding's destination. The numbers are stored.
type Kind uint8

// The kinds of destinations.
const (
	ToQueue Kind = iota
	ToExchange
)

// String is "queue" or "exchange".
func (k Kind) String() string {
	if k == ToExchange {
		return "exchange"
	}
	return "queue"
}

// Destination is where a binding leads.
type Destination struct {
	Kind Kind
	Name string
}

func (d Destination) compare(o Destination) int {
	return cmp.Or(cmp.Compare(d.Kind, o.Kind), cmp.Compare(d.Name, o.Name))
}

// Argument is one argument of an exchange or a binding.
type Argument struct {
	Name  string
	Value Value
}

// Binding leads from an exchange to a queue or exchange. Source, destination,
// key and arguments together are its identity; Raw is not part of it.
type Binding struct {
	Source      string
	Destination Destination
	Key         string
	Arguments   []Argument // ascending by name, each name once
	Raw         []byte     // all arguments, as the client's protocol writes them
}

// canonical returns a sorted copy of arguments; of a name that comes twice
// the first counts.
func canonical(arguments []Argument) []Argument {
	if len(arguments) == 0 {
		return nil
	}
	out := slices.Clone(arguments)
	slices.SortStableFunc(out, func(a, b Argument) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Argument) bool { return a.Name == b.Name })
}

// argument returns the value of an argument.
func argument(arguments []Argument, name string) (Value, bool) {
	for _, a := range arguments {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}
