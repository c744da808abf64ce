package wire_test

import (
	"encoding/binary"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/waxwing-mq/waxwing/internal/amqp/wire"
)

// The specification as data, with RabbitMQ's extensions. It is read out of the
// module of RabbitMQ's Go client, whose own code is generated from it.
type spec struct {
	Constants []struct {
		Name  string `xml:"name,attr"`
		Value int    `xml:"value,attr"`
		Class string `xml:"class,attr"`
	} `xml:"constant"`
	Domains []struct {
		Name string `xml:"name,attr"`
		Type string `xml:"type,attr"`
	} `xml:"domain"`
	Classes []specClass `xml:"class"`
}

type specClass struct {
	Name    string       `xml:"name,attr"`
	ID      uint16       `xml:"index,attr"`
	Fields  []specField  `xml:"field"`
	Methods []specMethod `xml:"method"`
}

type specMethod struct {
	Name        string      `xml:"name,attr"`
	ID          uint16      `xml:"index,attr"`
	Synchronous bool        `xml:"synchronous,attr"`
	Content     bool        `xml:"content,attr"`
	Fields      []specField `xml:"field"`
}

type specField struct {
	Name     string `xml:"name,attr"`
	Domain   string `xml:"domain,attr"`
	Type     string `xml:"type,attr"`
	Reserved bool   `xml:"reserved,attr"`
}

