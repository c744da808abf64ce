package route

import (
	"encoding/binary"
	"fmt"

	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Entry is a fact that the state is made of. The meaning of a released (type,
// version) never changes.
type Entry interface {
	entryType() byte
	appendBody(dst []byte) []byte
}

const entryVersion = 1

// The types of entries. Never used for anything else.
const (
	typeVHostOpened byte = iota + 1
	typeVHostClosed
	typeExchangeDeclared
	typeExchangeDeleted
	typeBound
	typeUnbound
	typeDestinationGone
)

// VHostOpened says that a vhost has exchanges from now on; it has none yet.
type VHostOpened struct{ VHost string }

// VHostClosed says that a vhost is gone, with all exchanges and bindings.
type VHostClosed struct{ VHost string }

// ExchangeDeclared says that there is a new exchange.
type ExchangeDeclared struct {
	VHost    string
	Exchange Exchange
}

// ExchangeDeleted says that an exchange is gone, with the bindings that lead
// from it and to it.
type ExchangeDeleted struct{ VHost, Name string }

// Bound says that there is a new binding.
type Bound struct {
	VHost   string
	Binding Binding
}

// Unbound says that a binding is gone. Binding.Raw is not stored.
type Unbound struct {
	VHost   string
	Binding Binding
}

// DestinationGone says that all bindings to a queue are gone.
type DestinationGone struct{ VHost, Queue string }

func (VHostOpened) entryType() byte      { return typeVHostOpened }
func (VHostClosed) entryType() byte      { return typeVHostClosed }
func (ExchangeDeclared) entryType() byte { return typeExchangeDeclared }
func (ExchangeDeleted) entryType() byte  { return typeExchangeDeleted }
func (Bound) entryType() byte            { return typeBound }
func (Unbound) entryType() byte          { return typeUnbound }
func (DestinationGone) entryType() byte  { return typeDestinationGone }

// EncodeEntry appends the encoding of e to dst (u: unsigned varint, str:
// length and bytes):
//
//	type 1 · version 1 · str vhost · body
//
//	VHostOpened       nothing
//	VHostClosed       nothing
//	ExchangeDeclared  exchange
//	ExchangeDeleted   str exchange
//	Bound             binding · str raw
//	Unbound           binding
//	DestinationGone   str queue
//
//	exchange   str name · u type · u flags · str raw, and as the flags say:
//	           str alternate · u delayed type · str hash header · str hash property
//	flags      1 durable · 2 auto-delete · 4 internal · 8 alternate ·
//	           16 delayed type · 32 hash header · 64 hash property
//	binding    str source · u kind of destination · str destination · str key ·
//	           n · n × (str name · str value), ascending by name
func EncodeEntry(dst []byte, e Entry) []byte {
	return e.appendBody(append(dst, e.entryType(), entryVersion))
}

// DecodeEntry reads one entry that takes the whole of b, and keeps no
// reference to b. It fails with ErrNewer or ErrMalformed.
func DecodeEntry(b []byte) (Entry, error) {
	if len(b) < 2 || b[0] == 0 || b[1] == 0 {
		return nil, fmt.Errorf("route entry: %w", ErrMalformed)
	}
	typ, version := b[0], b[1]
	if typ > typeDestinationGone || version > entryVersion {
		return nil, fmt.Errorf("route entry of type %d, version %d: %w", typ, version, ErrNewer)
	}
	r := enc.NewReader(b[2:])
	e, err := decodeBody(typ, &r)
	if err == nil {
		err = r.Done()
	}
	if err != nil {
		return nil, fmt.Errorf("route entry of type %d: %w", typ, err)
	}
	return e, nil
}

func decodeBody(typ byte, r *enc.Reader) (Entry, error) {
	vhost := r.String()
	switch typ {
	case typeVHostOpened:
		return VHostOpened{vhost}, nil
	case typeVHostClosed:
		return VHostClosed{vhost}, nil
	case typeExchangeDeclared:
		x, err := readExchange(r)
		return ExchangeDeclared{vhost, x}, err
	case typeExchangeDeleted:
		return ExchangeDeleted{vhost, r.String()}, nil
	case typeBound:
		b, err := readBinding(r)
		b.Raw = readRaw(r)
		return Bound{vhost, b}, err
	case typeUnbound:
		b, err := readBinding(r)
		return Unbound{vhost, b}, err
	default:
		return DestinationGone{vhost, r.String()}, nil
	}
}

func (e VHostOpened) appendBody(dst []byte) []byte { return enc.String(dst, e.VHost) }

func (e VHostClosed) appendBody(dst []byte) []byte { return enc.String(dst, e.VHost) }

func (e ExchangeDeclared) appendBody(dst []byte) []byte {
	return appendExchange(enc.String(dst, e.VHost), &e.Exchange)
}

func (e ExchangeDeleted) appendBody(dst []byte) []byte {
	return enc.String(enc.String(dst, e.VHost), e.Name)
}

func (e Bound) appendBody(dst []byte) []byte {
	return enc.Bytes(appendBinding(enc.String(dst, e.VHost), &e.Binding), e.Binding.Raw)
}

func (e Unbound) appendBody(dst []byte) []byte {
	return appendBinding(enc.String(dst, e.VHost), &e.Binding)
}

func (e DestinationGone) appendBody(dst []byte) []byte {
	return enc.String(enc.String(dst, e.VHost), e.Queue)
}

const (
	flagDurable = 1 << iota
	flagAutoDelete
	flagInternal
	flagAlternate
	flagDelayedType
	flagHashHeader
	flagHashProperty
	flagsEnd
)

func (x *Exchange) flags() (f uint64) {
	for i, set := range [...]bool{
		x.Durable, x.AutoDelete, x.Internal, x.HasAlternate,
		x.DelayedType != 0, x.HashHeader != "", x.HashProperty != "",
	} {
		if set {
			f |= 1 << i
		}
	}
	return f
}

func appendExchange(dst []byte, x *Exchange) []byte {
	flags := x.flags()
	dst = enc.String(dst, x.Name)
	dst = binary.AppendUvarint(dst, uint64(x.Type))
	dst = binary.AppendUvarint(dst, flags)
	dst = enc.Bytes(dst, x.Raw)
	if flags&flagAlternate != 0 {
		dst = enc.String(dst, x.Alternate)
	}
	if flags&flagDelayedType != 0 {
		dst = binary.AppendUvarint(dst, uint64(x.DelayedType))
	}
	if flags&flagHashHeader != 0 {
		dst = enc.String(dst, x.HashHeader)
	}
	if flags&flagHashProperty != 0 {
		dst = enc.String(dst, x.HashProperty)
	}
	return dst
}

func readExchange(r *enc.Reader) (Exchange, error) {
	x := Exchange{Name: r.String()}
	typ, flags := r.Uvarint(), r.Uvarint()
	x.Raw = readRaw(r)
	x.Durable = flags&flagDurable != 0
	x.AutoDelete = flags&flagAutoDelete != 0
	x.Internal = flags&flagInternal != 0
	delayedType := uint64(0)
	if flags&flagAlternate != 0 {
		x.HasAlternate, x.Alternate = true, r.String()
	}
	if flags&flagDelayedType != 0 {
		delayedType = r.Uvarint()
	}
	if flags&flagHashHeader != 0 {
		x.HashHeader = r.String()
	}
	if flags&flagHashProperty != 0 {
		x.HashProperty = r.String()
	}
	switch {
	case r.Err() != nil:
		return x, r.Err()
	case typ > uint64(Delayed) || delayedType >= uint64(Delayed) || flags >= flagsEnd:
		return x, ErrNewer
	}
	x.Type, x.DelayedType = Type(typ), Type(delayedType)
	if x.Type == 0 || (x.Type == Delayed) != (x.DelayedType != 0) || flags != x.flags() {
		return x, ErrMalformed
	}
	return x, nil
}

func appendBinding(dst []byte, b *Binding) []byte {
	dst = enc.String(dst, b.Source)
	dst = binary.AppendUvarint(dst, uint64(b.Destination.Kind))
	dst = enc.String(dst, b.Destination.Name)
	dst = enc.String(dst, b.Key)
	return appendArguments(binary.AppendUvarint(dst, uint64(len(b.Arguments))), b.Arguments)
}

func appendArguments(dst []byte, arguments []Argument) []byte {
	for _, a := range arguments {
		dst = enc.String(enc.String(dst, a.Name), string(a.Value))
	}
	return dst
}

func readBinding(r *enc.Reader) (Binding, error) {
	b := Binding{Source: r.String()}
	kind := r.Uvarint()
	b.Destination.Name, b.Key = r.String(), r.String()
	if n := r.Count(2); n > 0 {
		b.Arguments = make([]Argument, n)
	}
	for i := range b.Arguments {
		a := &b.Arguments[i]
		a.Name, a.Value = r.String(), Value(r.String())
		if i > 0 && a.Name <= b.Arguments[i-1].Name {
			return b, ErrMalformed
		}
	}
	switch {
	case r.Err() != nil:
		return b, r.Err()
	case kind > uint64(ToExchange):
		return b, ErrNewer
	}
	b.Destination.Kind = Kind(kind)
	return b, nil
}

// readRaw reads a copy, so that it does not keep the buffer it comes from.
func readRaw(r *enc.Reader) []byte {
	if b := r.Bytes(); len(b) > 0 {
		return append([]byte(nil), b...)
	}
	return nil
}
