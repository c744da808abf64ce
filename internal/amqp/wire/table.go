package wire

import (
	"bytes"
	"encoding/binary"
	"iter"
	"strings"
)

// Table is a field table: keys and values in the order in which their sender
// wrote them, kept as the bytes that came, which were walked once and are well
// formed. It is immutable; copying it copies a slice header. The zero Table is
// empty.
//
//	table:  length u32, then that many bytes of fields
//	field:  key length u8, key, kind u8, value (see Kind)
//	array:  length u32, then that many bytes of kinds and values
//
// A key may be there more than once. All of them are kept; Get finds the
// first, as RabbitMQ does.
type Table struct {
	fields []byte // without the length
}

// Field is one key with its value.
type Field struct {
	Key   string
	Value Value
}

// ParseTable checks that b, a table without its length, is well formed and
// within TableDepthMax and TableFieldsMax, and returns it as a table, which
// aliases b. It takes no memory. What is not well formed is a SyntaxError.
func ParseTable(b []byte) (Table, error) {
	w := walker{fieldsLeft: TableFieldsMax}
	if err := w.walk(b, true, 1); err != nil {
		return Table{}, err
	}
	if len(b) == 0 {
		return Table{}, nil
	}
	return Table{b[:len(b):len(b)]}, nil
}

// MakeTable is a table of the fields, in their order.
func MakeTable(fields ...Field) Table {
	var b []byte
	for _, f := range fields {
		b = appendField(b, f.Key, f.Value)
	}
	return Table{b}
}

// Bytes are the fields as they are on the wire, without the length; not
// copied.
func (t Table) Bytes() []byte { return t.fields }

// Clone is a copy that shares no memory with t.
func (t Table) Clone() Table { return Table{bytes.Clone(t.fields)} }

// All yields the fields in order. Keys are not copied.
func (t Table) All() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		for b := t.fields; len(b) > 0; {
			var key []byte
			var v Value
			key, v, b = cutField(b)
			if !yield(key, v) {
				return
			}
		}
	}
}

// Len is the number of fields; it counts them.
func (t Table) Len() int {
	n := 0
	for range t.All() {
		n++
	}
	return n
}

// Get is the value of the first field with the key, and whether there is one.
func (t Table) Get(key string) (Value, bool) {
	for b := t.fields; len(b) > 0; {
		var k []byte
		var v Value
		if k, v, b = cutField(b); string(k) == key {
			return v, true
		}
	}
	return Value{}, false
}

// With is a table in which the first field with the key has the value v, or to
// which the field is added at the end. t stays as it is.
func (t Table) With(key string, v Value) Table {
	out := make([]byte, 0, len(t.fields)+len(key)+len(v.data)+14)
	found := false
	for b := t.fields; len(b) > 0; {
		k, _, rest := cutField(b)
		if !found && string(k) == key {
			found = true
			out = appendField(out, key, v)
		} else {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	if !found {
		out = appendField(out, key, v)
	}
	return Table{out}
}

// Without is a table from which every field with the key is gone. t stays as
// it is.
func (t Table) Without(key string) Table {
	if _, found := t.Get(key); !found {
		return t
	}
	out := make([]byte, 0, len(t.fields))
	for b := t.fields; len(b) > 0; {
		k, _, rest := cutField(b)
		if string(k) != key {
			out = append(out, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return Table{out}
}

// String is the table for people.
func (t Table) String() string {
	var s strings.Builder
	s.WriteByte('{')
	for key, v := range t.All() {
		if s.Len() > 1 {
			s.WriteString(", ")
		}
		s.Write(key)
		s.WriteString(": ")
		s.WriteString(v.String())
	}
	s.WriteByte('}')
	return s.String()
}

// Array is a sequence of values, kept as Table keeps its fields.
type Array struct {
	values []byte
}

// MakeArray is an array of the values.
func MakeArray(values ...Value) Array {
	var b []byte
	for _, v := range values {
		b = appendValue(b, v)
	}
	return Array{b}
}

// All yields the values in order.
func (a Array) All() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for b := a.values; len(b) > 0; {
			var v Value
			if v, b = cutValue(b); !yield(v) {
				return
			}
		}
	}
}

// Len is the number of values; it counts them.
func (a Array) Len() int {
	n := 0
	for range a.All() {
		n++
	}
	return n
}

// String is the array for people.
func (a Array) String() string {
	var s strings.Builder
	s.WriteByte('[')
	for v := range a.All() {
		if s.Len() > 1 {
			s.WriteString(", ")
		}
		s.WriteString(v.String())
	}
	s.WriteByte(']')
	return s.String()
}

// cutField reads the field that b begins with and returns what follows it. b
// has been walked.
func cutField(b []byte) (key []byte, v Value, rest []byte) {
	end := 1 + int(b[0])
	v, rest = cutValue(b[end:])
	return b[1:end:end], v, rest
}

// appendField appends key, kind and value; if there is no value, nothing.
func appendField(dst []byte, key string, v Value) []byte {
	if v.kind == 0 {
		return dst
	}
	return appendValue(appendShortStr(dst, key), v)
}

// AppendTable appends the length and the fields of t to dst.
func AppendTable(dst []byte, t Table) []byte { return appendLongStr(dst, t.fields) }

// walker checks a table before anyone reads it.
type walker struct {
	fieldsLeft int
}

// walk checks fields, or values if they have no keys, and what lies in them.
func (w *walker) walk(b []byte, keys bool, depth int) error {
	if depth > TableDepthMax {
		return newError(SyntaxError, "table is more than %d deep", TableDepthMax)
	}
	for len(b) > 0 {
		if w.fieldsLeft--; w.fieldsLeft < 0 {
			return newError(SyntaxError, "table has more than %d fields", TableFieldsMax)
		}
		if keys {
			n := 1 + int(b[0])
			if n > len(b) {
				return newError(SyntaxError, "table key of %d bytes where %d are left", n-1, len(b)-1)
			}
			b = b[n:]
		}
		n, err := w.value(b, depth)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// value checks the value that b begins with and returns its size.
func (w *walker) value(b []byte, depth int) (int, error) {
	if len(b) == 0 {
		return 0, newError(SyntaxError, "table key without a value")
	}
	kind := Kind(b[0])
	size, long, ok := kind.layout()
	if !ok {
		return 0, newError(SyntaxError, "unknown table value type 0x%02x", b[0])
	}
	if !long {
		if len(b)-1 < size {
			return 0, newError(SyntaxError, "table value of type '%c' is cut off", kind)
		}
		return 1 + size, nil
	}
	if len(b) < 5 {
		return 0, newError(SyntaxError, "table value of type '%c' is cut off", kind)
	}
	n := uint64(binary.BigEndian.Uint32(b[1:]))
	if n > uint64(len(b)-5) {
		return 0, newError(SyntaxError, "table value of type '%c' has %d bytes where %d are left", kind, n, len(b)-5)
	}
	end := 5 + int(n)
	if kind == KindTable || kind == KindArray {
		if err := w.walk(b[5:end], kind == KindTable, depth+1); err != nil {
			return 0, err
		}
	}
	return end, nil
}
