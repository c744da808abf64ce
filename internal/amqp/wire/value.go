package wire

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// Kind is the octet that stands before a value in a table or an array.
type Kind byte

// The kinds, as RabbitMQ reads them: it departs from the specification in
// 's', 'l' and others, and all clients follow it.
const (
	KindBool    Kind = 't' // an octet, 0 is false
	KindInt8    Kind = 'b'
	KindUint8   Kind = 'B'
	KindInt16   Kind = 's'
	KindUint16  Kind = 'u'
	KindInt32   Kind = 'I'
	KindUint32  Kind = 'i'
	KindInt64   Kind = 'l'
	KindInt64L  Kind = 'L' // the same under another letter
	KindFloat32 Kind = 'f'
	KindFloat64 Kind = 'd'
	KindDecimal Kind = 'D' // scale u8, value u32
	KindText    Kind = 'S' // length u32, bytes
	KindBytes   Kind = 'x' // length u32, bytes
	KindArray   Kind = 'A' // length u32, values
	KindTable   Kind = 'F' // length u32, keys and values
	KindTime    Kind = 'T' // u64, seconds since 1970
	KindVoid    Kind = 'V' // no value
)

// String is RabbitMQ's name of the kind, which its error texts use.
func (k Kind) String() string {
	switch k {
	case KindBool:
		return "bool"
	case KindInt8:
		return "byte"
	case KindUint8:
		return "unsignedbyte"
	case KindInt16:
		return "short"
	case KindUint16:
		return "unsignedshort"
	case KindInt32:
		return "signedint"
	case KindUint32:
		return "unsignedint"
	case KindInt64, KindInt64L:
		return "long"
	case KindFloat32:
		return "float"
	case KindFloat64:
		return "double"
	case KindDecimal:
		return "decimal"
	case KindText:
		return "longstr"
	case KindBytes:
		return "binary"
	case KindArray:
		return "array"
	case KindTable:
		return "table"
	case KindTime:
		return "timestamp"
	case KindVoid:
		return "void"
	}
	return "unknown"
}

// layout says how a kind's value lies: size bytes, or, if long, a length of
// four bytes and as many as it says. ok is false for an unknown kind.
func (k Kind) layout() (size int, long, ok bool) {
	switch k {
	case KindVoid:
		return 0, false, true
	case KindBool, KindInt8, KindUint8:
		return 1, false, true
	case KindInt16, KindUint16:
		return 2, false, true
	case KindInt32, KindUint32, KindFloat32:
		return 4, false, true
	case KindDecimal:
		return 5, false, true
	case KindInt64, KindInt64L, KindFloat64, KindTime:
		return 8, false, true
	case KindText, KindBytes, KindArray, KindTable:
		return 0, true, true
	}
	return 0, false, false
}

// Value is a value of a table or an array. It keeps its kind and its exact
// bytes, so that appending it gives what was parsed. The zero Value is no
// value at all; its kind is 0.
type Value struct {
	kind Kind
	num  uint64 // the bytes of a kind of fixed size
	data []byte // those of the others, without the length
}

// Kind is the value's kind.
func (v Value) Kind() Kind { return v.kind }

// Int is the value as a signed integer, and whether it is one of the eight
// kinds of integer.
func (v Value) Int() (int64, bool) {
	switch v.kind {
	case KindInt8:
		return int64(int8(v.num)), true
	case KindInt16:
		return int64(int16(v.num)), true
	case KindInt32:
		return int64(int32(v.num)), true
	case KindUint8, KindUint16, KindUint32, KindInt64, KindInt64L:
		return int64(v.num), true
	}
	return 0, false
}

// Float is the value as a floating-point number, and whether it is one.
func (v Value) Float() (float64, bool) {
	switch v.kind {
	case KindFloat32:
		return float64(math.Float32frombits(uint32(v.num))), true
	case KindFloat64:
		return math.Float64frombits(v.num), true
	}
	return 0, false
}

// Decimal is unscaled / 10^scale, and whether the value is a decimal.
func (v Value) Decimal() (scale uint8, unscaled uint32, ok bool) {
	if v.kind != KindDecimal {
		return 0, 0, false
	}
	return uint8(v.num >> 32), uint32(v.num), true
}

