package route

import (
	"math"
	"strconv"
)

// Value is a header's or argument's value in canonical form: equal strings
// are equal values. A tag byte comes first. As in RabbitMQ the value counts
// and not its type on the wire: integers of every width, timestamps, and
// floats without a fraction are numbers; strings and byte arrays are strings.
type Value string

// Void is the value of a field that has none. As a binding's argument it
// asks only that the header is there.
const Void Value = "v"

const tagString = 's'

// String is the value of a string or byte array.
func String(s string) Value { return Value(string(tagString) + s) }

// Int is the value of a signed integer or a timestamp.
func Int(i int64) Value { return Value(strconv.AppendInt([]byte{'i'}, i, 10)) }

// Uint is the value of an unsigned integer.
func Uint(u uint64) Value { return Value(strconv.AppendUint([]byte{'i'}, u, 10)) }

// Float is the value of a float.
func Float(f float64) Value {
	if f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64 {
		return Int(int64(f))
	}
	return Value(strconv.AppendFloat([]byte{'f'}, f, 'g', -1, 64))
}

// Bool is the value of a boolean.
func Bool(b bool) Value { return Value(strconv.AppendBool([]byte{'b'}, b)) }

// Other is any other value: a table, an array, a decimal. encoding must be
// the same for equal values.
func Other(encoding string) Value { return Value("o" + encoding) }

// Text returns the string of which v was made by String.
func (v Value) Text() (string, bool) {
	if len(v) == 0 || v[0] != tagString {
		return "", false
	}
	return string(v[1:]), true
}

// describe is v for people.
func (v Value) describe() string {
	if s, ok := v.Text(); ok {
		return quote(s)
	}
	if v == Void {
		return "void"
	}
	return string(v[min(1, len(v)):])
}

func quote(s string) string { return "'" + s + "'" }
