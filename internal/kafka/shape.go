package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A decoder that believes an array's length takes memory before it finds that
// the elements are not there: an element of one byte on the wire is 30 to 100
// bytes in memory, and a count of tagged fields is believed up to 2^32. So
// every request is walked first, without allocating, by the shape that its
// version has, and elements are counted.
//
// The notation, fields separated by spaces:
//
//	i8 i16 i32 i64 uuid   fixed size (booleans are i8)
//	s  s?                 string, nullable string
//	b  b?                 bytes, nullable bytes
//	[ … ]                 array of structs
//	(i32) (s)             array of plain values
//	{ … }                 nullable struct
//	#1{ … }               struct in the tagged field 1 of the enclosing struct
//	3+:  -12:  2-4:       before a field: only in these versions
//
// In flexible versions lengths are varints and every struct ends with its
// tagged fields (KIP-482); that follows from the version and is not written.

// elementsMax is how many array elements and tagged fields one request may
// have. 200,000 take about 20 MiB decoded.
const elementsMax = 200_000

var (
	errShape    = errors.New("malformed request")
	errElements = fmt.Errorf("more than %d array elements in a request", elementsMax)
)

type kind uint8

const (
	fixed          kind = iota // size bytes
	textKind                   // string
	bytesKind                  // bytes
	structs                    // array of structs
	plains                     // array of one plain field
	nullableStruct             // a byte, then perhaps the fields
	tagged                     // only inside tagged fields
)

// shapeField is one field, compiled from the notation.
type shapeField struct {
	kind     kind
	nullable bool
	size     int // of a fixed field
	tag      uint32
	min, max int16
	fields   []shapeField
}

func compileShape(notation string) []shapeField {
	fields, rest := compileFields(strings.Fields(notation))
	if len(rest) > 0 {
		panic("unbalanced shape " + notation)
	}
	return fields
}

// compileFields compiles words up to the end or a closing bracket.
func compileFields(words []string) (fields []shapeField, rest []string) {
	for len(words) > 0 && words[0] != "]" && words[0] != "}" {
		f := shapeField{min: 0, max: 1<<15 - 1}
		word := words[0]
		words = words[1:]
		if versions, name, ok := strings.Cut(word, ":"); ok {
			f.min, f.max = compileVersions(versions)
			word = name
		}
		switch {
		case word == "[", word == "{", strings.HasSuffix(word, "{"):
			f.kind = map[byte]kind{'[': structs, '{': nullableStruct}[word[0]]
			if word[0] == '#' {
				f.kind, f.tag = tagged, uint32(atoi(strings.Trim(word, "#{")))
			}
			f.fields, words = compileFields(words)
			words = words[1:] // the closing bracket
		case word[0] == '(':
			f.kind = plains
			f.fields = []shapeField{compilePlain(strings.Trim(word, "()"))}
		default:
			p := compilePlain(word)
			f.kind, f.size, f.nullable = p.kind, p.size, p.nullable
		}
		fields = append(fields, f)
	}
	return fields, words
}

func compilePlain(word string) shapeField {
	f := shapeField{max: 1<<15 - 1, nullable: strings.HasSuffix(word, "?")}
	switch strings.TrimSuffix(word, "?") {
	case "i8":
		f.size = 1
	case "i16":
		f.size = 2
	case "i32":
		f.size = 4
	case "i64":
		f.size = 8
	case "uuid":
		f.size = 16
	case "s":
		f.kind = textKind
	case "b":
		f.kind = bytesKind
	default:
		panic("unknown shape " + word)
	}
	return f
}

func compileVersions(s string) (from, to int16) {
	if low, ok := strings.CutSuffix(s, "+"); ok {
		return atoi(low), 1<<15 - 1
	}
	low, high, _ := strings.Cut(s, "-")
	if low == "" {
		return 0, atoi(high)
	}
	return atoi(low), atoi(high)
}

func atoi(s string) int16 {
	n, err := strconv.ParseInt(s, 10, 16)
	if err != nil {
		panic(err)
	}
	return int16(n)
}