// Bool is the value as a boolean, and whether it is one.
func (v Value) Bool() (value, ok bool) { return v.num != 0 && v.kind == KindBool, v.kind == KindBool }

// Text is a copy of the text, and whether the value is one.
func (v Value) Text() (string, bool) {
	if v.kind != KindText {
		return "", false
	}
	return string(v.data), true
}

// Bytes are the bytes of a text or of a binary value, not copied, and whether
// the value is one of them.
func (v Value) Bytes() ([]byte, bool) {
	if v.kind != KindText && v.kind != KindBytes {
		return nil, false
	}
	return v.data, true
}

// Time is the value as a time in UTC, to the second, and whether it is one.
func (v Value) Time() (time.Time, bool) {
	if v.kind != KindTime {
		return time.Time{}, false
	}
	return time.Unix(int64(v.num), 0).UTC(), true
}

// Table is the table, and whether the value is one.
func (v Value) Table() (Table, bool) {
	if v.kind != KindTable {
		return Table{}, false
	}
	return Table{v.data}, true
}

// Array is the array, and whether the value is one.
func (v Value) Array() (Array, bool) {
	if v.kind != KindArray {
		return Array{}, false
	}
	return Array{v.data}, true
}

// Constructors, for the tables that a broker makes.

// BoolValue is a boolean.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// IntValue is a signed integer of 64 bits ('l').
func IntValue(n int64) Value { return Value{kind: KindInt64, num: uint64(n)} }

// Int32Value is a signed integer of 32 bits ('I').
func Int32Value(n int32) Value { return Value{kind: KindInt32, num: uint64(uint32(n))} }

// FloatValue is a floating-point number of 64 bits ('d').
func FloatValue(f float64) Value { return Value{kind: KindFloat64, num: math.Float64bits(f)} }

// TextValue is a text.
func TextValue(s string) Value { return Value{kind: KindText, data: []byte(s)} }

// BytesValue is a binary value. It keeps b.
func BytesValue(b []byte) Value { return Value{kind: KindBytes, data: b} }

// TimeValue is a time, cut to the second.
func TimeValue(t time.Time) Value { return Value{kind: KindTime, num: uint64(t.Unix())} }

// TableValue is a table inside another or in an array.
func TableValue(t Table) Value { return Value{kind: KindTable, data: t.fields} }

// ArrayValue is an array.
func ArrayValue(a Array) Value { return Value{kind: KindArray, data: a.values} }

// VoidValue is the value that is none.
func VoidValue() Value { return Value{kind: KindVoid} }

// String is the value for people.
func (v Value) String() string {
	switch v.kind {
	case KindBool:
		return strconv.FormatBool(v.num != 0)
	case KindFloat32, KindFloat64:
		f, _ := v.Float()
		return strconv.FormatFloat(f, 'g', -1, 64)
	case KindDecimal:
		scale, n, _ := v.Decimal()
		return strconv.FormatUint(uint64(n), 10) + "e-" + strconv.Itoa(int(scale))
	case KindTime:
		return strconv.FormatUint(v.num, 10)
	case KindText, KindBytes:
		return string(v.data)
	case KindArray:
		return Array{v.data}.String()
	case KindTable:
		return Table{v.data}.String()
	case KindVoid:
		return "void"
	}
	n, _ := v.Int()
	return strconv.FormatInt(n, 10)
}

// cutValue reads the value that b begins with and returns what follows it. b
// has been walked.
func cutValue(b []byte) (Value, []byte) {
	v := Value{kind: Kind(b[0])}
	b = b[1:]
	size, long, _ := v.kind.layout()
	if long {
		end := 4 + int(binary.BigEndian.Uint32(b))
		v.data = b[4:end:end]
		return v, b[end:]
	}
	for _, octet := range b[:size] {
		v.num = v.num<<8 | uint64(octet)
	}
	return v, b[size:]
}

// appendValue appends kind and value; of the zero Value nothing.
func appendValue(dst []byte, v Value) []byte {
	size, long, ok := v.kind.layout()
	if !ok {
		return dst
	}
	dst = append(dst, byte(v.kind))
	if long {
		return appendLongStr(dst, v.data)
	}
	for shift := 8 * (size - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(v.num>>shift))
	}
	return dst
}
