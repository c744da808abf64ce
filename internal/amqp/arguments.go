package amqp

import (
	"fmt"
	"iter"
	"math"
	"strconv"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
	"github.com/waxwing-mq/waxwing/internal/broker/route"
)

// canonical is a table's value as declarations are compared by it.
func canonical(v wire.Value) route.Value {
	switch v.Kind() {
	case wire.KindVoid, 0:
		return route.Void
	case wire.KindBool:
		b, _ := v.Bool()
		return route.Bool(b)
	case wire.KindTime:
		return route.Other("T" + v.String()) // equal to no number
	}
	if b, ok := v.Bytes(); ok {
		return route.String(string(b))
	}
	if n, ok := v.Int(); ok {
		return route.Int(n)
	}
	if f, ok := v.Float(); ok {
		return route.Other("F" + strconv.FormatFloat(f, 'g', -1, 64)) // equal to no whole number
	}
	return route.Other(v.String())
}

// arguments is a table as routing keeps it. A time in it is its number of
// seconds.
func arguments(t wire.Table) []route.Argument {
	var out []route.Argument
	for key, v := range t.All() {
		a := route.Argument{Name: string(key), Value: canonical(v)}
		if seconds, ok := v.Time(); ok {
			a.Value = route.Int(seconds.Unix())
		}
		out = append(out, a)
	}
	return out
}

// distinct are the fields of a table; of those with the same key the first
// counts, as in RabbitMQ.
func distinct(t wire.Table) iter.Seq2[string, wire.Value] {
	return func(yield func(string, wire.Value) bool) {
		seen := map[string]bool{}
		for key, v := range t.All() {
			if name := string(key); !seen[name] {
				seen[name] = true
				if !yield(name, v) {
					return
				}
			}
		}
	}
}

// fields are what routing may ask of a message.
type fields struct {
	properties wire.RawProperties
	headers    wire.Table
}

// Header implements route.Fields. A time is its number of milliseconds: RabbitMQ
// 4 compares that with an argument's seconds.
func (f *fields) Header(name string) (route.Value, bool) {
	v, ok := f.headers.Get(name)
	if !ok {
		return "", false
	}
	if at, ok := v.Time(); ok {
		return route.Int(at.UnixMilli()), true
	}
	return canonical(v), true
}

// hashable are the properties that an x-consistent-hash exchange can hash.
var hashable = map[string]wire.Property{
	"message_id": wire.PropMessageID, "correlation_id": wire.PropCorrelationID,
	"content_type": wire.PropContentType, "content_encoding": wire.PropContentEncoding,
	"reply_to": wire.PropReplyTo, "type": wire.PropType, "user_id": wire.PropUserID,
	"app_id": wire.PropAppID, "cluster_id": wire.PropClusterID, "expiration": wire.PropExpiration,
}

// Property implements route.Fields.
func (f *fields) Property(name string) (route.Value, bool) {
	if name == "timestamp" {
		if seconds, ok := f.properties.Timestamp(); ok {
			return route.Uint(seconds), true
		}
		return "", false
	}
	p, ok := hashable[name]
	if !ok {
		return "", false
	}
	text, ok := f.properties.Text(p)
	return route.String(string(text)), ok
}

// wholeNumber reads an argument that must be a whole number from low up. The
// error is the text that RabbitMQ ends its refusal with.
func wholeNumber(v wire.Value, low, high int64) (int64, error) {
	n, ok := v.Int()
	switch {
	case !ok:
		return 0, fmt.Errorf("unacceptable_type %s", v.Kind())
	case n < low || n > high:
		return 0, fmt.Errorf("value %d is not between %d and %d", n, low, high)
	}
	return n, nil
}

const anyNumber = math.MaxInt64