func readSpec(t *testing.T) spec {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/rabbitmq/amqp091-go").Output()
	if err != nil {
		t.Fatal("go list: ", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "spec", "amqp0-9-1.stripped.extended.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := xml.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, d := range s.Domains {
		types[d.Name] = d.Type
	}
	resolve := func(fields []specField) {
		for i := range fields {
			if f := &fields[i]; f.Type == "" {
				f.Type = types[f.Domain]
			}
		}
	}
	for i := range s.Classes {
		resolve(s.Classes[i].Fields)
		for j := range s.Classes[i].Methods {
			resolve(s.Classes[i].Methods[j].Fields)
		}
	}
	return s
}

// goName is the name that a field or a method has in Go.
func goName(name string) string {
	if name == "nowait" {
		return "NoWait"
	}
	var s strings.Builder
	for part := range strings.SplitSeq(name, "-") {
		if part == "id" {
			s.WriteString("ID")
		} else {
			s.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return s.String()
}

// goKinds are the Go types that the specification's types have.
var goKinds = map[string]string{
	"bit": "bool", "octet": "uint8", "short": "uint16", "long": "uint32", "longlong": "uint64",
	"shortstr": "string", "longstr": "[]uint8", "table": "wire.Table", "timestamp": "uint64",
}

// specEncoder writes fields as the specification says, by itself.
type specEncoder struct {
	out  []byte
	bits int // in the last octet; 0 when there is none to share
}

func (e *specEncoder) field(t *testing.T, typ string, v any) {
	if typ == "bit" {
		if e.bits == 0 || e.bits == 8 {
			e.out = append(e.out, 0)
			e.bits = 0
		}
		if v.(bool) {
			e.out[len(e.out)-1] |= 1 << e.bits
		}
		e.bits++
		return
	}
	e.bits = 0
	switch typ {
	case "octet":
		e.out = append(e.out, v.(uint8))
	case "short":
		e.out = binary.BigEndian.AppendUint16(e.out, v.(uint16))
	case "long":
		e.out = binary.BigEndian.AppendUint32(e.out, v.(uint32))
	case "longlong", "timestamp":
		e.out = binary.BigEndian.AppendUint64(e.out, v.(uint64))
	case "shortstr":
		e.out = append(append(e.out, byte(len(v.(string)))), v.(string)...)
	case "longstr":
		e.out = append(binary.BigEndian.AppendUint32(e.out, uint32(len(v.([]byte)))), v.([]byte)...)
	case "table":
		b := v.(wire.Table).Bytes()
		e.out = append(binary.BigEndian.AppendUint32(e.out, uint32(len(b))), b...)
	default:
		t.Fatalf("the specification has a type %q", typ)
	}
}

// distinct is a value of a type that no other field of the method has; of a
// reserved field it is the zero value.
func distinct(typ string, i int, name string, bit bool) any {
	n := uint64(0x8182838485868788) + uint64(i)
	switch typ {
	case "bit":
		return bit
	case "octet":
		return uint8(n)
	case "short":
		return uint16(n)
	case "long":
		return uint32(n)
	case "longlong", "timestamp":
		return n
	case "shortstr":
		return name
	case "longstr":
		return []byte(name)
	}
	return wire.MakeTable(wire.Field{Key: name, Value: wire.IntValue(int64(n))})
}

func zero(typ string) any {
	switch v := distinct(typ, 0, "", false).(type) {
	case wire.Table:
		return wire.Table{}
	case []byte:
		return []byte{}
	default:
		return reflect.Zero(reflect.TypeOf(v)).Interface()
	}
}

// TestMethodsAreTheSpecifications takes every method of the specification:
// name, ids, flags, names and types of fields are ours, and what we append is
// what an encoder appends that knows the specification only.
func TestMethodsAreTheSpecifications(t *testing.T) {
	known := map[wire.ID]bool{}
	for _, c := range readSpec(t).Classes {
		for _, m := range c.Methods {
			id := wire.MakeID(c.ID, m.ID)
			known[id] = true
			t.Run(c.Name+"."+m.Name, func(t *testing.T) {
				if id.String() != c.Name+"."+m.Name || id.Class() != c.ID || id.Method() != m.ID {
					t.Errorf("%d.%d is %v", c.ID, m.ID, id)
				}
				if id.Synchronous() != m.Synchronous || id.HasContent() != m.Content {
					t.Errorf("synchronous %v, content %v; not %v, %v", id.Synchronous(), id.HasContent(), m.Synchronous, m.Content)
				}
				checkFields(t, id, goName(c.Name)+goName(m.Name), m.Fields)
				checkBytes(t, id, m.Fields)
			})
		}
	}
	if len(known) != 64 {
		t.Errorf("the specification has %d methods", len(known))
	}
	for class := range uint16(256) {
		for method := range uint16(256) {
			if id := wire.MakeID(class, method); class != wire.ClassAccess && wire.NewMethod(id) != nil && !known[id] {
				t.Errorf("%v is not in the specification", id)
			}
		}
	}
}

func checkFields(t *testing.T, id wire.ID, name string, fields []specField) {
	m := wire.NewMethod(id)
	if m == nil {
		t.Fatal("unknown method")
	}
	typ := reflect.TypeOf(m).Elem()
	if m.ID() != id || typ.Name() != name {
		t.Errorf("%v is a %v with the id %v", id, typ, m.ID())
	}
	var ours, theirs []string
	for i := range typ.NumField() {
		kind := typ.Field(i).Type.String()
		if kind == "wire.ReplyCode" {
			kind = "uint16"
		}
		ours = append(ours, typ.Field(i).Name+" "+kind)
	}
	for _, f := range fields {
		if !f.Reserved {
			theirs = append(theirs, goName(f.Name)+" "+goKinds[f.Type])
		}
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("fields are\n%v, not\n%v", ours, theirs)
	}
}

// checkBytes sets each bit alone, all and none, other fields to values that
// tell them apart.
func checkBytes(t *testing.T, id wire.ID, fields []specField) {
	for lit := -2; lit < len(fields); lit++ {
		m := wire.NewMethod(id)
		want, junk := specEncoder{}, specEncoder{}
		for i, f := range fields {
			v := distinct(f.Type, i, f.Name, lit == i || lit == -1)
			if f.Reserved {
				want.field(t, f.Type, zero(f.Type))
				junk.field(t, f.Type, distinct(f.Type, i, f.Name, true))
				continue
			}
			target := reflect.ValueOf(m).Elem().FieldByName(goName(f.Name))
			target.Set(reflect.ValueOf(v).Convert(target.Type()))
			want.field(t, f.Type, v)
			junk.field(t, f.Type, v)
		}
		payload := append(binary.BigEndian.AppendUint32(nil, uint32(id)), want.out...)
		frame := append(wire.AppendFrameHeader(nil, wire.TypeMethod, 0xC1C2, uint32(len(payload))), payload...)
		frame = append(frame, wire.FrameEnd)
		if got := wire.AppendMethod(nil, 0xC1C2, m); string(got) != string(frame) {
			t.Fatalf("encoded as\n%x, not\n%x", got, frame)
		}
		for _, in := range [][]byte{payload, append(payload[:4:4], junk.out...)} {
			got, err := wire.DecodeMethod(in)
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Fatalf("%x decoded as\n%+v (%v), not\n%+v", in, got, err, m)
			}
		}
		for n := range payload {
			if _, err := wire.DecodeMethod(payload[:n:n]); wire.CodeOf(err) != wire.FrameError {
				t.Fatalf("cut to %d of %d bytes: %v", n, len(payload), err)
			}
		}
		if _, err := wire.DecodeMethod(append(payload, 0)); wire.CodeOf(err) != wire.FrameError {
			t.Fatalf("with a byte too many: %v", err)
		}
	}
}

func TestPropertiesAreTheSpecifications(t *testing.T) {
	for _, c := range readSpec(t).Classes {
		if len(c.Fields) == 0 {
			continue
		}
		if c.ID != wire.ClassBasic || len(c.Fields) != 14 {
			t.Fatalf("class %s has %d properties", c.Name, len(c.Fields))
		}
		for mask := range 1 << len(c.Fields) {
			checkProperties(t, c.Fields, mask)
		}
	}
}

// checkProperties takes the properties whose bit is set in mask.
func checkProperties(t *testing.T, fields []specField, mask int) {
	var p wire.Properties
	want := specEncoder{out: []byte{0, 0}}
	for i, f := range fields {
		if mask>>i&1 == 0 {
			continue
		}
		v := distinct(f.Type, i, f.Name, false)
		name := goName(f.Name)
		if f.Name == "reserved" {
			name = "ClusterID"
		}
		reflect.ValueOf(&p).Elem().FieldByName(name).Set(reflect.ValueOf(v))
		p.Flags.Set(wire.Property(i))
		binary.BigEndian.PutUint16(want.out, binary.BigEndian.Uint16(want.out)|1<<(15-i))
		want.field(t, f.Type, v)
	}
	if got := p.Encode().Bytes(); string(got) != string(want.out) {
		t.Fatalf("encoded as\n%x, not\n%x", got, want.out)
	}
	raw, err := wire.ParseProperties(want.out)
	if err != nil || !reflect.DeepEqual(raw.Decode(), p) {
		t.Fatalf("decoded as\n%+v (%v), not\n%+v", raw.Decode(), err, p)
	}
}

func TestConstantsAreTheSpecifications(t *testing.T) {
	ours := map[string]int{
		"frame-method": int(wire.TypeMethod), "frame-header": int(wire.TypeHeader), "frame-body": int(wire.TypeBody),
		"frame-heartbeat": int(wire.TypeHeartbeat), "frame-min-size": wire.FrameMaxMin, "frame-end": wire.FrameEnd,
	}
	replies := 0
	for _, c := range readSpec(t).Constants {
		if v, ok := ours[c.Name]; ok {
			if v != c.Value {
				t.Errorf("%s is %d, not %d", c.Name, v, c.Value)
			}
			continue
		}
		replies++
		code := wire.ReplyCode(c.Value)
		if want := strings.ToUpper(strings.ReplaceAll(c.Name, "-", "_")); code.String() != want {
			t.Errorf("%d is %v, not %s", code, code, want)
		}
		if code.Hard() != (c.Class == "hard-error") {
			t.Errorf("%v: hard is %v", code, code.Hard())
		}
	}
	if replies != 19 {
		t.Errorf("%d reply codes", replies)
	}
}
