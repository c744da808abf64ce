package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// TestRecordJSONRoundTrip: what consume --json prints, produce --json reads,
// byte for byte.
func TestRecordJSONRoundTrip(t *testing.T) {
	data := rapid.OneOf(
		rapid.Just([]byte(nil)),
		rapid.SliceOfN(rapid.Byte(), 0, 20),
		rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
	)
	header := rapid.Custom(func(t *rapid.T) kgo.RecordHeader {
		return kgo.RecordHeader{Key: rapid.String().Draw(t, "name"), Value: data.Draw(t, "value")}
	})
	printer := newRecordPrinter()
	rapid.Check(t, func(t *rapid.T) {
		in := &kgo.Record{
			Topic: "t", Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "ms")),
			Key:       data.Draw(t, "key"), Value: data.Draw(t, "value"),
			Headers: rapid.SliceOfN(header, 0, 3).Draw(t, "headers"),
		}
		line := printer.line(in)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line: %q", line)
		}
		out, err := parseJSONRecord(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if out.Partition != in.Partition || !out.Timestamp.Equal(in.Timestamp) ||
			!same(out.Key, in.Key) || !same(out.Value, in.Value) || len(out.Headers) != len(in.Headers) {
			t.Fatalf("wrote %+v, read %+v from %s", in, out, line)
		}
		for i, h := range in.Headers {
			if out.Headers[i].Key != h.Key || !same(out.Headers[i].Value, h.Value) {
				t.Fatalf("header %d: wrote %+v, read %+v", i, h, out.Headers[i])
			}
		}
	})
}

// same compares bytes, and null only with null.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func TestParseJSONRecordErrors(t *testing.T) {
	tests := []struct{ in, want string }{
		{`{"value":"a"} {"value":"b"}`, "more than one JSON value"},
		{`{"value":"a"`, "cut off"},
		{`{"vallue":"a"}`, `unknown field "vallue"`},
		{`["a"]`, "cannot unmarshal array"},
		{`{"partition":-1}`, "partition must be 0 or more"},
		{`{"partition":99999999999}`, "cannot unmarshal number"},
		{`{"value":"a","value_base64":"YQ=="}`, "both value and value_base64"},
		{`{"key_base64":"*"}`, "illegal base64"},
		{`{"timestamp":"yesterday"}`, "timestamp must be like"},
		{`{"headers":"a=b"}`, "headers must be"},
		{`{"headers":[{"key":"a","val":"b"}]}`, "headers must be"},
		{`{"headers":{"a":"1"`, "cut off"},
	}
	for _, tt := range tests {
		if _, err := parseJSONRecord([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.in, err, tt.want)
		}
	}
}

// FuzzJSONRecord: no line makes the reader fail in any other way than with an
// error, and what it accepts, it accepts again when printed.
func FuzzJSONRecord(f *testing.F) {
	f.Add([]byte(`{"key":"k","value":"v","headers":[{"key":"h","value":"x"}],"timestamp":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"key_base64":"/w==","value":{"a":[1]},"headers":{"a":"1"},"partition":2,"timestamp":5}`))
	f.Add([]byte(`{"headers":{"a":`))
	printer := newRecordPrinter()
	f.Fuzz(func(t *testing.T, line []byte) {
		first, err := parseJSONRecord(line)
		if err != nil {
			return
		}
		year := first.Timestamp.UTC().Year()
		if first.Partition == noPartition || year < 1 || year > 9999 {
			return // nothing that the printer is given
		}
		again, err := parseJSONRecord(bytes.Clone(printer.line(first)))
		if err != nil {
			t.Fatalf("%q was accepted, and then not: %v", line, err)
		}
		if !same(first.Key, again.Key) || !same(first.Value, again.Value) || len(first.Headers) != len(again.Headers) {
			t.Fatalf("%q: %+v became %+v", line, first, again)
		}
	})
}

func TestLineFormat(t *testing.T) {
	tests := []struct {
		name   string
		format lineFormat
		in     string
		want   [][2]any // key and value; nil for null
	}{
		{"values", lineFormat{}, "a\n\nb", [][2]any{{nil, "a"}, {nil, ""}, {nil, "b"}}},
		{"nothing", lineFormat{}, "", nil},
		{"carriage returns stay", lineFormat{}, "a\r\n", [][2]any{{nil, "a\r"}}},
		{"keys", lineFormat{separator: "::"}, "k::v::w\n::v\nv\n", [][2]any{{"k", "v::w"}, {"", "v"}, {nil, "v"}}},
		{"one key", lineFormat{key: []byte("k")}, "a\n", [][2]any{{"k", "a"}}},
		{"tombstones", lineFormat{separator: ":", emptyIsNull: true}, "k:\nk:v\n", [][2]any{{"k", nil}, {"k", "v"}}},
		{"longer than the buffer", lineFormat{}, strings.Repeat("x", 200000) + "\nb\n", [][2]any{{nil, strings.Repeat("x", 200000)}, {nil, "b"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got [][2]any
			err := tt.format.each(strings.NewReader(tt.in), func(r *kgo.Record) bool {
				got = append(got, [2]any{nullable(r.Key), nullable(r.Value)})
				return true
			})
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// TestLineLimit: a line without end is refused, not collected.
func TestLineLimit(t *testing.T) {
	format := lineFormat{}
	err := format.each(endless{}, func(*kgo.Record) bool { return true })
	if err == nil || !strings.HasPrefix(err.Error(), "line 1: longer than") {
		t.Fatalf("got %v", err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestUnescape(t *testing.T) {
	tests := []struct{ in, want string }{{`\t`, "\t"}, {`:`, ":"}, {`"`, `"`}, {`\x00|`, "\x00|"}, {`"\n"`, "\"\n\""}, {``, ""}}
	for _, tt := range tests {
		if got, err := unescape(tt.in); err != nil || got != tt.want {
			t.Errorf("%q: got %q, %v", tt.in, got, err)
		}
	}
	if _, err := unescape(`\`); err == nil {
		t.Error("a lone backslash was accepted")
	}
}
