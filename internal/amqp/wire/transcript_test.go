package wire_test

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// TestTranscripts plays testdata/transcripts: bytes that are drawn, and what
// they mean. Rewrite the answers with: go test -run TestTranscripts -rewrite
//
//	protocol          the first eight bytes of a connection
//	frames [max=N]    frames one after another; each that can be decoded is
//	                  encoded again, and its bytes are shown if they differ
//	table             a table without its length
//	properties        flags and properties
//
// Bytes are hexadecimal or 'quoted' (~ is a space), * repeats the bytes after it as often as
// it says, # begins a comment.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata/transcripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b := drawn(t, d)
			switch d.Cmd {
			case "protocol":
				return fmt.Sprintln(wire.ParseProtocol([8]byte(b)))
			case "frames":
				frameMax := uint32(wire.FrameMaxMin)
				d.MaybeScanArgs(t, "max", &frameMax)
				return tellFrames(b, frameMax)
			case "table":
				table, err := wire.ParseTable(b)
				if err != nil {
					return fmt.Sprintln(err)
				}
				return tellTable("", table) + differs(b, rebuilt(table).Bytes())
			case "properties":
				return tellProperties(wire.ParseProperties(b))
			}
			d.Fatalf(t, "unknown command %q", d.Cmd)
			return ""
		})
	})
}

// drawn is the bytes that the input draws.
func drawn(t *testing.T, d *datadriven.TestData) []byte {
	var out []byte
	for line := range strings.Lines(d.Input) {
		line, _, _ = strings.Cut(line, "#")
		times := 1
		for _, word := range strings.Fields(line) {
			if n, ok := strings.CutPrefix(word, "*"); ok {
				if _, err := fmt.Sscan(n, &times); err != nil {
					d.Fatalf(t, "%q: %v", word, err)
				}
				continue
			}
			b, err := hex.DecodeString(word)
			if text, ok := strings.CutPrefix(word, "'"); ok {
				b, err = []byte(strings.ReplaceAll(strings.TrimSuffix(text, "'"), "~", " ")), nil
			}
			if err != nil {
				d.Fatalf(t, "%q: %v", word, err)
			}
			out = append(out, strings.Repeat(string(b), times)...)
			times = 1
		}
	}
	return out
}

func tellFrames(b []byte, frameMax uint32) string {
	var s strings.Builder
	for len(b) > 0 {
		f, n, err := wire.ParseFrame(b, frameMax)
		if err != nil {
			fmt.Fprintln(&s, err)
			break
		}
		if n == 0 {
			fmt.Fprintf(&s, "incomplete: %d bytes\n", len(b))
			break
		}
		text, again, err := tellFrame(f)
		if err != nil {
			fmt.Fprintf(&s, "channel %d: %v\n", f.Channel, err)
		} else {
			fmt.Fprintf(&s, "channel %d: %s\n%s", f.Channel, text, differs(b[:n], again))
		}
		b = b[n:]
	}
	return s.String()
}

// tellFrame says what a frame means, and encodes that again.
func tellFrame(f wire.Frame) (text string, again []byte, err error) {
	switch f.Type {
	case wire.TypeMethod:
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return "", nil, err
		}
		return tellMethod(m), wire.AppendMethod(nil, f.Channel, m), nil
	case wire.TypeHeader:
		h, err := wire.ParseContentHeader(f.Payload)
		if err != nil {
			return "", nil, err
		}
		text := fmt.Sprintf("content of %d bytes\n", h.BodySize) + tellProperties(h.Properties, nil)
		return strings.TrimSuffix(text, "\n"), wire.AppendContentHeader(nil, f.Channel, h), nil
	case wire.TypeBody:
		return fmt.Sprintf("body %q", f.Payload), wire.AppendBody(nil, f.Channel, 0, f.Payload), nil
	}
	return "heartbeat", wire.AppendHeartbeat(nil), nil
}

func tellMethod(m wire.Method) string {
	text := m.ID().String()
	v := reflect.ValueOf(m).Elem()
	for i := range v.NumField() {
		text += " " + v.Type().Field(i).Name + "="
		switch f := v.Field(i).Interface().(type) {
		case string:
			text += fmt.Sprintf("%q", f)
		case []byte:
			text += fmt.Sprintf("%q", f)
		default:
			text += fmt.Sprint(f)
		}
	}
	return text
}

func tellTable(indent string, table wire.Table) string {
	var s strings.Builder
	for key, v := range table.All() {
		fmt.Fprintf(&s, "%s%q %s", indent, key, tellValue(indent, v))
	}
	return s.String()
}

func tellValue(indent string, v wire.Value) string {
	text := fmt.Sprintf("%c %v", v.Kind(), v.Kind())
	if t, ok := v.Table(); ok {
		return text + "\n" + tellTable(indent+"  ", t)
	}
	if a, ok := v.Array(); ok {
		text += "\n"
		for v := range a.All() {
			text += indent + "  - " + tellValue(indent+"    ", v)
		}
		return text
	}
	return fmt.Sprintf("%s %q\n", text, v.String())
}

func tellProperties(r wire.RawProperties, err error) string {
	if err != nil {
		return fmt.Sprintln(err)
	}
	var s strings.Builder
	for p := wire.PropContentType; p <= wire.PropClusterID; p++ {
		if !r.Flags().Has(p) {
			continue
		}
		fmt.Fprintf(&s, "  %v", p)
		if text, ok := r.Text(p); ok {
			fmt.Fprintf(&s, " %q", text)
		}
		switch p {
		case wire.PropHeaders:
			t, _ := r.Headers()
			fmt.Fprintf(&s, "\n%s", strings.TrimSuffix(tellTable("    ", t), "\n"))
		case wire.PropDeliveryMode:
			n, _ := r.DeliveryMode()
			fmt.Fprint(&s, " ", n)
		case wire.PropPriority:
			n, _ := r.Priority()
			fmt.Fprint(&s, " ", n)
		case wire.PropTimestamp:
			n, _ := r.Timestamp()
			fmt.Fprint(&s, " ", n)
		}
		s.WriteByte('\n')
	}
	return s.String() + differs(r.Bytes(), r.Decode().Encode().Bytes())
}

// rebuilt is a table made anew from the fields of another.
func rebuilt(t wire.Table) wire.Table {
	var fields []wire.Field
	for key, v := range t.All() {
		fields = append(fields, wire.Field{Key: string(key), Value: rebuiltValue(v)})
	}
	return wire.MakeTable(fields...)
}

func rebuiltValue(v wire.Value) wire.Value {
	if t, ok := v.Table(); ok {
		return wire.TableValue(rebuilt(t))
	}
	if a, ok := v.Array(); ok {
		var values []wire.Value
		for v := range a.All() {
			values = append(values, rebuiltValue(v))
		}
		return wire.ArrayValue(wire.MakeArray(values...))
	}
	return v
}

func differs(was, is []byte) string {
	if string(was) == string(is) {
		return ""
	}
	return fmt.Sprintf("encoded as %x\n", is)
}
