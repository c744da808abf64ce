package route

import (
	"strconv"
	"strings"
)

// Declare asks for an exchange.
type Declare struct {
	VHost      string
	Name       string
	Type       string
	Durable    bool
	AutoDelete bool
	Internal   bool
	Arguments  []Argument // in any order
	Raw        []byte     // all arguments, as the client's protocol writes them
}

// predeclared are the exchanges that every vhost begins with.
var predeclared = []Exchange{
	{Name: "", Type: Direct, Durable: true},
	{Name: "amq.direct", Type: Direct, Durable: true},
	{Name: "amq.fanout", Type: Fanout, Durable: true},
	{Name: "amq.headers", Type: Headers, Durable: true},
	{Name: "amq.match", Type: Headers, Durable: true},
	{Name: "amq.rabbitmq.trace", Type: Topic, Durable: true, Internal: true},
	{Name: "amq.topic", Type: Topic, Durable: true},
}

const reservedPrefix = "amq."

// DecideOpen opens a vhost, with the exchanges that every vhost has. If it is
// open there is nothing to do.
func (d *Durable) DecideOpen(vhost string) ([]Entry, error) {
	if len(vhost) > d.Limits.NameBytes {
		return nil, refuse(LimitReached, "the name of the vhost has %d bytes, %d are allowed", len(vhost), d.Limits.NameBytes)
	}
	if d.HasVHost(vhost) {
		return nil, nil
	}
	entries := []Entry{VHostOpened{vhost}}
	for _, x := range predeclared {
		entries = append(entries, ExchangeDeclared{vhost, x})
	}
	return entries, nil
}

// DecideClose closes a vhost. If it is not open there is nothing to do.
func (d *Durable) DecideClose(vhost string) []Entry {
	if !d.HasVHost(vhost) {
		return nil
	}
	return []Entry{VHostClosed{vhost}}
}

// CheckPassive says whether an exchange exists, as a passive declare asks;
// what else was declared does not matter.
func (d *Durable) CheckPassive(vhost, name string) error {
	v := d.state.vhosts[vhost]
	switch {
	case v == nil:
		return noVHost(vhost)
	case name == "":
		return refuseDefault()
	case v.exchanges[name] == nil:
		return noExchange(vhost, name)
	}
	return nil
}

func refuseDefault() *Error {
	return refuse(AccessRefused, "operation not permitted on the default exchange")
}

// DecideDeclare declares an exchange. If it is there already, it must be
// equivalent: of the arguments only alternate-exchange and x-delayed-type are
// compared. Of several faults the type counts before the name, and the name
// before the arguments, as in RabbitMQ.
func (d *Durable) DecideDeclare(c Declare) ([]Entry, error) {
	v := d.state.vhosts[c.VHost]
	if v == nil {
		return nil, noVHost(c.VHost)
	}
	t, ok := ParseType(c.Type)
	if !ok {
		return nil, refuse(InvalidType, "unknown exchange type '%s'", c.Type)
	}
	if c.Name == "" {
		return nil, refuseDefault()
	}
	old := v.exchanges[c.Name]
	if old == nil && strings.HasPrefix(c.Name, reservedPrefix) {
		return nil, refuse(AccessRefused, "exchange name '%s' contains reserved prefix '%s*'", c.Name, reservedPrefix)
	}
	x, err := c.exchange(t)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, old.checkEquivalent(c.VHost, x)
	}
	if err := d.checkRoom(c, v); err != nil {
		return nil, err
	}
	return []Entry{ExchangeDeclared{c.VHost, *x}}, nil
}

func (d *Durable) checkRoom(c Declare, v *vhost) error {
	switch l := d.Limits; {
	case len(c.Name) > l.NameBytes:
		return refuse(LimitReached, "the name of the exchange has %d bytes, %d are allowed", len(c.Name), l.NameBytes)
	case argumentBytes(c.Arguments, c.Raw) > l.ArgumentBytes:
		return refuse(LimitReached, "the arguments of exchange '%s' take more than %d bytes", c.Name, l.ArgumentBytes)
	case len(v.exchanges) >= l.Exchanges:
		return refuse(LimitReached, "cannot declare exchange '%s': vhost '%s' has %d exchanges already", c.Name, c.VHost, l.Exchanges)
	}
	return nil
}

