package wire_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// pikaLine is a line of testdata/pika; capture.py wrote it.
type pikaLine struct {
	Kind, Name, Bytes string
	Fields            map[string]any
	octets            []byte
}

func pikaLines(t *testing.T, kind string) []pikaLine {
	t.Helper()
	f, err := os.Open("testdata/pika/pika-1.4.4.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []pikaLine
	for s := bufio.NewScanner(f); s.Scan(); {
		var l pikaLine
		d := json.NewDecoder(bytes.NewReader(s.Bytes()))
		d.UseNumber()
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l.octets, err = hex.DecodeString(l.Bytes); err != nil {
			t.Fatal(err)
		}
		if l.Kind == kind {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("no lines of kind %q", kind)
	}
	return lines
}

// frameOf is the one frame that the line holds.
func (l pikaLine) frameOf(t *testing.T) wire.Frame {
	t.Helper()
	f, n, err := wire.ParseFrame(l.octets, wire.FrameMaxMin)
	if err != nil || n != len(l.octets) {
		t.Fatalf("%s: %d of %d bytes (%v)", l.Name, n, len(l.octets), err)
	}
	return f
}

// show writes a value of ours as Python's JSON has it after Unmarshal.
func show(v any) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case wire.ReplyCode:
		return fmt.Sprint(uint16(v))
	case wire.Table:
		m := map[string]any{}
		for key, value := range v.All() {
			m[string(key)], _ = value.Int()
		}
		return fmt.Sprint(m)
	}
	return fmt.Sprint(v)
}

// checkPikaFields compares what went into pika with what came out of us. What
// pika has fields for and the specification reserves is left out.
func checkPikaFields(t *testing.T, l pikaLine, ours reflect.Value) {
	t.Helper()
	for name, want := range l.Fields {
		f := ours.FieldByName(goName(strings.ReplaceAll(strings.TrimSuffix(name, "_qos"), "_", "-")))
		if !f.IsValid() && (name == "ticket" || l.Name == "basic.get-empty") {
			continue
		}
		if !f.IsValid() || show(f.Interface()) != fmt.Sprint(want) {
			t.Errorf("%s: %s is %v, not %v", l.Name, name, f, want)
		}
	}
}

func TestPikaMethods(t *testing.T) {
	seen := map[wire.ID]bool{}
	for _, l := range pikaLines(t, "method") {
		f := l.frameOf(t)
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil || m.ID().String() != l.Name || f.Channel != 513 {
			t.Fatalf("%s: %v on channel %d (%v)", l.Name, m, f.Channel, err)
		}
		seen[m.ID()] = true
		checkPikaFields(t, l, reflect.ValueOf(m).Elem())
		if got := wire.AppendMethod(nil, 513, m); string(got) != string(l.octets) {
			t.Errorf("%s: encoded as\n%x, not\n%x", l.Name, got, l.octets)
		}
	}
	for class := range uint16(256) {
		for method := range uint16(256) {
			if id := wire.MakeID(class, method); wire.NewMethod(id) != nil && !seen[id] {
				t.Errorf("pika has no %v", id)
			}
		}
	}
}

func TestPikaHeaders(t *testing.T) {
	for _, l := range pikaLines(t, "header") {
		h, err := wire.ParseContentHeader(l.frameOf(t).Payload)
		if err != nil {
			t.Fatal(l.Name, err)
		}
		want := uint64(1)
		switch l.Name {
		case "all":
			want = 4711
		case "none":
			want = 0
		}
		if h.BodySize != want {
			t.Errorf("%s: body of %d bytes, not %d", l.Name, h.BodySize, want)
		}
		p := h.Properties.Decode()
		checkPikaFields(t, l, reflect.ValueOf(p))
		for got, again := range [][]byte{
			wire.AppendContentHeader(nil, 513, h),
			wire.AppendContentHeader(nil, 513, wire.ContentHeader{BodySize: h.BodySize, Properties: p.Encode()}),
		} {
			if string(again) != string(l.octets) {
				t.Errorf("%s: encoding %d is\n%x, not\n%x", l.Name, got, again, l.octets)
			}
		}
	}
}

func TestPikaTable(t *testing.T) {
	l := pikaLines(t, "table")[0]
	table, err := wire.ParseTable(l.octets[4:])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for key, v := range table.All() {
		got = append(got, fmt.Sprintf("%s %c %v", key, v.Kind(), v))
	}
	want := []string{
		"text S t\u00e9xt", "bytes x \x00\xff", "true t true", "false t false", "small I -5", "int I 70000",
		"uint l 3000000000", "long l -5000000000", "decimal D 314e-2", "time T 1767323045", "void V void",
		"table F {inner: {deep: 1}}", "array A [a, 1, [true, {k: v}], void]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("decoded as\n%q, not\n%q", got, want)
	}
	if again := wire.AppendTable(nil, table); string(again) != string(l.octets) {
		t.Errorf("encoded as\n%x, not\n%x", again, l.octets)
	}
}

func TestPikaOtherFrames(t *testing.T) {
	body := pikaLines(t, "body")[0]
	if f := body.frameOf(t); f.Type != wire.TypeBody || f.Channel != 513 || string(f.Payload) != "\x00\xce\xff" {
		t.Errorf("body: %+v", f)
	}
	if got := wire.AppendBody(nil, 513, math.MaxUint32, []byte("\x00\xce\xff")); string(got) != string(body.octets) {
		t.Errorf("body: %x", got)
	}
	heartbeat := pikaLines(t, "heartbeat")[0]
	if f := heartbeat.frameOf(t); f.Type != wire.TypeHeartbeat || string(wire.AppendHeartbeat(nil)) != string(heartbeat.octets) {
		t.Errorf("heartbeat: %+v", f)
	}
	protocol := pikaLines(t, "protocol")[0].octets
	if string(protocol) != wire.ProtocolHeader || wire.ParseProtocol([8]byte(protocol)) != wire.ProtocolAMQP091 {
		t.Errorf("protocol header %q", protocol)
	}
}
