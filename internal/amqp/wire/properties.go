package wire

import (
	"bytes"
	"encoding/binary"
)

// Property is one of the fourteen properties of class basic.
type Property uint8

// The properties, in the order in which they lie on the wire.
const (
	PropContentType Property = iota
	PropContentEncoding
	PropHeaders
	PropDeliveryMode
	PropPriority
	PropCorrelationID
	PropReplyTo
	PropExpiration
	PropMessageID
	PropTimestamp
	PropType
	PropUserID
	PropAppID
	PropClusterID // reserved in 0-9-1, and carried

	propCount
)

var propNames = [propCount]string{
	"content-type", "content-encoding", "headers", "delivery-mode", "priority", "correlation-id", "reply-to",
	"expiration", "message-id", "timestamp", "type", "user-id", "app-id", "cluster-id",
}

// String is the property's name in the specification.
func (p Property) String() string {
	if p < propCount {
		return propNames[p]
	}
	return "unknown"
}

// The delivery modes that have a meaning.
const (
	Transient  = 1
	Persistent = 2
)

// PropertyFlags says which properties are there.
type PropertyFlags uint16

// unusedFlags are the bits that no property has: the lowest would say that
// another word of flags follows.
const unusedFlags PropertyFlags = 1<<(16-propCount) - 1

func (p Property) flag() PropertyFlags { return 1 << (15 - p) }

// Has reports whether p is there.
func (f PropertyFlags) Has(p Property) bool { return f&p.flag() != 0 }

// Set puts p there.
func (f *PropertyFlags) Set(p Property) { *f |= p.flag() }

// Clear takes p away.
func (f *PropertyFlags) Clear(p Property) { *f &^= p.flag() }

// RawProperties are the properties of a message as its publisher wrote them;
// the bytes were walked once and are well formed. It is immutable, and reading
// one property walks over those before it. The zero RawProperties has none.
//
//	0       2
//	+-------+-------------------------+
//	| flags | the properties that are |
//	| u16   | there, in order …       |
//	+-------+-------------------------+
//
// Bit 15 of flags is content-type, bit 14 content-encoding, and so on to bit 2,
// cluster-id. Headers are a table, delivery-mode and priority a u8, timestamp a
// u64 (seconds since 1970), all others short strings.
type RawProperties struct {
	b []byte // flags and properties; nil for no property
}

