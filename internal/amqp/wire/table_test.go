package wire_test

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// nested is a table with depth tables in each other, arrays in every second
// place.
func nested(depth int) []byte {
	t := wire.MakeTable()
	for i := 1; i < depth; i++ {
		v := wire.TableValue(t)
		if i%2 == 0 && i+1 < depth {
			v = wire.ArrayValue(wire.MakeArray(v))
			i++
		}
		t = wire.MakeTable(wire.Field{Key: "k", Value: v})
	}
	return t.Bytes()
}

func mustTable(t testing.TB, b []byte) wire.Table {
	t.Helper()
	table, err := wire.ParseTable(b)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTableDepthIsLimited(t *testing.T) {
	for depth := 1; depth <= wire.TableDepthMax; depth++ {
		if _, err := wire.ParseTable(nested(depth)); err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
	}
	for _, depth := range []int{wire.TableDepthMax + 1, 1000, 20000} {
		if _, err := wire.ParseTable(nested(depth)); wire.CodeOf(err) != wire.SyntaxError {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func TestTableFieldsAreLimited(t *testing.T) {
	for _, inside := range []int{0, 1000} {
		void := append(bytes.Repeat([]byte{0, 'V'}, wire.TableFieldsMax-inside), 0, 'V')
		if inside > 0 {
			values := bytes.Repeat([]byte{'V'}, inside-1) // and the array is one
			void = append(void[2:], 0, 'A', 0, 0, byte(len(values)>>8), byte(len(values)))
			void = append(append(void, values...), 0, 'V')
		}
		if _, err := wire.ParseTable(void[:len(void)-2]); err != nil {
			t.Errorf("as many fields as allowed, %d in an array: %v", inside, err)
		}
		if _, err := wire.ParseTable(void); wire.CodeOf(err) != wire.SyntaxError {
			t.Errorf("one more, %d in an array: %v", inside, err)
		}
	}
}

func TestTableParsingTakesNoMemory(t *testing.T) {
	b := nested(wire.TableDepthMax)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := wire.ParseTable(b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValuesAreReadAsWhatTheyAre(t *testing.T) {
	when := time.Unix(1_700_000_000, 0).UTC()
	inner := wire.MakeTable(wire.Field{Key: "k", Value: wire.TextValue("v")})
	list := wire.MakeArray(wire.BoolValue(true), wire.VoidValue())
	for _, c := range []struct {
		v    wire.Value
		kind wire.Kind
		want any
	}{
		{wire.BoolValue(true), wire.KindBool, true},
		{wire.BoolValue(false), wire.KindBool, false},
		{wire.IntValue(math.MinInt64), wire.KindInt64, int64(math.MinInt64)},
		{wire.Int32Value(-1), wire.KindInt32, int64(-1)},
		{wire.FloatValue(-1.25), wire.KindFloat64, -1.25},
		{wire.TextValue("text"), wire.KindText, "text"},
		{wire.BytesValue([]byte{0, 0xff}), wire.KindBytes, "\x00\xff"},
		{wire.TimeValue(when), wire.KindTime, when},
		{wire.TableValue(inner), wire.KindTable, inner},
		{wire.ArrayValue(list), wire.KindArray, list},
		{wire.VoidValue(), wire.KindVoid, nil},
	} {
		table := mustTable(t, wire.MakeTable(wire.Field{Key: "x", Value: c.v}).Bytes())
		v, ok := table.Get("x")
		if !ok || v.Kind() != c.kind {
			t.Errorf("%v came back as %v", c.kind, v.Kind())
		}
		if got := readings(v); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v reads as %v, not %v", c.kind, got, c.want)
		}
	}
}

// readings is the one thing that a value can be read as, nil if it is none.
// Text counts once though it can also be read as bytes.
func readings(v wire.Value) any {
	var all []any
	add := func(x any, ok bool) {
		if ok {
			all = append(all, x)
		}
	}
	b, ok := v.Bool()
	add(b, ok)
	n, ok := v.Int()
	add(n, ok)
	f, ok := v.Float()
	add(f, ok)
	scale, u, ok := v.Decimal()
	add([2]any{scale, u}, ok)
	text, isText := v.Text()
	data, ok := v.Bytes()
	if isText && text != string(data) {
		return "text and bytes differ"
	}
	add(string(data), ok)
	when, ok := v.Time()
	add(when, ok)
	table, ok := v.Table()
	add(table, ok)
	array, ok := v.Array()
	add(array, ok)
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

func TestEveryKindOfInteger(t *testing.T) {
	b := []byte{
		1, 'a', 'b', 0x80, 1, 'b', 'B', 0x80, 1, 'c', 's', 0x80, 0, 1, 'd', 'u', 0x80, 0,
		1, 'e', 'I', 0x80, 0, 0, 0, 1, 'f', 'i', 0x80, 0, 0, 0,
		1, 'g', 'l', 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 'h', 'L', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	}
	want := []int64{-128, 128, -32768, 32768, math.MinInt32, 1 << 31, math.MinInt64, -1}
	var got []int64
	for _, v := range mustTable(t, b).All() {
		n, ok := v.Int()
		if _, isFloat := v.Float(); !ok || isFloat {
			t.Errorf("%v is no integer", v.Kind())
		}
		got = append(got, n)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

func TestTheFirstOfRepeatedKeysCounts(t *testing.T) {
	field := func(key string, n int32) wire.Field { return wire.Field{Key: key, Value: wire.Int32Value(n)} }
	table := wire.MakeTable(field("a", 1), field("b", 2), field("a", 3))
	before := bytes.Clone(table.Bytes())
	for _, c := range []struct {
		got  wire.Table
		want string
	}{
		{table, "{a: 1, b: 2, a: 3}"},
		{table.With("a", wire.TextValue("x")), "{a: x, b: 2, a: 3}"},
		{table.With("b", wire.VoidValue()), "{a: 1, b: void, a: 3}"},
		{table.With("c", wire.BoolValue(true)), "{a: 1, b: 2, a: 3, c: true}"},
		{table.Without("a"), "{b: 2}"},
		{table.Without("b"), "{a: 1, a: 3}"},
		{table.Without("c"), "{a: 1, b: 2, a: 3}"},
		{wire.Table{}.With("a", wire.FloatValue(0.5)), "{a: 0.5}"},
		{wire.Table{}.Without("a"), "{}"},
		{table.Clone(), "{a: 1, b: 2, a: 3}"},
		// No value is no field.
		{wire.MakeTable(wire.Field{Key: "a"}), "{}"},
	} {
		if c.got.String() != c.want {
			t.Errorf("%v, not %s", c.got, c.want)
		}
		if again := mustTable(t, c.got.Bytes()); again.Len() != c.got.Len() {
			t.Errorf("%v has %d fields, then %d", c.got, c.got.Len(), again.Len())
		}
	}
	if v, ok := table.Get("a"); !ok || v.String() != "1" {
		t.Errorf("a is %v", v)
	}
	if v, ok := table.Get("c"); ok || v.Kind() != 0 {
		t.Errorf("c is %v", v)
	}
	if !bytes.Equal(before, table.Bytes()) {
		t.Error("the table was changed")
	}
}

func TestIterationStops(t *testing.T) {
	table := wire.MakeTable(wire.Field{Key: "a", Value: wire.VoidValue()}, wire.Field{Key: "b", Value: wire.VoidValue()})
	array := wire.MakeArray(wire.Int32Value(1), wire.Int32Value(2))
	n := 0
	for range table.All() {
		n++
		break
	}
	for range array.All() {
		n++
		break
	}
	if n != 2 || table.Len() != 2 || array.Len() != 2 {
		t.Errorf("%d steps, lengths %d and %d", n, table.Len(), array.Len())
	}
}

// A short string that is too long is cut, so that what is written is still a
// frame; a reply text says that it was.
func TestLongNamesAreCut(t *testing.T) {
	long := strings.Repeat("x", 300)
	m, err := wire.DecodeMethod(payloadOf(t, wire.AppendMethod(nil, 1, &wire.QueuePurge{Queue: long})))
	if err != nil || m.(*wire.QueuePurge).Queue != long[:255] {
		t.Errorf("%v (%v)", m, err)
	}
	table := mustTable(t, wire.MakeTable(wire.Field{Key: long, Value: wire.VoidValue()}).Bytes())
	if _, ok := table.Get(long[:255]); !ok {
		t.Errorf("%v", table)
	}

	for _, c := range []struct{ reason, want string }{
		{"no queue", "NOT_FOUND - no queue"},
		{long[:243], "NOT_FOUND - " + long[:243]},
		{long[:244], "NOT_FOUND - " + long[:240] + "..."},
		{long[:239] + "é" + long, "NOT_FOUND - " + long[:239] + "..."},
		{long[:238] + "é" + long, "NOT_FOUND - " + long[:238] + "é..."},
	} {
		if got := wire.ReplyText(wire.NotFound, c.reason); got != c.want || len(got) > wire.ShortStrMax {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}

func TestKindsAndPropertiesHaveNames(t *testing.T) {
	if got := fmt.Sprint(wire.KindInt32, wire.Kind('?'), wire.PropUserID, wire.Property(14), wire.ID(0), wire.ReplyCode(0), wire.Value{}); got != "signedint unknown user-id unknown method 0.0 UNKNOWN 0" {
		t.Error(got)
	}
}