// checkShape walks a request's body. What it lets through decodes without
// error, to as many elements as it returns, elementsMax at most. Bytes after
// the request do not matter.
func checkShape(shape []shapeField, version int16, flexible bool, body []byte) (elements int, err error) {
	w := walker{b: body, version: version, flexible: flexible, left: elementsMax}
	w.walkStruct(shape)
	return elementsMax - w.left, w.err
}

// walker consumes a body from the front. After an error b is empty.
type walker struct {
	b        []byte
	version  int16
	flexible bool
	left     int // elements that may still come
	err      error
}

func (w *walker) fail(err error) {
	if w.err == nil {
		w.err = err
	}
	w.b = nil
}

func (w *walker) skip(n int) {
	if n < 0 || n > len(w.b) {
		w.fail(errShape)
		return
	}
	w.b = w.b[n:]
}

func (w *walker) uvarint() uint32 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		w.fail(errShape)
		return 0
	}
	w.b = w.b[n:]
	return uint32(v)
}

func (w *walker) int32() int32 {
	if len(w.b) < 4 {
		w.fail(errShape)
		return 0
	}
	v := int32(binary.BigEndian.Uint32(w.b))
	w.b = w.b[4:]
	return v
}

func (w *walker) int16() int16 {
	if len(w.b) < 2 {
		w.fail(errShape)
		return 0
	}
	v := int16(binary.BigEndian.Uint16(w.b))
	w.b = w.b[2:]
	return v
}

// compact reads a length of KIP-482: one more than what it says, 0 for null.
func (w *walker) compact() int { return int(w.uvarint()) - 1 }

func (w *walker) walkStruct(fields []shapeField) {
	w.walkFields(fields)
	if w.flexible && w.err == nil {
		w.walkTags(fields)
	}
}

func (w *walker) walkFields(fields []shapeField) {
	for i := range fields {
		f := &fields[i]
		if w.version < f.min || w.version > f.max {
			continue
		}
		if w.walkField(f); w.err != nil {
			return
		}
	}
}

func (w *walker) walkField(f *shapeField) {
	switch f.kind {
	case fixed:
		w.skip(f.size)
	case textKind:
		n := 0
		if w.flexible {
			n = w.compact()
		} else {
			n = int(w.int16())
		}
		w.skipNullable(f, n)
	case bytesKind:
		n := 0
		if w.flexible {
			n = w.compact()
		} else {
			n = int(w.int32())
		}
		w.skipNullable(f, n)
	case structs, plains:
		w.walkArray(f)
	case nullableStruct:
		if len(w.b) == 0 {
			w.fail(errShape)
		} else if present := w.b[0] != 0xff; present {
			w.skip(1)
			w.walkStruct(f.fields)
		} else {
			w.skip(1)
		}
	}
}

func (w *walker) skipNullable(f *shapeField, n int) {
	if n == -1 && f.nullable {
		return
	}
	w.skip(n)
}

// walkArray lets null stand for empty, as the decoder does.
func (w *walker) walkArray(f *shapeField) {
	n := 0
	if w.flexible {
		n = w.compact()
	} else {
		n = int(w.int32())
	}
	if n < -1 || n > len(w.b) {
		w.fail(errShape)
		return
	}
	w.count(n)
	for ; n > 0 && w.err == nil; n-- {
		if f.kind == plains {
			w.walkFields(f.fields)
		} else {
			w.walkStruct(f.fields)
		}
	}
}

func (w *walker) count(n int) {
	if n > w.left {
		w.fail(errElements)
		return
	}
	w.left -= max(n, 0)
}

// walkTags walks the tagged fields that end a struct.
func (w *walker) walkTags(fields []shapeField) {
	n := w.uvarint()
	if int64(n) > int64(len(w.b)/2) {
		w.fail(errShape)
		return
	}
	w.count(int(n))
	for ; n > 0 && w.err == nil; n-- {
		tag, size := w.uvarint(), int(w.uvarint())
		start := w.b
		w.skip(size)
		for i := range fields {
			if fields[i].kind == tagged && fields[i].tag == tag && w.err == nil {
				inner := walker{b: start[:size], version: w.version, flexible: true, left: w.left}
				inner.walkStruct(fields[i].fields)
				if w.left = inner.left; inner.err != nil {
					w.fail(inner.err)
				}
			}
		}
	}
}