// ParseProperties checks that b is what RawProperties draws, no more and no
// less, and returns it as properties, which alias b. It takes no memory. What
// is not well formed, and a flag that means nothing, is a SyntaxError.
func ParseProperties(b []byte) (RawProperties, error) {
	if len(b) < 2 {
		return RawProperties{}, newError(SyntaxError, "property flags are cut off")
	}
	flags := PropertyFlags(binary.BigEndian.Uint16(b))
	if flags&unusedFlags != 0 {
		return RawProperties{}, newError(SyntaxError, "property flags 0x%04x have a bit that means nothing", uint16(flags))
	}
	rest := b[2:]
	for p := range propCount {
		if !flags.Has(p) {
			continue
		}
		n := p.size(rest)
		if n > uint64(len(rest)) {
			return RawProperties{}, newError(SyntaxError, "%v needs %d bytes where %d are left", p, n, len(rest))
		}
		if p == PropHeaders {
			if _, err := ParseTable(rest[4:n]); err != nil {
				return RawProperties{}, err
			}
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return RawProperties{}, newError(SyntaxError, "%d bytes are left after the last property", len(rest))
	}
	if flags == 0 {
		return RawProperties{}, nil
	}
	return RawProperties{b[:len(b):len(b)]}, nil
}

// size is what the property takes at the beginning of b; more than there is if
// it is cut off.
func (p Property) size(b []byte) uint64 {
	switch p {
	case PropDeliveryMode, PropPriority:
		return 1
	case PropTimestamp:
		return 8
	case PropHeaders:
		if len(b) < 4 {
			return 4
		}
		return 4 + uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) < 1 {
		return 1
	}
	return 1 + uint64(b[0])
}

// Bytes are flags and properties as they are on the wire, not copied.
func (r RawProperties) Bytes() []byte {
	if r.b == nil {
		return []byte{0, 0}
	}
	return r.b
}

// Clone is a copy that shares no memory with r.
func (r RawProperties) Clone() RawProperties { return RawProperties{bytes.Clone(r.b)} }

// Flags says which properties are there.
func (r RawProperties) Flags() PropertyFlags {
	if r.b == nil {
		return 0
	}
	return PropertyFlags(binary.BigEndian.Uint16(r.b))
}

// find is the property's bytes, lengths included, and whether it is there.
func (r RawProperties) find(want Property) ([]byte, bool) {
	flags := r.Flags()
	if !flags.Has(want) {
		return nil, false
	}
	rest := r.b[2:]
	for p := range want {
		if flags.Has(p) {
			rest = rest[p.size(rest):]
		}
	}
	n := want.size(rest)
	return rest[:n:n], true
}

// Text is a property that is a short string, not copied, and whether it is
// there: every one but headers, delivery-mode, priority and timestamp.
func (r RawProperties) Text(p Property) ([]byte, bool) {
	switch p {
	case PropHeaders, PropDeliveryMode, PropPriority, PropTimestamp:
		return nil, false
	}
	b, ok := r.find(p)
	if !ok {
		return nil, false
	}
	return b[1:], true
}

// Headers is the table of headers, and whether it is there.
func (r RawProperties) Headers() (Table, bool) {
	b, ok := r.find(PropHeaders)
	if !ok || len(b) == 4 {
		return Table{}, ok
	}
	return Table{b[4:]}, true
}

// DeliveryMode is the delivery mode, and whether it is there.
func (r RawProperties) DeliveryMode() (uint8, bool) { return r.octet(PropDeliveryMode) }

// Priority is the priority, and whether it is there.
func (r RawProperties) Priority() (uint8, bool) { return r.octet(PropPriority) }

func (r RawProperties) octet(p Property) (uint8, bool) {
	b, ok := r.find(p)
	if !ok {
		return 0, false
	}
	return b[0], true
}

// Timestamp is the timestamp in seconds since 1970, and whether it is there.
func (r RawProperties) Timestamp() (uint64, bool) {
	b, ok := r.find(PropTimestamp)
	if !ok {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// Properties are the properties of a message, to be made or changed. What
// Flags does not name is not there, whatever its field says.
type Properties struct {
	Flags           PropertyFlags
	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       uint64 // seconds since 1970
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// text is the field of a property that is a short string, else nil.
func (p *Properties) text(which Property) *string {
	switch which {
	case PropContentType:
		return &p.ContentType
	case PropContentEncoding:
		return &p.ContentEncoding
	case PropCorrelationID:
		return &p.CorrelationID
	case PropReplyTo:
		return &p.ReplyTo
	case PropExpiration:
		return &p.Expiration
	case PropMessageID:
		return &p.MessageID
	case PropType:
		return &p.Type
	case PropUserID:
		return &p.UserID
	case PropAppID:
		return &p.AppID
	case PropClusterID:
		return &p.ClusterID
	}
	return nil
}

// layout walks the properties that are there.
func (p *Properties) layout(c coder) coder {
	c.u16((*uint16)(&p.Flags))
	for which := range propCount {
		if !p.Flags.Has(which) {
			continue
		}
		switch which {
		case PropHeaders:
			c.table(&p.Headers)
		case PropDeliveryMode:
			c.u8(&p.DeliveryMode)
		case PropPriority:
			c.u8(&p.Priority)
		case PropTimestamp:
			c.u64(&p.Timestamp)
		default:
			c.shortStr(p.text(which))
		}
	}
	return c
}

// Decode is all of the properties at once. Strings are copied, headers alias r.
func (r RawProperties) Decode() Properties {
	var p Properties
	p.layout(coder{b: r.Bytes(), decoding: true})
	return p
}

// Encode is the properties as they go onto the wire. Encoding what Decode gave
// is what was decoded, byte for byte.
func (p Properties) Encode() RawProperties {
	if p.Flags &^= unusedFlags; p.Flags == 0 {
		return RawProperties{}
	}
	return RawProperties{p.layout(coder{b: make([]byte, 0, 128+len(p.Headers.fields))}).b}
}

// SetText sets a property that is a short string; others are left alone.
func (p *Properties) SetText(which Property, s string) {
	if field := p.text(which); field != nil {
		*field = s
		p.Flags.Set(which)
	}
}