// argumentBytes is about what arguments take.
func argumentBytes(arguments []Argument, raw []byte) int {
	n := len(raw)
	for _, a := range arguments {
		n += len(a.Name) + len(a.Value)
	}
	return n
}

// exchange is what the command asks for, of type t, or why its arguments make no
// sense.
func (c *Declare) exchange(t Type) (*Exchange, error) {
	x := &Exchange{
		Name: c.Name, Type: t, Durable: c.Durable, AutoDelete: c.AutoDelete, Internal: c.Internal, Raw: c.Raw,
	}
	var err error
	if x.Alternate, x.HasAlternate, err = text(c.Arguments, "alternate-exchange"); err != nil {
		return nil, err
	}
	if t == Delayed {
		if x.DelayedType, err = delayedType(c.Arguments); err != nil {
			return nil, err
		}
	}
	if x.matchType() == ConsistentHash {
		return x, x.setHash(c.Arguments)
	}
	return x, nil
}

// text returns an argument that must be a string if it is there.
func text(arguments []Argument, name string) (s string, ok bool, err error) {
	v, ok := argument(arguments, name)
	if !ok {
		return "", false, nil
	}
	if s, ok = v.Text(); !ok {
		return "", false, invalid(name, "argument '%s' must be a string, not %s", name, v.describe())
	}
	return s, true, nil
}

func delayedType(arguments []Argument) (Type, error) {
	const name = "x-delayed-type"
	s, _, err := text(arguments, name)
	if err != nil {
		return 0, err
	}
	if t, ok := ParseType(s); ok && t != Delayed {
		return t, nil
	}
	return 0, invalid(name, "argument '%s' must be an exchange type, not '%s'", name, s)
}

// hashProperties are what HashProperty may be.
var hashProperties = map[string]bool{"correlation_id": true, "message_id": true, "timestamp": true}

func (x *Exchange) setHash(arguments []Argument) error {
	const header, property = "hash-header", "hash-property"
	h, hasHeader, err := text(arguments, header)
	if err != nil {
		return err
	}
	p, hasProperty, err := text(arguments, property)
	switch {
	case err != nil:
		return err
	case hasHeader && hasProperty:
		return invalid(property, "%s and %s are mutually exclusive", header, property)
	case hasHeader && h == "":
		return invalid(header, "%s is empty", header)
	case hasProperty && !hashProperties[p]:
		return invalid(property, "unsupported property: %s", p)
	}
	x.HashHeader, x.HashProperty = h, p
	return nil
}

// checkEquivalent says in what an exchange differs from what is asked for.
func (x *exchange) checkEquivalent(vhost string, want *Exchange) error {
	differ := func(argument, received, current string) error {
		e := refuse(Inequivalent, "inequivalent arg '%s' for exchange '%s' in vhost '%s': received %s but current is %s",
			argument, x.Name, vhost, received, current)
		e.Argument = argument
		return e
	}
	flag := func(b bool) string { return quote(strconv.FormatBool(b)) }
	switch {
	case x.Type != want.Type:
		return differ("type", quote(want.Type.String()), quote(x.Type.String()))
	case x.Durable != want.Durable:
		return differ("durable", flag(want.Durable), flag(x.Durable))
	case x.AutoDelete != want.AutoDelete:
		return differ("auto_delete", flag(want.AutoDelete), flag(x.AutoDelete))
	case x.Internal != want.Internal:
		return differ("internal", flag(want.Internal), flag(x.Internal))
	case x.HasAlternate != want.HasAlternate || x.Alternate != want.Alternate:
		return differ("alternate-exchange", want.alternate(), x.alternate())
	case x.DelayedType != want.DelayedType:
		return differ("x-delayed-type", quote(want.DelayedType.String()), quote(x.DelayedType.String()))
	}
	return nil
}

func (x *Exchange) alternate() string {
	if x.HasAlternate {
		return quote(x.Alternate)
	}
	return "none"
}
